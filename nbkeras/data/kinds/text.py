"""Text: the words of a column of strings, or of arrays of them, for models that look words up."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import types as T

from nbkeras.data.kinds.array import innermost
from nbkeras.data.kinds.kind import Encoding, count
from nbkeras.data.names import listed
from nbkeras.data.preprocessing.graph import Text as Words
from nbkeras.data.shards import WITHIN
from nbkeras.errors import DataError
from nbkeras.schema import Field


class Text(Encoding):
    """The encoding of words, which stay in Arrow until they have become numbers."""

    name: ClassVar[str] = "text"

    def holds(self, dtype: T.DataType) -> bool:
        """Whether columns of a Spark type hold words."""
        return isinstance(innermost(dtype), T.StringType)

    def array(self, value: Any, field: Field) -> npt.NDArray[Any]:
        """See :class:`Encoding`."""
        return np.asarray(value, object)

    def stacked(self, arrays: list[npt.NDArray[Any]]) -> Words:
        """See :class:`Encoding`."""
        values = np.stack(arrays)
        return Words(pa.array(values.reshape(-1).tolist(), pa.string()), values.shape)

    def decode(self, column: pa.Array, field: Field, nulls: dict[str, int]) -> Words | None:
        """See :class:`Encoding`."""
        rows, inner, nested = len(column), column, 0
        while pa.types.is_list(inner.type) or pa.types.is_large_list(inner.type):
            inner, nested = inner.flatten(), nested + 1
        if column.null_count or inner.null_count:
            suffix = WITHIN if nested and not column.null_count and len(field.sources) == 1 else ""
            count(nulls, field.sources[0] + suffix, column.null_count or inner.null_count)
            return None
        shape = field.shape if field.shape is not None else (-1,) if nested else ()
        if nested and field.shape is not None:
            lengths = pc.unique(pc.list_value_length(column)).to_pylist() if nested == 1 else []
            if nested > 1 or lengths not in ([], [math.prod(field.shape)]):
                raise DataError(
                    f"{field.title} takes shape {field.shape}, column {listed(field.sources)} holds arrays "
                    f"of {', '.join(map(str, lengths[:3])) or 'arrays'}: give each row as many words"
                )
        return Words(inner, (rows,)).reshape(rows, *shape)
