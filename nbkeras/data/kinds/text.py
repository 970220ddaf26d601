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
        inner, sizes = column, []
        while pa.types.is_list(inner.type) or pa.types.is_large_list(inner.type):
            sizes.append(pc.unique(pc.list_value_length(inner)).drop_null().to_pylist())
            inner = inner.flatten()
        if column.null_count or inner.null_count:
            suffix = WITHIN if sizes and not column.null_count and len(field.sources) == 1 else ""
            count(nulls, field.sources[0] + suffix, column.null_count or inner.null_count)
            return None
        held = tuple(found[0] if found else 0 for found in sizes)
        shape = (held or (1,)) if field.shape is None else field.shape
        if any(len(found) > 1 for found in sizes):
            lengths = ", ".join(str(found) for found in next(one for one in sizes if len(one) > 1)[:3])
            raise DataError(
                f"{field.title} takes rows of one shape, column {listed(field.sources)} holds arrays "
                f"of {lengths} words: pad them with nbkeras.pad_sequences(df, '{field.sources[0]}')"
            )
        if len(column) and math.prod(shape) != math.prod(held):
            raise DataError(
                f"{field.title} takes shape {shape}, column {listed(field.sources)} holds "
                f"{f'arrays of shape {held}' if held else 'single words'}: "
                "give the column this shape, or the model another keras.Input"
            )
        return Words(inner, (len(column), *shape))
