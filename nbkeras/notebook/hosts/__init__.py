"""Where a run is shown. Only these modules know what runs the user's code."""

from __future__ import annotations

import sys
from typing import Any, Protocol

from nbkeras.errors import OptionError, one_line
from nbkeras.notebook import text
from nbkeras.notebook.form import Fields
from nbkeras.notebook.hosts import zeppelin
from nbkeras.notebook.hosts.terminal import Lines
from nbkeras.run import Run


class Display(Protocol):
    """One run on the screen."""

    def update(self) -> None:
        """Show what is new; called about four times a second by the thread that waits."""

    def finish(self) -> None:
        """Leave what is to stay; called once, when the run has ended."""


def display(run: Run) -> Display:
    """Show a run as well as this place can.

    Call it in the thread of the cell; ``update`` and ``finish`` may come from
    any one thread.

    Args:
        run: the run to show, just begun.

    Example:
        >>> from nbkeras.run import Run
        >>> run = Run("digits", model=None, epochs=1, workers=1)
        >>> shown = display(run)
        >>> run.record_epoch(0, {"loss": 0.5})
        >>> shown.update()
        epoch 1 of 1  loss 0.5
    """
    return _Guard(run)


def headless() -> bool:
    """Whether nobody watches: a notebook that papermill, nbclient or nbconvert executes."""
    kernel = _kernel()
    # They take no input, which is the one thing that tells them from a front end.
    return kernel is not None and getattr(kernel, "_allow_stdin", True) is False


def fields() -> Fields:
    """The form of the paragraph that runs.

    Raises:
        OptionError: this place has none.
    """
    return zeppelin.Fields(_zeppelin("form"))


def dashboard() -> None:
    """Have the paragraph that runs show the runs of later ones.

    Raises:
        OptionError: this place needs none.
    """
    zeppelin.dashboard(_zeppelin("dashboard"))


def _zeppelin(word: str) -> Any:
    z = zeppelin.context()
    if z is None:
        raise OptionError(text.ONLY_IN_ZEPPELIN[word])
    return z


def _choose(run: Run) -> Display:
    z = zeppelin.context()
    if z is not None:
        return zeppelin.Paragraph(run, z, plain=_kernel() is None)
    if _kernel() is None:
        return Lines(run)
    from nbkeras.notebook.hosts.jupyter import Headless, Live

    return Headless(run) if headless() else Live(run)


def _kernel() -> Any:
    # Without IPython loaded there is no kernel, and no reason to load it.
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None)


class _Guard:
    """A display that may fail and leaves the training alone when it does."""

    def __init__(self, run: Run) -> None:
        self._run, self._failed = run, False
        self._shown: Display = Lines(run)
        try:
            self._shown = _choose(run)
        except Exception as error:  # noqa: BLE001  # a chart is worth less than hours of training
            self._tell(error)

    def update(self) -> None:
        if not self._failed:
            try:
                self._shown.update()
            except Exception as error:  # noqa: BLE001  # as above
                self._failed = True
                self._tell(error)

    def _tell(self, error: Exception) -> None:
        self._run.note(text.CHART_FAILED.format(error=one_line(error)))

    def finish(self) -> None:
        try:
            self._shown.finish()
        except Exception:  # noqa: BLE001  # as above
            print(text.sentence(self._run.snapshot()))  # noqa: T201  # text is what every place can show
