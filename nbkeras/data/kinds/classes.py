"""Classes: labels that are words, which become the numbers of their classes."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from nbkeras.data.kinds.kind import Encoding, count
from nbkeras.data.names import listed
from nbkeras.errors import DataError
from nbkeras.schema import Field


class Classes(Encoding):
    """The encoding of words as classes, which are numbered from 0 in the order of the field."""

    name: ClassVar[str] = "classes"

    def array(self, value: Any, field: Field) -> npt.NDArray[Any]:
        """See :class:`Encoding`."""
        return np.asarray(self._numbers(pa.array([value]), field)[0])

    def decode(self, column: pa.Array, field: Field, nulls: dict[str, int]) -> npt.NDArray[Any] | None:
        """See :class:`Encoding`."""
        if column.null_count:
            count(nulls, field.sources[0], column.null_count)
            return None
        return self._numbers(column, field)

    def _numbers(self, column: pa.Array, field: Field) -> npt.NDArray[Any]:
        found = pc.index_in(column, value_set=pa.array(field.classes, column.type))
        if found.null_count:
            strange = column.filter(found.is_null())
            raise DataError(
                f"column {listed(field.sources)} holds {len(strange)} rows of classes that the model is not "
                f"trained on, such as {strange[0].as_py()!r} (it is on {listed(field.classes[:8])}): leave "
                "these rows out, or train on them"
            )
        return np.asarray(found, np.int64)
