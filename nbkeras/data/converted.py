"""Converted: the arrays that Keras would make of what is given, where no columns are named."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame

from nbkeras.data import frames
from nbkeras.data.shards import nulls_message
from nbkeras.errors import DataError


def converted(given: Any) -> Any:
    """Return arrays in any structure, made of frames and of their columns where there are some.

    Args:
        given: as Keras takes it, or a frame of another package.

    Raises:
        DataError: a column that tells nulls from NaN holds nulls.

    Example:
        >>> import pyarrow as pa
        >>> converted({"x": pa.table({"a": [1, 2], "b": [0.5, 1.0]}), "y": None})["x"].tolist()
        [[1.0, 0.5], [2.0, 1.0]]
    """
    if isinstance(given, dict):
        return {key: converted(one) for key, one in given.items()}
    if isinstance(given, (list, tuple)):
        return [converted(one) if _is_held(one) or isinstance(one, dict) else one for one in given]
    return _array(given) if _is_held(given) else given


def _is_held(data: Any) -> bool:
    """Whether this is a frame, or a column of one."""
    return hasattr(data, "to_numpy") or frames.is_frame(data)


def _array(data: Any) -> Any:
    """The array that Keras would make of pandas data; of nullable numbers as if they were none."""
    if isinstance(data, DataFrame) or frames.is_pandas_on_spark(data):
        return data
    data = _in_pandas(data)
    if not isinstance(data, (pd.DataFrame, pd.Series)):
        return data
    types = set(data.dtypes) if isinstance(data, pd.DataFrame) else {data.dtype}
    kinds = {getattr(one, "kind", "O") for one in types}
    nullable = any(not isinstance(one, np.dtype) for one in types)
    if not kinds <= set("iufb") or not (nullable or len(types) > 1):
        return data.to_numpy()
    if nullable:
        found = data.isna().sum()
        counts = found.to_dict() if isinstance(data, pd.DataFrame) else {data.name: int(found)}
        if nulls := {str(name): number for name, number in counts.items() if number}:
            raise DataError(nulls_message(nulls))
    if "f" in kinds or "b" in kinds:
        import keras

        # NumPy makes objects of bools beside floats; Keras makes floats of the whole frame.
        return data.astype(keras.config.floatx()).to_numpy()
    return data.to_numpy("uint64" if kinds == {"u"} else "int64")


def _in_pandas(data: Any) -> Any:
    """Data of polars or Arrow in pandas' columns of Arrow, which tell nulls from NaN; vectors as an array."""
    if isinstance(data, (pd.DataFrame, pd.Series, np.ndarray)):
        return data
    if frames.is_frame(data):
        table = frames.held(data)
        table = table if isinstance(table, pa.Table) else pa.table(_columns(table))
        if table.num_columns == 1 and _holds_lists(table.column(0)):
            return _vectors(table.column(0))
        return table.to_pandas(types_mapper=pd.ArrowDtype)
    if hasattr(data, "to_arrow"):  # a series of polars
        data = data.to_arrow()
    if not isinstance(data, (pa.Array, pa.ChunkedArray)):
        return data.to_numpy()
    return _vectors(data) if _holds_lists(data) else pd.Series(data, dtype=pd.ArrowDtype(data.type))


def _columns(data: Any) -> dict[str, Any]:
    """The columns of a frame by their names, each of which is there once."""
    frame = frames.of(data)
    return {name: frame.column(place) for place, name in enumerate(frame.names)}


def _holds_lists(column: Any) -> bool:
    return pa.types.is_nested(column.type) and hasattr(column.type, "value_type")


def _vectors(column: Any) -> Any:
    """An array with a row for each list, where all have one length."""
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    matrices = [made for one in chunks if len(one) and (made := _matrix(one)) is not None]
    if sum(map(len, matrices)) == len(column) and len({one.shape[1] for one in matrices}) == 1:
        return np.concatenate(matrices)
    values = column.to_pylist()
    try:
        return np.asarray(values)
    except ValueError:  # of several lengths: said where it is known what for
        return values


def _matrix(lists: pa.Array) -> Any:
    """Lists of numbers without a gap and of one length, as they lie; None for others."""
    numbers = lists.flatten()
    kinds = (pa.types.is_integer, pa.types.is_floating)
    if lists.null_count or numbers.null_count or not any(one(numbers.type) for one in kinds):
        return None
    lengths = pc.unique(pc.list_value_length(lists)).to_pylist()
    return numbers.to_numpy(zero_copy_only=False).reshape(len(lists), *lengths) if len(lengths) == 1 else None
