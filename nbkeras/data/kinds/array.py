"""Array: arrays of numbers, nested to any depth; all rows have one shape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql import types as T

from nbkeras.data.kinds.kind import Kind, count, fitted, spark_type
from nbkeras.data.names import listed
from nbkeras.data.shards import WITHIN
from nbkeras.errors import DataError
from nbkeras.schema import Field


class Array(Kind):
    """Spark's arrays.

    Args:
        elements: kinds that an array may hold.
    """

    name: ClassVar[str] = "array"

    def __init__(self, elements: Sequence[Kind]) -> None:
        self._elements = tuple(elements)

    def _element(self, dtype: T.DataType) -> Kind | None:
        """Return the kind of the numbers in the innermost arrays."""
        inner = innermost(dtype)
        return next((kind for kind in self._elements if kind.holds(inner)), None)

    def holds(self, dtype: T.DataType) -> bool:
        """See :class:`Kind`."""
        return isinstance(dtype, T.ArrayType) and self._element(dtype) is not None

    def is_whole(self, dtype: T.DataType) -> bool:
        """See :class:`Kind`."""
        element = self._element(dtype)
        return element is not None and element.is_whole(innermost(dtype))

    def cast(self, column: Column, dtype: T.DataType, target: str) -> Column:
        """See :class:`Kind`."""
        wanted = spark_type(target)
        if innermost(dtype).simpleString() == wanted:
            return column
        depth = _depth(dtype)
        return column.cast("array<" * depth + wanted + ">" * depth)

    def numbers(self, column: Column, dtype: T.DataType) -> Column:
        """See :class:`Kind`."""
        cast = self.cast(column, dtype, "float64")
        for _ in range(_depth(dtype) - 1):
            cast = F.flatten(cast)
        return F.explode(cast)

    def shape(self, value: Any) -> tuple[int, ...]:
        """See :class:`Kind`; reads the first entry of each array only."""
        if not hasattr(value, "__len__"):
            return ()
        return (len(value), *(self.shape(value[0]) if len(value) else ()))

    def decode(self, column: pa.Array, field: Field, nulls: dict[str, int]) -> npt.NDArray[Any] | None:
        """See :class:`Kind`."""
        if column.null_count:
            count(nulls, field.sources[0], column.null_count)
            return None
        shape: list[int] = [len(column)]
        while pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
            lengths = np.unique(np.diff(column.offsets.to_numpy()))
            if len(lengths) > 1:
                raise DataError(
                    f"column {listed(field.sources)} holds arrays of {lengths[0]} to {lengths[-1]} values, "
                    f"{field.title} needs arrays of one length: pad them with "
                    f"nbkeras.pad_sequences(df, '{field.sources[0]}')"
                )
            shape.append(int(lengths[0]) if len(lengths) else 0)
            column = column.flatten()
            if column.null_count:
                _count_entries(nulls, field, column, shape)
                return None
        return fitted(column.to_numpy(zero_copy_only=False).reshape(shape), field)


def innermost(dtype: T.DataType) -> T.DataType:
    """Return the type inside all nested arrays; a type that is not an array is returned as it is."""
    while isinstance(dtype, T.ArrayType):
        dtype = dtype.elementType
    return dtype


def _depth(dtype: T.DataType) -> int:
    return 1 + _depth(dtype.elementType) if isinstance(dtype, T.ArrayType) else 0


def _count_entries(nulls: dict[str, int], field: Field, values: pa.Array, shape: list[int]) -> None:
    """Count rows with a null among their entries; if several columns are stacked, count for each column."""
    missing = values.is_null().to_numpy(zero_copy_only=False).reshape(shape[0], -1)
    if len(field.sources) == 1:
        count(nulls, field.sources[0] + WITHIN, int(missing.any(axis=1).sum()))
        return
    for source, number in zip(field.sources, missing.sum(axis=0), strict=True):
        if number:
            count(nulls, source, int(number))
