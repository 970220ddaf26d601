"""Listeners: what else shall know of a run, such as a tracker of experiments."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from nbkeras.errors import OptionError
from nbkeras.run.progress import Phase
from nbkeras.run.run import Run


class Listener:
    """Hears what happens to runs; a subclass overrides what it wants to hear.

    Give it to one training, ``nbkeras.fit(…, listeners=[…])``, or have it hear all runs that begin from now
    on, ``nbkeras.listeners.append(…)``.

    All calls come from one thread, one after the other, for all runs of the process: a listener needs no
    lock. It can neither stop a training nor slow it down. What it raises becomes a note of the run, once, and
    it is called on. When ``fit`` returns, it has heard all of the run, unless that takes 10 seconds.

    Example:
        >>> from nbkeras.run import calls
        >>> from nbkeras.run.run import Run
        >>> class Losses(Listener):
        ...     def epoch(self, run, epoch, logs):
        ...         print(run.name, epoch, logs["loss"])
        >>> run = Run("digits", model=None, epochs=1, workers=1)
        >>> run.listen([Losses()])
        >>> run.record_epoch(0, {"loss": 0.5})
        >>> calls.finish(run)
        digits 0 0.5
        True
    """

    def begun(self, run: Run) -> None:
        """A run has begun: its name, settings and workers are known."""

    def phase(self, run: Run, phase: Phase) -> None:
        """It has come to another phase, such as "reading" or "training"."""

    def epoch(self, run: Run, epoch: int, logs: dict[str, Any]) -> None:
        """An epoch, from 0, has ended with these logs; those of a checkpoint to go on from come too."""

    def note(self, run: Run, sentence: str) -> None:
        """It has something to say to the user."""

    def progress(self, run: Run) -> None:
        """It has moved within an epoch or a phase, or was steered: what waits behind others comes once."""

    def ended(self, run: Run) -> None:
        """It has ended, as ``run.status`` says: its weights are in ``run.model``."""


#: Hear all runs that begin from now on.
listeners: list[Listener] = []
#: Those of the package's own displays of all runs.
displays: list[Listener] = []


def hearing(those: Iterable[Any]) -> list[Listener]:
    """The listeners of a training: displays, those of all runs, then its own, each once.

    Raises:
        OptionError: one is none.

    Example:
        >>> hearing([print])
        Traceback (most recent call last):
        nbkeras.errors.OptionError: listeners holds a builtin_function_or_method: give objects of a subclass \
of nbkeras.Listener
    """
    found: list[Listener] = []
    for one in (*displays, *listeners, *those):
        if not isinstance(one, Listener):
            name = f"the class {one.__name__}" if isinstance(one, type) else f"a {type(one).__name__}"
            raise OptionError(f"listeners holds {name}: give objects of a subclass of nbkeras.Listener")
        if not any(one is other for other in found):
            found.append(one)
    return found
