"""Text displays: a line for each phase and each epoch."""

from __future__ import annotations

from nbkeras.notebook import text
from nbkeras.run import Run, Snapshot

_SAID = ("slots", "computing", "reading", "starting", "paused", "returning", "stopping")


class Lines:
    """A run as lines of text, for IPython in a terminal and for plain Python.

    Args:
        run: the run to show.

    Example:
        >>> from nbkeras.run import Run
        >>> run = Run("digits", model=None, epochs=2, workers=2)
        >>> lines = Lines(run)
        >>> run.enter("starting")
        >>> lines.update()
        Starting 2 trainers
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._version = -1
        self._phase = ""
        self._notes = 0
        self._epochs = 0

    def update(self) -> None:
        """Print what is new."""
        version = self._run.version
        if version != self._version:
            self._version = version
            self._print(self._run.snapshot())

    def finish(self) -> None:
        """Print the remaining epochs and how the run ended."""
        snapshot = self._run.snapshot()
        self._print(snapshot)
        _print(text.sentence(snapshot))

    def _print(self, snapshot: Snapshot) -> None:
        for note in snapshot.notes[self._notes :]:
            _print(note)
        self._notes = len(snapshot.notes)
        # Epochs tell of the training themselves; every other phase is said once.
        phase = "stopping" if snapshot.stopping and snapshot.phase != "done" else snapshot.phase
        if phase != self._phase and phase in _SAID:
            _print(text.phase(snapshot))
        self._phase = phase
        self._print_epochs(snapshot)

    def _print_epochs(self, snapshot: Snapshot) -> None:
        for index in range(self._epochs, len(snapshot.epoch_numbers)):
            _print(text.epoch_line(snapshot, index))
        self._epochs = len(snapshot.epoch_numbers)


def _print(line: str) -> None:
    print(line, flush=True)  # noqa: T201  # this is the display
