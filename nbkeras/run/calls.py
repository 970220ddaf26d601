"""Calls of listeners: one after the other, in their own thread, so that no training waits for them."""

from __future__ import annotations

import threading
import time
import weakref
from collections import deque
from collections.abc import Iterable
from typing import Any, Protocol

from nbkeras.errors import one_line

#: Seconds that a training in the foreground waits at its end for listeners that are still at work.
PATIENCE = 10.0
#: Seconds of them that pass before it says so.
_QUIET = 2.0


class Notes(Protocol):
    """The part of a run that this module uses."""

    def note(self, sentence: str) -> None:
        """Add a sentence for the user."""


class _Calls:
    """A queue of calls, and a thread that makes them and ends when the queue is empty."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[Notes, Any, str, tuple[Any, ...]]] = deque()
        self._changed = threading.Condition()
        self._works_for: Notes | None = None
        #: Listeners that have failed and were named in a note of the run.
        self._noted: weakref.WeakKeyDictionary[Notes, list[Any]] = weakref.WeakKeyDictionary()
        self._thread: threading.Thread | None = None

    def put(self, run: Notes, listeners: Iterable[Any], method: str, *arguments: Any) -> None:
        """Queue a call of a method of some listeners.

        Args:
            run: first argument of the method.
            listeners: of the run.
            method: name of the method.
            arguments: its other arguments. A call without any is not queued twice.
        """
        with self._changed:
            for listener in listeners:
                if arguments or not self._waits(run, listener, method):
                    self._waiting.append((run, listener, method, arguments))
            if self._waiting and self._thread is None:
                self._thread = threading.Thread(target=self._work, name="nbkeras-listeners", daemon=True)
                self._thread.start()

    def _waits(self, run: Notes, listener: Any, method: str) -> bool:
        return any(r is run and one is listener and name == method for r, one, name, _ in self._waiting)

    def finish(self, run: Notes, seconds: float) -> bool:
        """Wait until all calls for a run were made; return False if that takes longer."""
        if threading.current_thread() is self._thread:
            return False  # called by a listener: the thread cannot wait for itself
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
                run, listener, method, arguments = self._waiting.popleft()
                self._works_for = run
            try:
                getattr(listener, method)(run, *arguments)
            except BaseException as error:  # noqa: BLE001  # no error of a listener ends a training
                self._note(run, listener, method, error)

    def _note(self, run: Notes, listener: Any, method: str, error: BaseException) -> None:
        noted = self._noted.setdefault(run, [])
        if any(one is listener for one in noted):
            return  # its own note calls it again, and it may fail again
        noted.append(listener)
        run.note(f"listener {type(listener).__name__}.{method} has failed: {one_line(error)}")


_calls = _Calls()
put = _calls.put


def finish(run: Notes, seconds: float = PATIENCE) -> bool:
    """Wait until all calls for a run were made, and say so; return False if that takes longer."""
    if _calls.finish(run, min(seconds, _QUIET)):
        return True
    if seconds > _QUIET:
        print(f"Listeners are still at work: waiting up to {seconds - _QUIET:g} s for them.")  # noqa: T201  # a wait
    return _calls.finish(run, seconds - _QUIET)
