"""Kind: what the package asks of a kind of columns."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import Column
from pyspark.sql import types as T

from nbkeras.data.names import listed
from nbkeras.errors import DataError
from nbkeras.schema import Field

#: Spark's type for a NumPy type; narrower ones are cast from the next wider.
_SPARK_TYPES = {
    "float32": "float",
    "float64": "double",
    "float16": "float",
    "bfloat16": "float",
    "int64": "bigint",
    "uint32": "bigint",
    "bool": "boolean",
}


def spark_type(dtype: str) -> str:
    """Spark's type that holds the values of a NumPy type.

    Example:
        >>> spark_type("float32"), spark_type("uint8")
        ('float', 'int')
    """
    return _SPARK_TYPES.get(dtype, "int")


class Encoding(ABC):
    """How values travel to a worker in an Arrow column.

    Attributes:
        name: as a field names it.
    """

    name: ClassVar[str]

    def array(self, value: Any, field: Field) -> npt.NDArray[Any]:
        """One row's value as an array of the field's type."""
        return np.asarray(value, field.dtype)

    @abstractmethod
    def decode(self, column: pa.Array, field: Field, nulls: dict[str, int]) -> npt.NDArray[Any] | None:
        """The values of an Arrow column as an array of shape (rows, …), or None where it has nulls.

        Args:
            column: some rows.
            field: that it feeds.
            nulls: counts of nulls by source column, added to.

        Raises:
            DataError: the values do not have the field's shape.
        """


class Kind(Encoding):
    """A kind of columns of a DataFrame.

    Attributes:
        single: whether a row holds one number, so that several columns can be stacked into one vector.
    """

    single: ClassVar[bool] = False

    @abstractmethod
    def holds(self, dtype: T.DataType) -> bool:
        """Whether columns of a Spark type are of this kind."""

    def is_whole(self, dtype: T.DataType) -> bool:
        """Whether the numbers of such a column are whole: labels stay so then, all others become floats."""
        return False

    @abstractmethod
    def cast(self, column: Column, dtype: T.DataType, target: str) -> Column:
        """The column in the form that travels, with its numbers cast for a NumPy type.

        Args:
            column: of this kind.
            dtype: of the column.
            target: NumPy's name of a type.
        """

    @abstractmethod
    def numbers(self, column: Column, dtype: T.DataType) -> Column:
        """All numbers of the column as doubles: an array has a row for each number in it.

        Args:
            column: of this kind.
            dtype: of the column.
        """

    @abstractmethod
    def shape(self, value: Any) -> tuple[int, ...]:
        """The shape of the numbers in one row.

        Args:
            value: of the row, as Spark gives it to Python, no null.
        """


def fitted(values: npt.NDArray[Any], field: Field) -> npt.NDArray[Any]:
    """Values in the type and shape of a field.

    Args:
        values: of shape (rows, …).
        field: that they feed.

    Raises:
        DataError: they do not fill its shape.
    """
    if field.dtype is not None:
        values = values.astype(field.dtype, copy=False)
    if field.shape is None:
        return values
    rows, *shape = values.shape
    if math.prod(shape) != math.prod(field.shape):
        held = f"arrays of shape {tuple(shape)}" if shape else "single numbers"
        raise DataError(
            f"{field.title} takes shape {field.shape}, column {listed(field.sources)} holds {held}"
        )
    return values.reshape(rows, *field.shape)
