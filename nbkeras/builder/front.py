"""The front of a network: what it takes of some columns, by the preset that it starts from."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nbkeras.builder import presets
from nbkeras.builder.branches import Branch
from nbkeras.builder.network import Network
from nbkeras.builder.table import Column, Table
from nbkeras.errors import DataError, OptionError

if TYPE_CHECKING:
    from nbkeras.driver.columns.encoding import Encoding

#: What Spark has said of the columns, by their names: asked for where it is needed.
Encodings = Callable[[], "Mapping[str, Encoding]"]
#: What each preset needs, in words.
_NEEDS = {
    "numbers": "takes numbers alone",
    "words": "takes one column of sentences alone",
    "images": "takes one column of images, or of the paths of their files, alone",
}
_LEARNT = "Features: to be learnt, take one column of arrays, or several of single numbers"


@dataclass(frozen=True)
class Features:
    """What a network takes of some columns.

    Attributes:
        shape: of the numbers in one row, which stand one behind the other where there are several columns.
        inputs: columns that are an input each, or several; empty where all are one input.
        depth: of a column that holds arrays, 2 where these hold arrays themselves.
        dtype: of the one input; empty for Keras' float type.
        nulls: what fills gaps, by column.
    """

    shape: tuple[int, ...]
    inputs: tuple[Branch, ...] = ()
    depth: int = 1
    dtype: str = ""
    nulls: tuple[tuple[str, Any], ...] = ()


def fitting(found: Table, names: Sequence[str], encodings: Encodings) -> str:
    """The preset to begin with, for some columns of a table.

    Args:
        found: the table.
        names: of columns.
        encodings: what is proposed for each column, where that is needed.

    Example:
        >>> age = Column("age", "double", (1,), single=True)
        >>> sold = Column("sold", "date", (1,), holds="times")
        >>> table = Table("df", (age, sold))
        >>> fitting(table, ["age"], dict), fitting(table, ["age", "sold"], dict)
        ('MLP', 'mixed')
    """
    columns = found.chosen(names)
    held = [one.holds for one in columns]
    if set(held) <= {"numbers"}:
        return "MLP"
    if held == ["images"]:
        return "image"
    if held == ["words"] and encodings()[names[0]].sentences:
        return "text"
    return presets.MIXED


def fits(preset: str, columns: Sequence[Column]) -> bool:
    """Whether columns hold what a preset takes.

    Example:
        >>> port = Column("port", "string", (1,), holds="words")
        >>> fits("MLP", [port]), fits("text", [port]), fits("mixed", [port, port])
        (False, True, True)
    """
    held, wanted = [one.holds for one in columns], presets.TAKES[preset]
    if wanted in ("words", "images"):
        return held in ([wanted], ["words"])
    return wanted == "columns" or set(held) <= {wanted}


def guessed(found: Table, label: str, encodings: Encodings) -> list[str]:
    """The columns to begin with: those that are guessed, but for those that nothing is proposed for.

    Args:
        found: the table.
        label: the column to learn.
        encodings: what is proposed for each column, where that is needed.
    """
    names = found.guess_features(label)
    columns = found.chosen(names)
    if {one.holds for one in columns} <= {"numbers"} or len(columns) == 1:
        return names
    return [name for name in names if encodings()[name].inputs] or names


def taken(
    found: Table, names: Sequence[str], preset: str, encodings: Encodings, *, learnt: bool = False
) -> Features:
    """What a network takes of some columns.

    Args:
        found: the table.
        names: of columns.
        preset: that the network starts from.
        encodings: what is proposed for each column, where that is needed.
        learnt: whether they are what is learnt, too.

    Raises:
        DataError: a column is null in every row.
        OptionError: there are none, they do not go together, or the preset does not take them.
    """
    columns = found.chosen(names)
    if not columns:
        raise OptionError("Features: none is ticked, tick one at least")
    takes = presets.TAKES[preset]
    if learnt and takes != "numbers":
        raise OptionError(_LEARNT)
    if not fits(preset, columns):
        other = fitting(found, names, encodings)
        strange = next((one for one in columns if not fits(preset, [one])), None)
        got = "several are ticked" if strange is None else f"{strange.name} holds {strange.holds}"
        raise OptionError(f"{preset} {_NEEDS[takes]}, and {got}: choose {other}, or tick others")
    if takes == "columns":
        return _of_columns(columns, encodings())
    if takes == "numbers":
        return _numbers(columns, learnt)
    (only,) = columns
    if takes == "words":
        encoding = encodings()[only.name]
        if encoding.why == "empty":
            raise DataError(f"Features: {only.name} is null in every row")
        nulls = () if encoding.fill is None else ((only.name, encoding.fill),)
        return Features((1,), dtype="string", nulls=nulls)
    from nbkeras.driver.columns.encoding import IMAGE

    return Features(_shape(only) if only.holds == "images" else IMAGE)


def _numbers(columns: Sequence[Column], learnt: bool) -> Features:
    """Columns of numbers are one input, or one each where some hold arrays."""
    shapes = {one.name: _shape(one) for one in columns}
    if len(shapes) == 1:
        (shape,) = shapes.values()
        return Features((math.prod(shape),) if learnt else shape, depth=len(shape))
    if all(one.single for one in columns):
        return Features((len(columns),))
    if learnt:
        raise OptionError(_LEARNT)
    return _beside([_plain(one) for one in columns])


def _of_columns(columns: Sequence[Column], encodings: Mapping[str, Encoding]) -> Features:
    """Columns are an input each, with what is proposed for it."""
    branches, nulls = [], []
    for one in columns:
        encoding = encodings[one.name]
        if encoding.inputs:
            branches += [Branch.of(one.name, each, one.whole) for each in encoding.inputs]
        elif one.holds == "numbers" and not one.single:
            branches.append(_plain(one))
        elif encoding.why == "unique":
            raise OptionError(
                f"Features: nearly each row of {one.name} has a word of its own: untick it, or tick it alone "
                "and choose text"
            )
        else:
            raise OptionError(f"Features: {one.name} is {encoding.said}: untick it")
        if encoding.fill is not None:
            nulls.append((one.name, encoding.fill))
    return _beside(branches, tuple(nulls))


def _beside(branches: Sequence[Branch], nulls: tuple[tuple[str, Any], ...] = ()) -> Features:
    if wrong := [one.name for one in branches if "/" in one.name]:
        raise OptionError(
            f"Features: {wrong[0]} is to be the name of an input of Keras, which has no / in it: "
            "rename the column"
        )
    return Features((width(branches),), tuple(branches), nulls=nulls)


def width(branches: Sequence[Branch]) -> int:
    """The numbers that branches give for a row."""
    return sum(one.width() for one in branches)


def _plain(one: Column) -> Branch:
    """A column of numbers as it is."""
    shape = _shape(one)
    if len(shape) > 1:
        raise OptionError(f"Features: {one.name} holds arrays of arrays: take it alone")
    return Branch(one.name, one.name, Network(shape, ()), one.whole)


def _shape(one: Column) -> tuple[int, ...]:
    if one.shape is None:
        raise DataError(f"Features: {one.name} is null in every row")
    return one.shape
