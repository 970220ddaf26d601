"""Python code that looks as a formatter leaves it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

#: Columns of a line; formatters' own default.
WIDTH = 88
#: Characters of a number that is better written as a part of 1, such as 1 / 255.
_LONG = 12
#: Below it such a part says no more than the number.
_LEAST = 1e-6


@dataclass(frozen=True)
class Piece:
    """A call, a list or a tuple: an item a line where it does not fit into one.

    Attributes:
        head: what opens it.
        items: what is in it, code or pieces.
        tail: what closes it.
        open: whether each item has a line of its own in any case.

    Example:
        >>> from nbkeras.model.code import Piece
        >>> print(Piece("f(", ["1", Piece("[", ["2", "3"], "]")], ")").written())
        f(1, [2, 3])
    """

    head: str
    items: Sequence[str | Piece]
    tail: str
    open: bool = False

    def written(self, indent: str = "") -> str:
        """The code, each line behind some spaces."""
        return "\n".join(self._lines(indent, ""))

    def _lines(self, indent: str, after: str) -> list[str]:
        flat = f"{indent}{self.flat()}{after}"
        if not self._is_open() and (len(flat) <= WIDTH or not self.items):
            return [flat]
        lines = [f"{indent}{self.head}"]
        for item in self.items:
            # A formatter puts no comma behind the only argument.
            comma = "," if len(self.items) > 1 or self.open else ""
            inner = indent + " " * 4
            lines += [f"{inner}{item}{comma}"] if isinstance(item, str) else item._lines(inner, comma)  # noqa: SLF001
        return [*lines, f"{indent}{self.tail}{after}"]

    def flat(self) -> str:
        """The code in one line, however long."""
        items = (one if isinstance(one, str) else one.flat() for one in self.items)
        return f"{self.head}{', '.join(items)}{self.tail}"

    def _is_open(self) -> bool:
        return self.open or any(not isinstance(one, str) and one._is_open() for one in self.items)  # noqa: SLF001


def call(name: str, positional: Sequence[str | Piece] = (), /, **named: Any) -> Piece:
    """A call with arguments in code and arguments by name as values, or as code that has its own pieces.

    Example:
        >>> from nbkeras.model.code import call
        >>> call("keras.layers.Dense", ["64"], activation="relu").written()
        'keras.layers.Dense(64, activation="relu")'
    """
    return Piece(f"{name}(", [*positional, *(_named(key, one) for key, one in named.items())], ")")


def value(thing: Any) -> str:
    """A number, a word, a flag, or a tuple or list of them, in Python.

    Example:
        >>> from nbkeras.model.code import value
        >>> value(("a", 1)), value((3,)), value(1e-05), value(1 / 255)
        ('("a", 1)', '(3,)', '1e-05', '1 / 255')
    """
    if isinstance(thing, str):
        # What JSON writes, Python reads; in the quotes that formatted code has.
        return json.dumps(thing, ensure_ascii=False)
    if isinstance(thing, (tuple, list)):
        written = ", ".join(map(value, thing))
        if isinstance(thing, list):
            return f"[{written}]"
        return f"({written},)" if len(thing) == 1 else f"({written})"
    if isinstance(thing, float) and len(repr(thing)) > _LONG and _LEAST < thing < 1:
        whole = round(1 / thing)
        return f"1 / {whole}" if thing == 1 / whole else repr(thing)
    return repr(thing)


def _named(name: str, thing: Any) -> str | Piece:
    """An argument by its name: code, or a value, whose items may stand a line each where there are many."""
    if isinstance(thing, Piece):
        return replace(thing, head=f"{name}={thing.head}")
    if isinstance(thing, (tuple, list)) and len(thing) > 1:
        begin, end = "[]" if isinstance(thing, list) else "()"
        return Piece(f"{name}={begin}", list(map(value, thing)), end)
    return f"{name}={value(thing)}"
