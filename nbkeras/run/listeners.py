"""Listeners: objects that are called for the events of a run, such as an experiment tracker."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from nbkeras.errors import OptionError
from nbkeras.run.progress import Phase
from nbkeras.run.run import Run


class Listener:
    """Is called for the events of runs; a subclass overrides the methods of the events that it needs.

    Give it to one training, ``nbkeras.fit(…, listeners=[…])``, or to all runs that begin from now on,
    ``nbkeras.listeners.append(…)``.

    One thread makes all calls, one after the other, for all runs of the process: a listener needs no lock.
    It can neither stop a training nor slow it down. Its first exception becomes a note of the run; later
    calls are made all the same. When ``fit`` returns, all calls for the run were made, unless that takes
    10 seconds.

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
        """The run has entered another phase, such as "reading" or "training"."""

    def epoch(self, run: Run, epoch: int, logs: dict[str, Any]) -> None:
        """An epoch, from 0, has ended with these logs; a resumed run gives its earlier epochs too."""

    def note(self, run: Run, sentence: str) -> None:
        """The run has a new sentence for the user."""

    def progress(self, run: Run) -> None:
        """The run has made progress, or was steered; several such events may make one call."""

    def ended(self, run: Run) -> None:
        """The run has ended: ``run.status`` says how, and ``run.model`` has its weights."""


#: Listeners of all runs that begin from now on.
listeners: list[Listener] = []
#: Listeners of the package's own displays of all runs.
displays: list[Listener] = []


def hearing(own: Iterable[Any]) -> list[Listener]:
    """Collect the listeners of a training: displays, those of all runs, then its own, each once.

    Args:
        own: listeners of this training.

    Raises:
        OptionError: an object is not a listener.

    Example:
        >>> hearing([print])
        Traceback (most recent call last):
        nbkeras.errors.OptionError: listeners holds a builtin_function_or_method: give objects of a subclass \
of nbkeras.Listener
    """
    found: list[Listener] = []
    for one in (*displays, *listeners, *own):
        if not isinstance(one, Listener):
            name = f"the class {one.__name__}" if isinstance(one, type) else f"a {type(one).__name__}"
            raise OptionError(f"listeners holds {name}: give objects of a subclass of nbkeras.Listener")
        if not any(one is other for other in found):
            found.append(one)
    return found
