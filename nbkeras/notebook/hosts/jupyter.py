"""Jupyter kernels: a live chart for who watches, lines for who does not, a picture for later."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from nbkeras.notebook import picture
from nbkeras.notebook.hosts.pace import Pace
from nbkeras.notebook.hosts.terminal import Lines
from nbkeras.notebook.view import View
from nbkeras.run import Run, Snapshot

_SEND_EVERY = 0.25  # seconds: the server drops messages that come much faster
_BEAT_EVERY = 10.0  # a sign of life, for the clock in the browser
_COST_SHARE = 0.005  # of one core, that showing may take from the training
_SLOWEST = 1.0
_LINE_EVERY = 10.0
_CLOSE_AFTER = 5.0


class Live:
    """A live chart in the cell's output, which a static picture replaces at the end.

    Args:
        run: the run to show.

    Example:
        >>> Live(run)  # doctest: +SKIP
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._pace = Pace(_SEND_EVERY, _SLOWEST, _COST_SHARE)
        self._seen = (run.version, 0)
        self._view = View(run.snapshot(), on_stop=run.stop)
        self._slot = _display(self._view, display_id=True)

    def update(self) -> None:
        """Send a snapshot when there is something new and the last one is old enough."""
        version, epochs = self._run.version, len(self._run.epoch_numbers)
        first_epoch = epochs > 0 and self._seen[1] == 0
        changed = version != self._seen[0] and self._pace.due()
        if first_epoch or changed or self._pace.age() >= _BEAT_EVERY:
            self._seen = version, epochs
            self._pace.spend(lambda: self._view.show(self._run.snapshot()))

    def finish(self) -> None:
        """Put the picture where the chart was."""
        snapshot = self._run.snapshot()
        self._view.show(snapshot)
        self._slot.update(picture.bundle(snapshot), raw=True)
        _later(self._close)

    def _close(self) -> None:
        # A page that was reloaded meanwhile cannot be told of the picture, as it has lost the
        # output; it goes on showing the view, so the view stays. Else nothing of it is saved.
        if self._view.shown < 2:
            self._view.close()


class Headless(Lines):
    """Lines at most every ten seconds, then the picture: nobody watches, the file is read later.

    Args:
        run: the run to show.

    Example:
        >>> Headless(run)  # doctest: +SKIP
    """

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self._next = 0.0

    def finish(self) -> None:
        """Display the picture."""
        snapshot = self._run.snapshot()
        self._next = 0.0
        self._print(snapshot)
        _display(picture.bundle(snapshot), raw=True)

    def _print_epochs(self, snapshot: Snapshot) -> None:
        now = time.monotonic()
        if now >= self._next and len(snapshot.epoch_numbers) > self._epochs:
            self._epochs = len(snapshot.epoch_numbers) - 1  # the newest stands for those before it
            super()._print_epochs(snapshot)
            self._next = now + _LINE_EVERY


def _display(shown: object, **how: object) -> Any:
    import IPython.display

    display: Any = IPython.display.display  # untyped
    return display(shown, **how)


def _later(act: Callable[[], None]) -> None:
    """Act when the cell has ended and what the page asked of the busy kernel has been answered."""
    from IPython.core.getipython import get_ipython

    loop = getattr(getattr(get_ipython(), "kernel", None), "io_loop", None)
    if loop is None:
        act()
    else:
        loop.add_callback(loop.call_later, _CLOSE_AFTER, act)  # from any thread
