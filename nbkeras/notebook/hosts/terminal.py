"""Text displays: a line for each phase and each epoch, and how far the epoch in work has come."""

from __future__ import annotations

import contextlib
import shutil
import sys
import time
import unicodedata
from collections.abc import Iterator

from nbkeras.notebook import text
from nbkeras.notebook.words import PANEL
from nbkeras.run.run import Run
from nbkeras.run.snapshot import Snapshot

_SAID = ("waiting", "slots", "computing", "reading", "starting", "paused", "returning", "stopping")
#: Seconds without a line after which an epoch in work says how far it has come.
_LONG = 60.0
#: Characters of a bar.
_BAR = 20
#: Goes to the begin of the line and clears it (ECMA-48: carriage return, erase in line).
_CLEAR = "\r\x1b[K"


@contextlib.contextmanager
def waiting(words: str) -> Iterator[None]:
    """Words in the last line of a terminal as long as the block lasts; nothing in a file or a pipe."""
    terminal = _is_terminal()
    if terminal:
        print(words, end="", flush=True)  # noqa: T201  # this is the display
    try:
        yield
    finally:
        if terminal:
            print(_CLEAR, end="", flush=True)  # noqa: T201  # as above


def _is_terminal() -> bool:
    return bool(getattr(sys.stdout, "isatty", bool)())  # what stands for it may have none


class Lines:
    """A run as lines of text, for IPython in a terminal and for plain Python.

    On a terminal the last line is a bar of the epoch in work, with the time that is left.
    In a file or a pipe an epoch that takes long says now and then how far it has come.

    Args:
        run: the run to show.

    Example:
        >>> from nbkeras.run.run import Run
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
        #: Phases that were said, since the last note: one of a stream comes with each micro-batch.
        self._told: set[str] = set()
        self._notes = 0
        self._epochs = 0
        self._terminal = _is_terminal()
        self._bar = ""
        self._said = time.monotonic()

    def update(self) -> None:
        """Print what is new."""
        version = self._run.version
        if version != self._version:
            self._version = version
            snapshot = self._run.snapshot()
            self._print(snapshot)
            self._show_place(snapshot)

    def finish(self) -> None:
        """Print the remaining epochs and how the run ended."""
        snapshot = self._run.snapshot()
        self._print(snapshot)
        self._say(text.sentence(snapshot))

    def _print(self, snapshot: Snapshot) -> None:
        for note in snapshot.notes[self._notes :]:
            self._say(note)
            self._told.clear()
        self._notes = len(snapshot.notes)
        # Epochs tell of the training themselves; every other phase is said once.
        phase = "stopping" if snapshot.stopping and snapshot.phase != "done" else snapshot.phase
        again = phase in self._told and phase != "paused"
        if phase != self._phase and phase in _SAID and not again:
            self._say(text.phase(snapshot))
        self._told.add(phase)
        self._phase = phase
        self._print_epochs(snapshot)

    def _print_epochs(self, snapshot: Snapshot) -> None:
        for index in range(self._epochs, len(snapshot.epoch_numbers)):
            self._say(text.epoch_line(snapshot, index))
        self._epochs = len(snapshot.epoch_numbers)

    def _show_place(self, snapshot: Snapshot) -> None:
        """Say how far the epoch in work has come."""
        if snapshot.phase != "training" or not snapshot.step or snapshot.stopping or snapshot.pausing:
            return
        whose = " (worker 0)" if snapshot.workers > 1 else ""
        known = [f"loss {text.number(loss)}{whose}" for _, loss in snapshot.losses[-1:]]
        if snapshot.remaining is not None:
            known.append(PANEL["remaining"].format(time=text.duration(snapshot.remaining)))
        if not self._terminal:
            if time.monotonic() - self._said > _LONG:
                self._say("  ".join([text.phase(snapshot), *known]))
            return
        done = _BAR * snapshot.step // max(snapshot.steps, 1)
        bar = "━" * done + "─" * (_BAR - done)
        self._bar = _cut("  ".join([text.phase(snapshot), bar, *known]))
        print(_CLEAR + self._bar, end="", flush=True)  # noqa: T201  # this is the display

    def _say(self, line: str) -> None:
        print((_CLEAR if self._bar else "") + line, flush=True)  # noqa: T201  # as above
        self._bar, self._said = "", time.monotonic()


def _cut(line: str) -> str:
    """As much as one line of the terminal takes: what is longer could not be cleared."""
    room = shutil.get_terminal_size().columns - 1
    for place, sign in enumerate(line):
        room -= 1 + (unicodedata.east_asian_width(sign) in "WF")
        if room < 0:
            return line[:place]
    return line
