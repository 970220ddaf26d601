"""Arguments of a function of columns, in the form in which a DataFrame's columns are sent.

Spark tells such a function the types of its arguments with the first rows, so they are cast here, as
:mod:`nbkeras.data.columns` has Spark cast those of a DataFrame.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nbkeras.data.image_columns import PATH
from nbkeras.data.kinds.kind import spark_type
from nbkeras.data.names import first
from nbkeras.errors import DataError, OptionError
from nbkeras.schema import WORDS, Field

#: Arrow's types of Spark's.
_TYPES = {
    "float": pa.float32(),
    "double": pa.float64(),
    "bigint": pa.int64(),
    "int": pa.int32(),
    "boolean": pa.bool_(),
    "string": pa.string(),
}
_PLAIN = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_decimal)
_WORDS = (pa.types.is_string, pa.types.is_large_string)


@dataclass(frozen=True)
class Arguments:
    """The arguments of a function of columns.

    Attributes:
        name: of the function, for messages.
        fields: of the model's inputs, which the arguments feed: one each, or all the only one.
        names: of the arguments, in their order, where each is one column; for messages.
        order: the number of the argument that comes at each place of the model; empty for their own order.
    """

    name: str
    fields: tuple[Field, ...]
    names: tuple[str, ...]
    order: tuple[int, ...] = ()

    def require(self, number: int) -> None:
        """Check how many arguments the function is given.

        Raises:
            OptionError: it takes more or less.
        """
        if number not in self._numbers():
            single = f", or one array of {self._width()}" if len(self.fields) == 1 else ""
            raise OptionError(
                f"{self.name} is given {number} argument{'' if number == 1 else 's'} and takes "
                f"{max(self._numbers())}: {self.name}({first(self.names)}){single}"
            )

    def columns(self, given: Sequence[pa.Array]) -> tuple[pa.Array, ...]:
        """One column for each field.

        Args:
            given: the arguments for some rows.

        Raises:
            DataError: they are not what the model takes.
            OptionError: they are more or less.
        """
        self.require(len(given))
        if self.order and len(given) == len(self.order):
            given = [given[place] for place in self.order]
        if len(given) == len(self.fields):
            return tuple(self._column(one, field) for one, field in zip(given, self.fields, strict=True))
        (field,) = self.fields
        return (_stacked([self._value(one, field, place) for place, one in enumerate(given)]),)

    def _width(self) -> int:
        (field,) = self.fields
        return math.prod(field.shape or ())

    def _numbers(self) -> set[int]:
        several = len(self.fields) > 1 or self.fields[0].image is not None
        return {len(self.fields)} if several else {1, self._width()}

    def _column(self, given: pa.Array, field: Field) -> pa.Array:
        if field.image is not None:
            return self._images(given, field)
        if len(field.sources) > 1 and any(one is not None for one in field.fills):
            raise DataError(
                f"the training has filled gaps of {first(field.sources)} by values of their own: give "
                f"{self.name} these columns one by one"
            )
        return self._value(given, field, 0)

    def _value(self, given: pa.Array, field: Field, place: int) -> pa.Array:
        """An argument in the type of its field, its gaps filled."""
        known = _WORDS if field.dtype == WORDS else _PLAIN
        inner = _innermost(given.type)
        if not (pa.types.is_null(inner) or any(one(inner) for one in known)):
            thing = "words" if field.dtype == WORDS else "numbers"
            raise DataError(f"{self.name} is given {given.type} for {field.title}, which takes {thing}")
        target = _TYPES[spark_type(field.dtype or "float32")]
        try:
            # Whole numbers must stay what they are; a float takes the nearest.
            made = given.cast(_within(given.type, target), safe=pa.types.is_integer(target))
        except pa.ArrowInvalid as error:
            raise DataError(f"{self.name} is given {given.type} for {field.title}: {error}") from error
        fill = field.fills[place] if place < len(field.fills) else None
        if fill is None:
            return made
        missing = pc.is_null(made, nan_is_null=True)
        return pc.if_else(missing, pa.scalar(fill).cast(target), made)

    def _images(self, given: pa.Array, field: Field) -> pa.Array:
        """Files, their paths, or what Spark's ``image`` source gives, with the name of each."""
        kind = given.type
        name = pa.nulls(len(given), pa.string())
        if any(one(kind) for one in _WORDS):
            name = given
        elif pa.types.is_struct(kind):
            name = given.field("origin")
        elif not (pa.types.is_binary(kind) or pa.types.is_large_binary(kind)):
            raise DataError(
                f"{self.name} is given {kind} for {field.title}, which takes files of images (binary) or "
                f"their paths: give the column content or {PATH} of spark.read.format('binaryFile')"
            )
        return pa.StructArray.from_arrays([name, given], ["name", "value"])


def _stacked(columns: Sequence[pa.Array]) -> pa.Array:
    """Arrays of the values of several columns."""
    count, width = len(columns[0]), len(columns)
    values = pa.concat_arrays(columns)
    places = np.arange(count * width).reshape(width, count).T.reshape(-1)
    offsets = np.arange(0, count * width + 1, width, dtype=np.int32)
    return pa.ListArray.from_arrays(offsets, values.take(pa.array(places)))


def _innermost(kind: pa.DataType) -> pa.DataType:
    return _innermost(kind.value_type) if pa.types.is_nested(kind) and hasattr(kind, "value_type") else kind


def _within(kind: pa.DataType, target: pa.DataType) -> pa.DataType:
    """A type of arrays, nested alike, of another type of values."""
    nested = pa.types.is_nested(kind) and hasattr(kind, "value_type")
    return pa.list_(_within(kind.value_type, target)) if nested else target
