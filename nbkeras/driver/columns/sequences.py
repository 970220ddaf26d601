"""Columns of sequences: how they are padded is marked, and done as rows are sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import types as T

from nbkeras.data import kinds, marks, parts
from nbkeras.data.columns import existing
from nbkeras.data.kinds.array import innermost
from nbkeras.data.sequences import SEQUENCES
from nbkeras.data.source import data_frame
from nbkeras.errors import DataError, OptionError
from nbkeras.plan import whole
from nbkeras.spark.session import attached

_ENDS = ("pre", "post")


def pad(
    spark: SparkSession | None,
    data: Any,
    columns: str | Sequence[str],
    maxlen: int | None,
    padding: str,
    truncating: str,
    value: Any,
) -> DataFrame:
    """Mark columns of arrays to be padded.

    Args:
        spark: the session; None for the active one, or a new local one.
        data, columns, maxlen, padding, truncating, value: as in :func:`nbkeras.pad_sequences`.

    Raises:
        DataError: there is no such column, or it holds no arrays.
        OptionError: an option is none.
    """
    for name, end in {"padding": padding, "truncating": truncating}.items():
        if end not in _ENDS:
            raise OptionError(f"{name}={end!r}: use 'pre' or 'post'")
    length = None if maxlen is None else whole("maxlen", maxlen, 1)
    df = data_frame(attached(spark), data)
    for name in [columns] if isinstance(columns, str) else columns:
        dtype = parts.type_of(df, existing(df, name, "sequence"))
        words = kinds.holds_words(dtype)
        if not isinstance(dtype, T.ArrayType) or not (words or kinds.of(dtype)):
            raise DataError(
                f"column '{name}' is {dtype.simpleString()}: name one that holds arrays of numbers or words"
            )
        filler = _filler(name, value, innermost(dtype), words=words)
        chosen = {"maxlen": length, "padding": padding, "truncating": truncating, "value": filler}
        df = marks.added(df, name, {SEQUENCES: chosen})
    return df


def _filler(name: str, value: Any, dtype: T.DataType, *, words: bool) -> Any:
    """The value that is added to a column."""
    if value is None:
        return "" if words else 0
    if words != isinstance(value, str) or not isinstance(value, (str, int, float, np.number)):
        held = "words" if words else f"numbers ({dtype.simpleString()})"
        raise OptionError(f"value={value!r}, and column '{name}' holds {held}: use one of these")
    if isinstance(value, str):
        return value
    number = float(value)
    return int(number) if number.is_integer() else number
