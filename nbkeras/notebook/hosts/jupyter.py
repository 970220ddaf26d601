"""Jupyter kernels: a live panel for who watches, lines for who does not, a picture for later."""

from __future__ import annotations

import contextlib
import html
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from nbkeras.notebook import panel, picture
from nbkeras.notebook.hosts.pace import Pace
from nbkeras.notebook.hosts.terminal import Lines
from nbkeras.notebook.view import View
from nbkeras.run.run import Run
from nbkeras.run.snapshot import Snapshot

_SEND_EVERY = 0.25  # seconds: the server drops messages that come much faster
_BEAT_EVERY = 10.0  # a sign of life, for the clock in the browser
_COST_SHARE = 0.005  # of one core, that showing may take from the training
_SLOWEST = 1.0
_CLOSE_AFTER = 10.0


class Live:
    """The panel in the cell's output; at the end a picture takes its place in the file.

    More outputs may show the same run; all are fed by the one thread that
    updates it.

    Args:
        run: the run to show.
        place: takes the panel where it is part of something else, and stays there.

    Example:
        >>> Live(run)  # doctest: +SKIP
    """

    def __init__(self, run: Run, place: Callable[[View], None] | None = None) -> None:
        self._run = run
        self._pace = Pace(_SEND_EVERY, _SLOWEST, _COST_SHARE)
        self._seen = (run.version, 0, 0)
        self._lock = threading.Lock()
        self._views: list[tuple[View, Any]] = []
        self._ended = False
        if place is None:
            self.add()
        else:
            view = View(run)
            self._views.append((view, None))
            place(view)
        _LIVE[run] = self

    def add(self) -> bool:
        """Show the run in one more output, unless it has just ended."""
        with self._lock:
            if not self._ended:
                view = View(self._run)
                self._views.append((view, _display(view, display_id=True)))
            return not self._ended

    def update(self) -> None:
        """Send a snapshot when there is something new and the last one is old enough."""
        views = [view for view, _ in self._views]
        seen = self._run.version, len(self._run.epoch_numbers), sum(view.answered for view in views)
        first_epoch = seen[1] > 0 and self._seen[1] == 0
        changed = seen != self._seen and self._pace.due()
        if first_epoch or changed or self._pace.age() >= _BEAT_EVERY:
            self._seen = seen
            self._pace.spend(lambda: _send(views, self._run.snapshot()))

    def finish(self) -> None:
        """Put the picture where the charts were; in the page that showed them the panel goes on there."""
        snapshot = self._run.snapshot()
        with self._lock:
            self._ended = True
            _LIVE.pop(self._run, None)
        _send([view for view, _ in self._views], snapshot)
        shown = picture.bundle(snapshot)
        for view, slot in self._views:
            if slot is not None:
                page = f'<div id="{view.place}">{shown["text/html"]}</div>'
                slot.update({**shown, "text/html": page}, raw=True)
        _later(self._close)

    def _close(self) -> None:
        # A page that was reloaded meanwhile has lost the output, so the picture cannot reach it. It
        # shows the view, which therefore stays. Otherwise the view is closed, and no file saves it.
        for view, slot in self._views:
            if slot is not None and len(view.shown) < 2:
                view.close()


@contextlib.contextmanager
def waiting(words: str) -> Iterator[None]:
    """Words and a bar that moves to and fro, in the output of the cell, as long as the block lasts."""
    page = f'<progress style="vertical-align:middle"></progress> {html.escape(words)}'
    slot = _display({"text/plain": words, "text/html": page}, raw=True, display_id=True)
    try:
        yield
    finally:
        slot.update({"text/plain": "", "text/html": ""}, raw=True)


#: The displays of runs at work in this kernel, for who wants to see one once more.
_LIVE: dict[Run, Live] = {}


def show(run: Run) -> None:
    """Show a run in the output of the cell that runs: live while it works, then as it ended.

    Args:
        run: any run of this kernel.
    """
    live = _LIVE.get(run)
    if live is None or not live.add():
        snapshot = run.snapshot()
        shown = panel.bundle(snapshot) if run.done.is_set() else picture.bundle(snapshot)
        _display(shown, raw=True)


def _send(views: list[View], snapshot: Snapshot) -> None:
    for view in views:
        view.show(snapshot)


class Headless(Lines):
    """Lines at most every ten seconds, then the picture: nobody watches, the file is read later.

    Args:
        run: the run to show.

    Attributes:
        every: seconds between two lines; 0 for a line of each epoch.

    Example:
        >>> Headless(run)  # doctest: +SKIP
    """

    every = 10.0

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
            if self.every:
                self._epochs = len(snapshot.epoch_numbers) - 1  # the newest stands for those before it
            super()._print_epochs(snapshot)
            self._next = now + self.every


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
