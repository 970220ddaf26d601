"""Slot: a place in the output of the cell that runs, whose content is replaced as more becomes known."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from typing import Any, Self

from nbkeras.notebook.hosts import zeppelin


class Slot:
    """Shows one thing after the other in the same place, within a ``with`` block.

    What it shows says what is waited for, so nothing else has to.

    Args:
        kernel: whether this is a kernel of Jupyter, which updates its outputs.
        line: what is printed where no output can be replaced, whenever something changes; empty for nothing.

    Example:
        >>> with Slot(kernel=False, line=lambda shown: "1 of 2") as slot:
        ...     slot.show(None)
        1 of 2
    """

    def __init__(self, *, kernel: bool, line: Callable[[Any], str]) -> None:
        self._kernel, self._line = kernel, line
        self._said = ""
        self._handle: Any = None
        z = zeppelin.context()
        self._output = None if z is None else zeppelin.Output(z, z.getInterpreterContext(), plain=not kernel)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self in _open:
            _open.remove(self)

    def show(self, shown: Any) -> None:
        """Put this in place of what is there."""
        if self not in _open:
            _open.append(self)
        # A table is worth less than hours of training.
        with contextlib.suppress(Exception):
            self._show(shown)

    def end(self, shown: Any) -> None:
        """Put this there for good."""
        self.show(shown)
        if self._handle is not None or self._output is not None:
            _last[:] = [shown, _cell()]

    def _show(self, shown: Any) -> None:
        if self._output is not None:
            self._output.replace(shown.bundle()["text/html"])
        elif not self._kernel:
            line = self._line(shown)
            if line and line != self._said:
                print(line, flush=True)  # noqa: T201  # text is what every place can show
            self._said = line
        elif self._handle is None:
            import IPython.display

            display: Any = IPython.display.display  # untyped
            self._handle = display(shown.bundle(), raw=True, display_id=True)
        else:
            self._handle.update(shown.bundle(), raw=True)


#: Those that show something now.
_open: list[Slot] = []


def is_open() -> bool:
    """Whether a slot shows what goes on.

    Example:
        >>> is_open()
        False
    """
    return bool(_open)


#: What was shown last for good, and the number of its cell.
_last: list[Any] = [None, None]


def is_shown(shown: Any) -> bool:
    """Whether the cell that runs shows this already.

    Example:
        >>> is_shown("another")
        False
    """
    return _last[0] is shown and _last[1] == _cell()


def _cell() -> int | None:
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return None if shell is None else int(shell.execution_count)
