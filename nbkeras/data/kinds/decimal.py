"""Decimal: one number with a fixed count of digits per row, which models take as a float."""

from __future__ import annotations

from typing import ClassVar

from pyspark.sql import types as T

from nbkeras.data.kinds.number import Number


class Decimal(Number):
    """Spark's decimals."""

    name: ClassVar[str] = "decimal"
    types: ClassVar[tuple[type[T.DataType], ...]] = (T.DecimalType,)
