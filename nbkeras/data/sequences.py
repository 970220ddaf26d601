"""Sequences: arrays of several lengths, which Spark pads and cuts to the length that a model takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from nbkeras.data import marks
from nbkeras.data.kinds.kind import spark_type
from nbkeras.data.signature import Input
from nbkeras.errors import DataError
from nbkeras.schema import Field, Padding

#: What the marks of a column call its padding.
SEQUENCES = "sequences"


def padding(df: DataFrame, name: str) -> dict[str, Any] | None:
    """Return how a column is marked to be padded, as :class:`Padding` takes it, with ``maxlen``."""
    found: dict[str, Any] | None = marks.of(df, name).get(SEQUENCES)
    return found


def field(df: DataFrame, one: Field, taken: Input) -> Field:
    """Return a field whose column is padded, if it is marked so.

    Args:
        df: the user's DataFrame.
        one: of the column.
        taken: the input that it feeds.

    Raises:
        DataError: neither the model nor the column says to which length.
    """
    own = padding(df, one.sources[0]) if len(one.sources) == 1 else None
    if own is None:
        return one
    axes = taken.axes or (None,)
    length = axes[0] or own["maxlen"]
    if length is None:
        raise DataError(
            f"{one.title} takes sequences of any length, and column '{one.sources[0]}' is padded: say to "
            "which length, with keras.Input((100,)) or nbkeras.pad_sequences(…, maxlen=100)"
        )
    if own["maxlen"] not in (None, length):
        raise DataError(
            f"{one.title} takes sequences of {length}, and column '{one.sources[0]}' is marked with "
            f"maxlen={own['maxlen']}: leave out maxlen"
        )
    inner = tuple(size for size in axes[1:] if size is not None)
    if len(inner) < len(axes) - 1:
        raise DataError(f"{one.title} has shape {axes}: only its first size may be left open for sequences")
    return replace(
        one,
        shape=(length, *inner),
        padding=Padding(own["padding"], own["truncating"], own["value"]),
    )


def padded(value: Column, one: Field) -> Column:
    """Pad and cut the arrays of a column to the length of its field, as ``keras.utils.pad_sequences`` does.

    Args:
        value: arrays of the type in which they are sent.
        one: the field.
    """
    assert one.padding is not None
    assert one.shape is not None
    assert one.dtype is not None
    how, (length, *inner) = one.padding, one.shape
    filler = F.lit(how.value).cast(spark_type(one.dtype))
    for size in reversed(inner):
        filler = F.array_repeat(filler, size)
    lacking = F.greatest(F.lit(length) - F.size(value), F.lit(0))
    start = F.greatest(F.size(value) - F.lit(length), F.lit(0)) + 1 if how.truncating == "pre" else F.lit(1)
    kept = F.slice(value, start, F.lit(length))
    rest = F.array_repeat(filler, lacking)
    whole = F.concat(rest, kept) if how.padding == "pre" else F.concat(kept, rest)
    # The size of null is -1, or null.
    return F.when(value.isNotNull(), whole)


def known(fields: Sequence[Field], before: Sequence[Field]) -> tuple[Field, ...]:
    """Return fields that are padded as those of a training."""
    trained = {one.name: one for one in before}
    return tuple(
        replace(one, padding=other.padding, shape=other.shape)
        if (other := trained.get(one.name)) is not None and other.padding is not None
        else one
        for one in fields
    )
