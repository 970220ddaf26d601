"""Tabular: each kind of DataFrame of the notebook, its columns as Arrow's, and further ones beside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import pandas as pd
import pyarrow as pa

from nbkeras.errors import DataError, one_line

#: What a frame may be, for messages.
KINDS = "a DataFrame of Spark, pandas, polars or Arrow"
#: Whole numbers of as many digits as Spark takes.
_LARGEST = pa.decimal128(38, 0)


class Frame(Protocol):
    """A DataFrame of the notebook.

    Attributes:
        names: of its columns, as words.
    """

    names: list[str]

    def column(self, place: int) -> pa.ChunkedArray | pa.Array:
        """The column at a place, as Arrow holds it."""

    def beside(self, made: pa.Table, rows: Sequence[int] | None) -> Any:
        """The user's frame, or some rows of it, with further columns, as a frame of its own kind.

        Args:
            made: the further columns.
            rows: their places in the frame; None for all in their order.
        """


class Pandas:
    """A DataFrame of pandas."""

    def __init__(self, data: pd.DataFrame) -> None:
        self._data = data
        self.names: list[str] = [str(one) for one in data.columns]

    def column(self, place: int) -> pa.ChunkedArray | pa.Array:
        """See :class:`Frame`."""
        series = self._data.iloc[:, place]
        if isinstance(series.dtype, pd.SparseDtype):
            series = series.sparse.to_dense()
        try:
            return _array(_native(series) if isinstance(series.dtype, np.dtype) else series)
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            # Arrays of several axes, vectors and rows of Spark.
            return pa.array([_plain(one) for one in series])

    def beside(self, made: pa.Table, rows: Sequence[int] | None) -> Any:
        """See :class:`Frame`."""
        found = self._data.copy() if rows is None else self._data.iloc[rows].copy()
        for name in made.column_names:
            found[name] = made.column(name).to_pandas().to_numpy()
        return found


class Polars:
    """A DataFrame of polars, lazy or not."""

    def __init__(self, data: Any) -> None:
        self._lazy = hasattr(data, "collect")
        self._data = told(data, data.collect) if self._lazy else data
        self.names: list[str] = list(self._data.columns)

    def column(self, place: int) -> pa.ChunkedArray | pa.Array:
        """See :class:`Frame`."""
        series = self._data.to_series(place)
        if str(series.dtype) == "Object":
            raise TypeError("they are Python's objects")  # polars would give their addresses
        column = series.to_frame().to_arrow().column(0)
        if not str(series.dtype).startswith("Enum"):
            return column
        # Words in an order, which polars does not tell Arrow.
        ordered = [
            pa.DictionaryArray.from_arrays(one.indices, one.dictionary, ordered=True) for one in column.chunks
        ]
        return pa.chunked_array(ordered) if ordered else column

    def beside(self, made: pa.Table, rows: Sequence[int] | None) -> Any:
        """See :class:`Frame`."""
        found = self._data if rows is None else self._data[rows]
        found = found.hstack(type(found)(made).get_columns())
        return found.lazy() if self._lazy else found


class Arrow:
    """A table of Arrow's."""

    def __init__(self, data: Any) -> None:
        self._data = data
        self.names: list[str] = data.column_names

    def column(self, place: int) -> pa.ChunkedArray | pa.Array:
        """See :class:`Frame`."""
        return self._data.column(place)

    def beside(self, made: pa.Table, rows: Sequence[int] | None) -> Any:
        """See :class:`Frame`."""
        found = self._data if rows is None else self._data.take(rows)
        for name in made.column_names:
            found = found.append_column(name, made.column(name))
        return found


class Arrays:
    """Arrays by name: a dict, or an array with fields."""

    def __init__(self, data: Any) -> None:
        self._data, self._keys = data, list(_fields(data))
        self.names: list[str] = [str(one) for one in self._keys]
        lengths = {str(one): len(data[one]) for one in self._keys}
        if len(set(lengths.values())) > 1:
            given = ", ".join(f"{name} {length}" for name, length in lengths.items())
            raise DataError(f"the columns differ in length ({given}): give each one entry per row")

    def column(self, place: int) -> pa.ChunkedArray | pa.Array:
        """See :class:`Frame`."""
        values = self._data[self._keys[place]]
        if isinstance(values, (pd.Series, list)) or hasattr(values, "__arrow_c_stream__"):
            return pa.chunked_array(values) if hasattr(values, "__arrow_c_stream__") else _array(values)
        return _nested(_native(np.asarray(values)))

    def beside(self, made: pa.Table, rows: Sequence[int] | None) -> Any:
        """See :class:`Frame`."""
        further = {name: _stacked(made.column(name)) for name in made.column_names}
        held = {one: np.asarray(self._data[one]) for one in self._keys}
        whole = {**(held if rows is None else {key: one[rows] for key, one in held.items()}), **further}
        if isinstance(self._data, Mapping):
            return whole
        found = np.empty(made.num_rows, [(name, one.dtype, one.shape[1:]) for name, one in whole.items()])
        for name, one in whole.items():
            found[name] = one
        return found


def told(data: Any, read: Callable[[], Any]) -> Any:
    """What a package of frames reads, whose errors are of its own kind.

    Raises:
        DataError: it cannot.
    """
    try:
        return read()
    except Exception as error:  # of any package
        raise DataError(
            f"the data is a {type(data).__name__}, which cannot be read ({one_line(error)}): give {KINDS}"
        ) from error


def _plain(value: Any) -> Any:
    """Lists and dicts in place of arrays, vectors and rows of Spark."""
    if hasattr(value, "toArray"):
        value = value.toArray()
    if hasattr(value, "asDict"):
        return value.asDict(recursive=True)
    if isinstance(value, np.ndarray):
        return [_plain(one) for one in value] if value.dtype == object else value.tolist()
    return value


def _nested(array: Any) -> pa.Array:
    """Arrow's column of an array: one of several axes holds lists of a fixed length."""
    if array.ndim > 1 and array.dtype != object:
        inner = _nested(array.reshape(-1, *array.shape[2:]))
        return pa.FixedSizeListArray.from_arrays(inner, array.shape[1])
    return _array(np.ascontiguousarray(array) if array.ndim == 1 else array.tolist())


def _native(values: Any) -> Any:
    """An array or series in this machine's order of bytes, the only one that Arrow takes."""
    return values if values.dtype.isnative else values.astype(values.dtype.newbyteorder("="))


def _array(values: Any) -> pa.Array:
    """Arrow's array; of whole numbers beyond 64 bits, decimals."""
    try:
        return pa.array(values)
    except OverflowError:
        pass
    try:
        return pa.array(values, _LARGEST, from_pandas=isinstance(values, pd.Series))
    except pa.ArrowException:
        raise OverflowError("whole numbers beyond 64 bits stand alone, with up to 38 digits") from None


def _stacked(column: pa.ChunkedArray) -> Any:
    """NumPy's array of a column; of lists, all of one length at each depth, an array of as many axes."""
    kind = column.type
    if not (pa.types.is_nested(kind) and hasattr(kind, "value_type")):
        return column.to_numpy()
    while hasattr(kind, "value_type"):
        kind = kind.value_type
    values = column.to_pylist()
    try:
        return np.array(values, kind.to_pandas_dtype())
    except (TypeError, ValueError):
        # Of several lengths, or missing, as for an image that is left out.
        found = np.empty(len(values), object)
        for place, one in enumerate(values):
            found[place] = None if one is None else np.asarray(one)
        return found


def _fields(data: Any) -> Sequence[Any]:
    return list(data) if isinstance(data, Mapping) else list(data.dtype.names)
