"""Raw: the bytes of each row of an array, the form in which NumPy and pandas data is sent."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from nbkeras.data.kinds.kind import Encoding
from nbkeras.schema import Field


class Raw(Encoding):
    """The encoding of the columns that :mod:`nbkeras.data.arrays` makes."""

    name: ClassVar[str] = "raw"

    def array(self, value: Any, field: Field) -> npt.NDArray[Any]:
        """See :class:`Encoding`."""
        return np.frombuffer(value, field.dtype)

    def decode(self, column: pa.Array, field: Field, nulls: dict[str, int]) -> npt.NDArray[Any]:
        """See :class:`Encoding`."""
        assert field.dtype is not None
        assert field.shape is not None
        rows, dtype = len(column), np.dtype(field.dtype)
        width = dtype.itemsize * math.prod(field.shape)
        if not width:
            return np.empty((rows, *field.shape), dtype=dtype)
        wide = pa.types.is_large_binary(column.type)
        offsets = np.frombuffer(column.buffers()[1], dtype=np.int64 if wide else np.int32)
        start = int(offsets[column.offset])
        data = np.frombuffer(column.buffers()[2], dtype=np.uint8)[start : start + rows * width]
        return data.view(dtype).reshape(rows, *field.shape)
