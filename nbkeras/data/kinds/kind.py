"""Kind: the interface of a kind of columns."""

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

#: Spark's type for a NumPy type; a narrower NumPy type is cast from the next wider one.
_SPARK_TYPES = {
    "float32": "float",
    "float64": "double",
    "float16": "float",
    "bfloat16": "float",
    "int64": "bigint",
    "uint32": "bigint",
    "bool": "boolean",
    "string": "string",
}


def spark_type(dtype: str) -> str:
    """Return the Spark type that holds the values of a NumPy type.

    Example:
        >>> spark_type("float32"), spark_type("uint8")
        ('float', 'int')
    """
    return _SPARK_TYPES.get(dtype, "int")


class Encoding(ABC):
    """How values are sent to a worker in an Arrow column.

    Attributes:
        name: by which a field refers to it.
    """

    name: ClassVar[str]

    def array(self, value: Any, field: Field) -> npt.NDArray[Any]:
        """Convert one row's value into an array of the field's type."""
        return np.asarray(value, field.dtype)

    def stacked(self, arrays: list[npt.NDArray[Any]]) -> Any:
        """Put the values of some rows together, as :meth:`decode` gives them."""
        return np.stack(arrays)

    @abstractmethod
    def decode(self, column: pa.Array, field: Field, nulls: dict[str, int]) -> Any:
        """Convert an Arrow column into an array of shape (rows, …), or return None where it has nulls.

        Words stay in Arrow, see :class:`nbkeras.data.preprocessing.graph.Text`.

        Args:
            column: values of some rows.
            field: that the column feeds.
            nulls: counts of nulls by source column; updated.

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
        """Whether the column holds whole numbers: such labels stay whole, all others become floats."""
        return False

    @abstractmethod
    def cast(self, column: Column, dtype: T.DataType, target: str) -> Column:
        """Cast the column into the form that is sent, for a NumPy type of its numbers.

        Args:
            column: of this kind.
            dtype: of the column.
            target: name of the NumPy type.
        """

    @abstractmethod
    def numbers(self, column: Column, dtype: T.DataType) -> Column:
        """Return all numbers of the column as doubles: an array gives one row for each of its numbers.

        Args:
            column: of this kind.
            dtype: of the column.
        """

    @abstractmethod
    def shape(self, value: Any) -> tuple[int, ...]:
        """Return the shape of the numbers in one row.

        Args:
            value: of the row, as Spark gives it to Python; not null.
        """


def fitted(values: npt.NDArray[Any], field: Field) -> npt.NDArray[Any]:
    """Convert values to the type and shape of a field.

    Args:
        values: of shape (rows, …).
        field: that the values feed.

    Raises:
        DataError: the values do not have as many numbers as the shape.
    """
    if field.dtype is not None:
        values = values.astype(field.dtype, copy=False)
    if field.shape is None:
        return values
    rows, *shape = values.shape
    if math.prod(shape) != math.prod(field.shape):
        held = f"arrays of shape {tuple(shape)}" if shape else "single numbers"
        raise DataError(
            f"{field.title} takes shape {field.shape}, column {listed(field.sources)} holds {held}: "
            "give the column this shape, or the model another keras.Input"
        )
    return values.reshape(rows, *field.shape)


def count(nulls: dict[str, int], source: str, number: int) -> None:
    """Add to the nulls of a source column."""
    nulls[source] = nulls.get(source, 0) + number
