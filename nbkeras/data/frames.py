"""Frames: the kinds of DataFrame that live in the notebook, as Arrow tables, and rows of theirs given back.

pandas is known by its class; polars, Arrow and all others by Arrow's stream of batches that they offer
(``__arrow_c_stream__``), or by the older interchange of DataFrames (``__dataframe__``). Nothing is imported
that the user has not imported.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pyspark.sql import DataFrame

from nbkeras.data import columnar, tabular
from nbkeras.data.names import listed
from nbkeras.data.tabular import Arrays, Arrow, Frame, Pandas, Polars, told
from nbkeras.errors import DataError, one_line

#: What a frame may be, for messages.
KINDS = tabular.KINDS
#: Of rows as Arrow's batches, and of whole DataFrames.
_PROTOCOLS = ("__arrow_c_stream__", "__dataframe__")


def is_frame(data: Any) -> bool:
    """Whether this is a DataFrame: of Spark, pandas, polars, Arrow, or one that offers Arrow's stream.

    Example:
        >>> import pandas as pd, pyarrow as pa
        >>> [is_frame(one) for one in (pd.DataFrame({"a": [1]}), pa.table({"a": [1]}), pd.Series([1]), [1])]
        [True, True, False, False]
    """
    if isinstance(data, (DataFrame, pd.DataFrame, pa.Table, pa.RecordBatch)) or is_pandas_on_spark(data):
        return True
    if isinstance(data, (pd.Series, pd.Index, pa.Array, pa.ChunkedArray)):
        return False
    if polars := sys.modules.get("polars"):
        if isinstance(data, polars.Series):
            return False
        if isinstance(data, (polars.DataFrame, polars.LazyFrame)):
            return True
    return _has_fields(data) or any(hasattr(type(data), one) for one in _PROTOCOLS)


def chosen(data: Any, columns: Sequence[str]) -> Any:
    """A frame of the notebook with some of its columns alone, in their order.

    Raises:
        DataError: one is not there.

    Example:
        >>> import pandas as pd
        >>> list(chosen(pd.DataFrame({"a": [1], "b": [2], "c": [3]}), ["c", "a"]).columns)
        ['c', 'a']
    """
    there = names(data)
    if missing := [one for one in columns if one not in there]:
        raise DataError(
            f"feature column {missing[0]!r} is not in the DataFrame, which has {listed(there[:20])}: name it "
            "so, or name others, features=[…]"
        )
    if isinstance(data, pd.DataFrame):
        return data.iloc[:, [there.index(one) for one in columns]]
    return table(of(data), columns).select(list(columns))


def holds_columns(data: Any) -> bool:
    """Whether this is a DataFrame, or a dict of arrays, which may stand for one.

    Example:
        >>> import numpy as np
        >>> holds_columns({"a": np.ones(2)}), holds_columns({}), holds_columns(np.ones(2))
        (True, False, False)
    """
    return is_frame(data) or (isinstance(data, dict) and bool(data) and all(map(_is_array, data.values())))


def holds_objects(data: Any) -> bool:
    """Whether a frame of the notebook has columns of more than numbers, such as files or words."""
    if isinstance(data, pd.DataFrame):
        return any(getattr(one, "kind", "O") not in "iufb" for one in data.dtypes)
    if hasattr(data, "collect_schema"):  # of polars, whose lazy frames need no row for it
        types = told(data, data.collect_schema).dtypes()
        return not all(one.is_integer() or one.is_float() or str(one) == "Boolean" for one in types)
    frame = of(data)
    kinds = [frame.column(place).type for place in range(len(frame.names))]
    number = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean)
    return not all(any(one(kind) for one in number) for kind in kinds)


def called(data: Any, given: Any) -> Any:
    """Return the name of a column as a word, where a number is one; anything else as it is.

    Args:
        data: of any kind.
        given: a name, names of outputs with theirs, or anything else.

    Example:
        >>> import pandas as pd
        >>> rows = pd.DataFrame([[0.5, 1]])
        >>> called(rows, 1), called(rows, {"price": 1}), called(rows, 2), called(rows, [1])
        ('1', {'price': '1'}, 2, [1])
    """
    if isinstance(given, dict):
        return {key: called(data, one) for key, one in given.items()}
    if not isinstance(given, (int, np.integer)) or isinstance(given, bool):
        return given
    if isinstance(data, pd.DataFrame) or is_pandas_on_spark(data):
        data = data.columns
    elif not isinstance(data, dict):
        return given
    return str(given) if given in data else given


def is_pandas_on_spark(data: Any) -> bool:
    """Whether this is a DataFrame of ``pyspark.pandas``, which nobody has to import for it."""
    # Not by its methods: over Connect a DataFrame has a column of any name that it is asked for.
    return type(data).__module__.startswith("pyspark.pandas") and hasattr(data, "columns")


def of(data: Any) -> Frame:
    """Return what reads a DataFrame of the notebook; what can be read once alone is read.

    Args:
        data: any but Spark's.

    Raises:
        DataError: it is no DataFrame.
    """
    if isinstance(data, pd.DataFrame):
        return Pandas(data)
    polars = sys.modules.get("polars")
    if polars and isinstance(data, (polars.DataFrame, polars.LazyFrame)):
        return Polars(data)
    if isinstance(data, (pa.Table, pa.RecordBatch)):
        return Arrow(data if isinstance(data, pa.Table) else pa.Table.from_batches([data]))
    if not holds_columns(data):
        raise DataError(f"the data is {_said(data)}: give {KINDS}, or a dict of arrays")
    if isinstance(data, dict) or _has_fields(data):
        return Arrays(data)
    return Arrow(_read(data))


def held(data: Any) -> Any:
    """Return data that can be read more than once: what is lazy is read; other data is as it was."""
    if isinstance(data, (DataFrame, pd.DataFrame, pa.Table, pa.RecordBatch)) or is_pandas_on_spark(data):
        return data
    if not is_frame(data) or _has_fields(data):
        return data
    if type(data).__module__.startswith("polars"):
        return told(data, data.collect).lazy() if hasattr(data, "collect") else data
    return _read(data)


def names(data: Any) -> list[str]:
    """Return the names of the columns of any DataFrame.

    Example:
        >>> import pyarrow as pa
        >>> names(pa.table({"a": [1], "b": [2]}))
        ['a', 'b']
    """
    if isinstance(data, DataFrame) or is_pandas_on_spark(data):
        return [str(one) for one in data.columns]
    if hasattr(data, "collect_schema"):
        return list(told(data, data.collect_schema).names())
    return list(of(data).names)


def table(frame: Frame, only: Sequence[str] | None = None) -> pa.Table:
    """Return an Arrow table of a frame's columns, in types that Spark takes.

    Args:
        frame: from :func:`of`.
        only: the columns that are needed; None for all.

    Raises:
        DataError: a name is there twice, or a column is of a type that Spark does not take.
    """
    chosen = [place for place, name in enumerate(frame.names) if only is None or name in only]
    if not chosen:
        raise DataError("the DataFrame has no columns: give one with a column for each input and label")
    called = [frame.names[place] for place in chosen]
    if twice := [name for name in dict.fromkeys(called) if called.count(name) > 1]:
        raise DataError(
            f"column {listed(twice[:3])} is in the DataFrame {called.count(twice[0])} times: rename one"
        )
    return pa.table({name: _column(frame, place, name) for name, place in zip(called, chosen, strict=True)})


def _column(frame: Frame, place: int, name: str) -> pa.ChunkedArray:
    try:
        found = frame.column(place)
    except Exception as error:  # pandas, polars and Arrow have errors of their own
        raise DataError(
            f"column '{name}' holds values that Arrow does not take ({one_line(error)}): write all as "
            "numbers or all as words, or remove the column"
        ) from error
    return columnar.sent(name, found if isinstance(found, pa.ChunkedArray) else pa.chunked_array([found]))


def _read(data: Any) -> pa.Table:
    """The table that a stream of Arrow's, or the interchange of DataFrames, gives."""
    if hasattr(data, "__arrow_c_stream__"):
        return told(data, lambda: pa.RecordBatchReader.from_stream(data).read_all())
    from pyarrow import interchange

    return told(data, lambda: interchange.from_dataframe(data))


def _has_fields(data: Any) -> bool:
    return isinstance(data, np.ndarray) and data.dtype.names is not None


def _is_array(value: Any) -> bool:
    return (isinstance(value, list) and bool(value)) or len(getattr(value, "shape", ())) > 0


def _said(data: Any) -> str:
    """Data that is no frame, for a message."""
    if isinstance(data, np.ndarray):
        return f"an array of shape {data.shape}, whose columns have no names"
    package = type(data).__module__.partition(".")[0]
    return f"a {type(data).__name__}" + ("" if package == "builtins" else f" of {package}")
