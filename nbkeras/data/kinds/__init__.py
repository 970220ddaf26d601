"""Kinds of columns: one module for each kind, from its Spark types to the arrays on a worker.

To add a kind, add a module here and its place in :data:`KINDS`.
"""

from __future__ import annotations

from pyspark.sql import types as T

from nbkeras.data.kinds.array import Array
from nbkeras.data.kinds.boolean import Boolean
from nbkeras.data.kinds.classes import Classes
from nbkeras.data.kinds.decimal import Decimal
from nbkeras.data.kinds.images import Images
from nbkeras.data.kinds.kind import Encoding, Kind
from nbkeras.data.kinds.number import Number
from nbkeras.data.kinds.raw import Raw
from nbkeras.data.kinds.text import Text
from nbkeras.data.kinds.vector import Vector
from nbkeras.schema import Field

__all__ = ["KINDS", "Kind", "encoding", "holds_words", "of", "shape"]

_SINGLE = (Number(), Boolean(), Decimal())
KINDS: tuple[Kind, ...] = (*_SINGLE, Array(_SINGLE), Vector())


def of(dtype: T.DataType) -> Kind | None:
    """Return the kind of a column of numbers by its Spark type, or None for other types.

    Example:
        >>> from pyspark.sql import types as T
        >>> from nbkeras.data import kinds
        >>> kinds.of(T.ArrayType(T.BooleanType())).name
        'array'
        >>> kinds.of(T.StringType()) is None
        True
    """
    return next((kind for kind in KINDS if kind.holds(dtype)), None)


def holds_words(dtype: T.DataType) -> bool:
    """Whether columns of a Spark type hold words, or arrays of them."""
    return Text().holds(dtype)


def encoding(field: Field) -> Encoding:
    """Return the encoding in which the values of a field are sent."""
    return next(one for one in (*KINDS, Raw(), Text(), Classes(), Images()) if one.name == field.kind)


def shape(field: Field) -> tuple[int, ...] | None:
    """Return the shape of a row's value, or None where only the rows tell it.

    Example:
        >>> from nbkeras.data import kinds
        >>> from nbkeras.schema import Field
        >>> kinds.shape(Field("y0", ("digit",), "label 'digit'", "int64", kind="number"))
        ()
    """
    kind = encoding(field)
    single = isinstance(kind, Classes) or (isinstance(kind, Kind) and kind.single)
    return () if single and field.shape is None else field.shape
