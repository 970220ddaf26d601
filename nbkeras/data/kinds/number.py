"""Number: one whole number or float per row."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import Column
from pyspark.sql import types as T

from nbkeras.data.kinds.kind import Kind, count, fitted, spark_type
from nbkeras.schema import Field


class Number(Kind):
    """Spark's bytes, shorts, integers, longs, floats and doubles."""

    name: ClassVar[str] = "number"
    single: ClassVar[bool] = True
    types: ClassVar[tuple[type[T.DataType], ...]] = (T.IntegralType, T.FloatType, T.DoubleType)

    def holds(self, dtype: T.DataType) -> bool:
        """See :class:`Kind`."""
        return isinstance(dtype, self.types)

    def is_whole(self, dtype: T.DataType) -> bool:
        """See :class:`Kind`."""
        return isinstance(dtype, T.IntegralType)

    def cast(self, column: Column, dtype: T.DataType, target: str) -> Column:
        """See :class:`Kind`."""
        wanted = spark_type(target)
        return column if dtype.simpleString() == wanted else column.cast(wanted)

    def numbers(self, column: Column, dtype: T.DataType) -> Column:
        """See :class:`Kind`."""
        return self.cast(column, dtype, "float64")

    def shape(self, value: Any) -> tuple[int, ...]:
        """See :class:`Kind`."""
        return (1,)

    def decode(self, column: pa.Array, field: Field, nulls: dict[str, int]) -> npt.NDArray[Any] | None:
        """See :class:`Kind`."""
        if column.null_count:
            (name,) = field.sources
            count(nulls, name, column.null_count)
            return None
        return fitted(column.to_numpy(zero_copy_only=False), field)
