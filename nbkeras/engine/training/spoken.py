"""What is said in a trainer: prints, warnings and messages of loggers, which the notebook shows as notes.

Only what Python says is heard: lines that a backend's C++ writes, such as those
about the machine that TensorFlow begins with, are for the log of the executor.
"""

from __future__ import annotations

import contextlib
import io
import logging
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any, TextIO

#: Different lines that are passed on, and characters of each.
MOST, LONGEST = 40, 300


@contextlib.contextmanager
def heard(tell: Callable[[str], object]) -> Iterator[None]:
    """Tell each line that is said as long as a ``with`` block lasts: once, and so many at most.

    Args:
        tell: takes a line, without its end; called in the thread that says it.

    Example:
        >>> import warnings
        >>> from nbkeras.engine.training.spoken import heard
        >>> lines = []
        >>> with heard(lines.append):
        ...     warnings.warn("the metric is not there", stacklevel=1)
        ...     print("Epoch 2: early stopping")
        Epoch 2: early stopping
        >>> lines
        ['UserWarning: the metric is not there', 'Epoch 2: early stopping']
    """
    told: set[str] = set()

    def line(said: str) -> None:
        said = said.strip()
        said = said if len(said) <= LONGEST else f"{said[:LONGEST]}…"
        if not said or said in told or len(told) > MOST:
            return
        told.add(said)
        tell(said if len(told) <= MOST else f"more than {MOST} lines were said: the rest is left out")

    def show(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        line(f"{category.__name__}: {' '.join(str(message).split())}")

    with contextlib.ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        for category in (UserWarning, RuntimeWarning, FutureWarning):
            warnings.simplefilter("default", category)  # each place once, whatever a user has set
        warnings.showwarning = show
        for name in ("stdout", "stderr"):
            under = getattr(sys, name)
            stack.callback(setattr, sys, name, under)
            setattr(sys, name, _Lines(under, line))
        handler = _Handler(line)
        for logger in (logging.getLogger(), logging.getLogger("tensorflow")):  # which passes nothing on
            logger.addHandler(handler)
            stack.callback(logger.removeHandler, handler)
        yield


class _Lines(io.TextIOBase):
    """A stream that writes on, and tells each whole line."""

    def __init__(self, under: TextIO, tell: Callable[[str], None]) -> None:
        self._under, self._tell, self._begun = under, tell, ""

    def write(self, text: str) -> int:
        self._under.write(text)
        *lines, self._begun = (self._begun + text).split("\n")
        for one in lines:
            # What a progress bar has written over is not there any more.
            self._tell(one.rsplit("\r", 1)[-1])
        return len(text)

    def flush(self) -> None:
        self._under.flush()

    def fileno(self) -> int:
        return self._under.fileno()

    def isatty(self) -> bool:
        return False


class _Handler(logging.Handler):
    def __init__(self, tell: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        self._tell(" ".join(record.getMessage().split()))
