"""Images: files of images, which become pixels in the size that a model takes."""

from __future__ import annotations

import functools
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import types as T

from nbkeras import devices
from nbkeras.data.images import reading, unreadable
from nbkeras.data.images.decoding import Unreadable
from nbkeras.data.kinds.kind import Encoding, count
from nbkeras.errors import DataError
from nbkeras.schema import Field

#: Fields of Spark's ``image`` source.
_SOURCE = ("origin", "height", "width", "nChannels", "mode", "data")
#: Threads that decode: more are of no use to one task.
_THREADS = 8


class Images(Encoding):
    """The encoding of images: a struct of ``value``, what a column holds, and ``name``, for messages."""

    name: ClassVar[str] = "images"

    def holds(self, dtype: T.DataType) -> bool:
        """Whether columns of a Spark type hold images: files, or what the ``image`` source makes of them."""
        return isinstance(dtype, T.BinaryType) or is_of_source(dtype)

    def array(self, value: Any, field: Field) -> npt.NDArray[Any]:
        """See :class:`Encoding`."""
        held = value["value"]
        if held is None:
            raise DataError(f"column '{field.sources[0]}' holds a null: leave out the rows without an image")
        made = _read(held.asDict() if hasattr(held, "asDict") else held, field)
        if isinstance(made, Unreadable):
            found: unreadable.Unreadable = {}
            unreadable.note(found, field.sources[0], _named(value["name"], held), str(made), skipped=False)
            raise DataError(unreadable.message(found))
        return made.astype(field.dtype)

    def is_readable(self, value: Any, field: Field) -> bool:
        """Whether the image of one row can be read, or is null."""
        held = value["value"]
        row = held.asDict() if hasattr(held, "asDict") else held
        return held is None or not isinstance(_read(row, field), Unreadable)

    def decode(self, column: pa.Array, field: Field, nulls: dict[str, int]) -> npt.NDArray[Any] | None:
        """See :class:`Encoding`; all must be readable."""
        found: unreadable.Unreadable = {}
        values = self.readable(column, field, nulls, found)
        if found:
            raise DataError(unreadable.message(found))
        return None if values is None else values[0]

    def readable(
        self, column: pa.Array, field: Field, nulls: dict[str, int], found: unreadable.Unreadable
    ) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]] | None:
        """Read the images that can be read; None where there are nulls.

        Args:
            column: values of some rows.
            field: that it feeds.
            nulls: counts of nulls by source column; updated.
            found: what cannot be read, by source column; updated.

        Returns:
            The numbers of all rows, zeros where an image cannot be read, and whether each can.
        """
        assert field.image is not None
        values = column.field("value")
        if values.null_count:
            count(nulls, field.sources[0], values.null_count)
            return None
        names, held = column.field("name"), _values(values)
        made = np.zeros((len(column), *(field.shape or ())), reading.kept_type(field))
        kept = np.ones(len(column), np.bool_)
        for place, one in enumerate(_pool().map(lambda value: _read(value, field), held)):
            if isinstance(one, Unreadable):
                kept[place] = False
                name, skipped = _named(names[place].as_py(), held[place]), field.image.invalid == "skip"
                unreadable.note(found, field.sources[0], name, str(one), skipped=skipped)
            else:
                made[place] = one
        return made, kept


def is_of_source(dtype: T.DataType) -> bool:
    """Whether columns of a Spark type hold what its ``image`` source makes of a file."""
    return isinstance(dtype, T.StructType) and tuple(dtype.names) == _SOURCE


def _read(value: Any, field: Field) -> npt.NDArray[Any] | Unreadable:
    try:
        return reading.numbers(value, field)
    except Unreadable as error:
        return error


def _values(column: pa.Array) -> list[Any]:
    """The values of a column in Python, files as views of Arrow's own memory."""
    if pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
        return [memoryview(one.as_buffer()) for one in column]
    return list(column.to_pylist())


def _named(name: str | None, value: Any) -> str:
    """How a file is called: by its name, else by its size."""
    if name:
        return name
    return f"a value of {len(value):,} bytes" if hasattr(value, "__len__") else "an image without a name"


@functools.cache
def _pool() -> ThreadPoolExecutor:
    """Threads to decode with: Pillow lets others work meanwhile."""
    return ThreadPoolExecutor(min(_THREADS, devices.cores()), "nbkeras images")
