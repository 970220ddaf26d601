"""Boolean: one true or false per row, which models take as 1 and 0."""

from __future__ import annotations

from typing import ClassVar

from pyspark.sql import types as T

from nbkeras.data.kinds.number import Number


class Boolean(Number):
    """Spark's Booleans."""

    name: ClassVar[str] = "boolean"
    types: ClassVar[tuple[type[T.DataType], ...]] = (T.BooleanType,)

    def is_whole(self, dtype: T.DataType) -> bool:
        """See :class:`Kind`."""
        return self.holds(dtype)
