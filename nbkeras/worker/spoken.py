"""What is said in a trainer: prints, warnings and messages of loggers, which the notebook shows as notes.

Only what Python writes is forwarded: lines that a backend's C++ writes, such as those
about the machine that TensorFlow begins with, are for the log of the executor.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any, TextIO

#: Different lines that are passed on, and characters of each.
MOST, LONGEST = 40, 300
#: Loggers with handlers of their own, which pass nothing on; what others say comes to stderr.
_APART = ("tensorflow", "absl")


@contextlib.contextmanager
def forwarded(send: Callable[[str], object]) -> Iterator[None]:
    """Send each line that is written as long as a ``with`` block lasts: once, and so many at most.

    Args:
        send: takes a line, without its end; called in the thread that says it.

    Example:
        >>> from nbkeras.worker.spoken import forwarded
        >>> lines = []
        >>> with forwarded(lines.append):
        ...     print("Epoch 2: early stopping")
        Epoch 2: early stopping
        >>> lines
        ['Epoch 2: early stopping']
    """
    sent: set[str] = set()

    def pass_on(said: str) -> None:
        said = said.strip()
        said = said if len(said) <= LONGEST else f"{said[:LONGEST]}…"
        if not said or said in sent or len(sent) > MOST:
            return
        sent.add(said)
        send(said if len(sent) <= MOST else f"more than {MOST} lines were said: the rest is left out")

    with contextlib.ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())  # where each place warns once, again
        # What JAX says of any model: Keras asks it for wide numbers, and takes the narrow ones.
        warnings.filterwarnings("ignore", message="Explicitly requested dtype")
        for name in ("stdout", "stderr"):
            under = getattr(sys, name)
            stack.callback(setattr, sys, name, under)
            lines = _Lines(under, pass_on)
            stack.callback(lines.end)
            setattr(sys, name, lines)

        def show(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,  # noqa: ARG001  # as Python calls it
            line: str | None = None,
        ) -> None:
            under.write(warnings.formatwarning(message, category, filename, lineno, line))
            pass_on(f"{category.__name__}: {' '.join(str(message).split())}")

        warnings.showwarning = show
        handler = _Handler(pass_on)
        for name in _APART:
            logging.getLogger(name).addHandler(handler)
            stack.callback(logging.getLogger(name).removeHandler, handler)
        yield


class _Lines:
    """A stream that is another one, and sends each whole line."""

    def __init__(self, under: TextIO, send: Callable[[str], None]) -> None:
        self._under, self._send, self._begun = under, send, ""
        self._lock = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._under, name)

    def write(self, text: str) -> int:
        number = self._under.write(text)
        with self._lock:
            *lines, begun = (self._begun + text).split("\n")
            # What a progress bar has written over is not there any more, and no line grows for ever.
            self._begun = begun.rpartition("\r")[2][: LONGEST + 1]
        for one in lines:
            self._send(one.rstrip("\r").rpartition("\r")[2])
        return number

    def end(self) -> None:
        """Send what was not ended by a line's end."""
        self._send(self._begun)


class _Handler(logging.Handler):
    def __init__(self, send: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._send(" ".join(record.getMessage().split()))
        except Exception:  # noqa: BLE001  # of a message and values that do not fit, as in Python's own
            self.handleError(record)
