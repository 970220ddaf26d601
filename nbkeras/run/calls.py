"""Calls of listeners: in a thread of their own, one after the other, so that no training waits for them."""

from __future__ import annotations

import threading
import time
import weakref
from collections import deque
from collections.abc import Iterable
from typing import Any, Protocol

from nbkeras.errors import one_line

#: Seconds that a training in the foreground waits, when it has ended, for listeners that are still at work.
PATIENCE = 10.0
#: Of these, those that pass without a word.
_QUIET = 2.0


class Notes(Protocol):
    """A run, as far as it matters here."""

    def note(self, sentence: str) -> None:
        """Keep one sentence for the user."""


class _Calls:
    """The calls that wait for listeners, and the thread that makes them while there are any."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[Notes, Any, str, tuple[Any, ...]]] = deque()
        self._changed = threading.Condition()
        self._works_for: Notes | None = None
        #: Listeners whose failure was noted.
        self._noted: weakref.WeakKeyDictionary[Notes, list[Any]] = weakref.WeakKeyDictionary()
        self._thread: threading.Thread | None = None

    def put(self, run: Notes, those: Iterable[Any], what: str, *given: Any) -> None:
        """Have a method of some listeners called in their thread, behind all that was asked for before.

        Args:
            run: that something has happened to.
            those: of the run.
            what: the method.
            given: what it takes besides the run. Without any, a call that waits already is enough.
        """
        with self._changed:
            for one in those:
                if given or not self._waits(run, one, what):
                    self._waiting.append((run, one, what, given))
            if self._waiting and self._thread is None:
                self._thread = threading.Thread(target=self._work, name="nbkeras-listeners", daemon=True)
                self._thread.start()

    def _waits(self, run: Notes, listener: Any, what: str) -> bool:
        return any(r is run and one is listener and w == what for r, one, w, _ in self._waiting)

    def finish(self, run: Notes, seconds: float) -> bool:
        """Wait until all calls for a run were made; False where that takes longer."""
        if threading.current_thread() is self._thread:
            return False  # a listener itself has asked
        end = time.monotonic() + seconds
        with self._changed:
            while self._works_for is run or any(call[0] is run for call in self._waiting):
                if (left := end - time.monotonic()) <= 0:
                    return False
                self._changed.wait(left)
        return True

    def _work(self) -> None:
        while True:
            with self._changed:
                self._works_for = None
                self._changed.notify_all()
                if not self._waiting:
                    self._thread = None
                    return
                run, listener, what, given = self._waiting.popleft()
                self._works_for = run
            try:
                getattr(listener, what)(run, *given)
            except BaseException as error:  # noqa: BLE001  # whatever it is, the training goes on
                self._note(run, listener, what, error)

    def _note(self, run: Notes, listener: Any, what: str, error: BaseException) -> None:
        noted = self._noted.setdefault(run, [])
        if any(one is listener for one in noted):
            return  # It hears of its own failure, and may fail again.
        noted.append(listener)
        run.note(f"listener {type(listener).__name__}.{what} has failed: {one_line(error)}")


_calls = _Calls()
put = _calls.put


def finish(run: Notes, seconds: float = PATIENCE) -> bool:
    """Wait until listeners have heard all of a run so far, and say so; False where they take longer."""
    if _calls.finish(run, min(seconds, _QUIET)):
        return True
    if seconds > _QUIET:
        print(f"Listeners are still at work: waiting up to {seconds - _QUIET:g} s for them.")  # noqa: T201  # a wait
    return _calls.finish(run, seconds - _QUIET)
