"""Vector: dense and sparse vectors of ``pyspark.ml``, which are sent as arrays."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql import types as T

from nbkeras.data.kinds.array import Array
from nbkeras.data.kinds.kind import Kind, spark_type
from nbkeras.schema import Field

_CAST = Array(())


class Vector(Kind):
    """Spark ML's vectors of doubles."""

    name: ClassVar[str] = "vector"

    def holds(self, dtype: T.DataType) -> bool:
        """See :class:`Kind`."""
        # Compare the name: importing the class would import all of pyspark.ml.
        return isinstance(dtype, T.UserDefinedType) and type(dtype).__name__ == "VectorUDT"

    def cast(self, column: Column, dtype: T.DataType, target: str) -> Column:
        """See :class:`Kind`."""
        from pyspark.ml.functions import vector_to_array

        return vector_to_array(column, "float64" if spark_type(target) == "double" else "float32")

    def numbers(self, column: Column, dtype: T.DataType) -> Column:
        """See :class:`Kind`."""
        return F.explode(self.cast(column, dtype, "float64"))

    def shape(self, value: Any) -> tuple[int, ...]:
        """See :class:`Kind`."""
        return (len(value),)

    def decode(self, column: pa.Array, field: Field, nulls: dict[str, int]) -> npt.NDArray[Any] | None:
        """See :class:`Kind`."""
        return _CAST.decode(column, field, nulls)
