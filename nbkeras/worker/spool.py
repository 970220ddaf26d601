"""Rows on disk: an array per field in files without names, mapped into memory.

Spark's Arrow batches are decoded and cast once, as they arrive, into arrays
that hold every model input, label and weight. A row can then be read at any
position without an index, so an epoch may visit rows in any order at the cost
of one copy per batch, and the trainer's own memory does not grow with the data.
The files are unlinked before the first byte is written: whatever ends the
processes that hold them, nothing stays behind. Where Spark is told to encrypt
what it writes to disks, the files lie in memory.
"""

from __future__ import annotations

import math
import mmap
import os
import socket
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from nbkeras.data.names import listed
from nbkeras.data.shards import CHECKSUM_BITS, WITHIN, require_one_shape
from nbkeras.errors import ClusterError, DataError
from nbkeras.plan import CHECK, ORDER, Field

#: The NumPy type and the shape of one row of each field.
Layout = dict[str, tuple[str, tuple[int, ...]]]


@dataclass
class Spool:
    """The rows of one shard, growing while they arrive.

    Attributes:
        fields: of a row, besides its order.
        directory: where the files lie, without a name.
        encrypted: nothing may be written to a disk in the clear.
        layout: of the fields; empty until the first row.
        rows: rows written so far.
        checksum: the sum of their hashes modulo 2**63, whatever their order.
        nulls: nulls seen, by the user's column.
    """

    fields: tuple[Field, ...]
    directory: str | None = None
    encrypted: bool = False
    layout: Layout = field(default_factory=dict)
    rows: int = 0
    checksum: int = 0
    nulls: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = (ORDER, *(one.name for one in self.fields))
        self.files: dict[str, IO[bytes]] = {
            name: unnamed(self.directory, encrypted=self.encrypted) for name in names
        }

    def close(self) -> None:
        """Let go of the files."""
        for file in self.files.values():
            file.close()

    def append(self, columns: dict[str, pa.Array]) -> None:
        """Decode and write rows.

        Args:
            columns: by field, the order, and the rows' hashes where the order is none.

        Raises:
            DataError: a value has another shape than the field or the rows before.
        """
        rows = len(columns[ORDER])
        if not rows:
            return
        values: dict[str, npt.NDArray[Any]] = {ORDER: columns[ORDER].to_numpy(zero_copy_only=False)}
        for one in self.fields:
            decoded = decode(columns[one.name], one, self.nulls)
            if decoded is not None:
                values[one.name] = decoded
        if self.nulls:
            return  # The run will end with their count: go on counting only.
        layout = {name: (value.dtype.str, value.shape[1:]) for name, value in values.items()}
        self.layout = self.layout or layout
        for one in self.fields:
            require_one_shape(one, self.layout[one.name][1], layout[one.name][1])
        for name, value in values.items():
            view = memoryview(np.ascontiguousarray(value).reshape(-1).view(np.uint8).data)
            while view:
                view = view[os.write(self.files[name].fileno(), view) :]
        self.rows += rows
        hashes = columns.get(CHECK, columns[ORDER]).to_numpy(zero_copy_only=False)
        # Wraps around, as it should.
        self.checksum = (self.checksum + int(hashes.astype(np.uint64).sum())) & CHECKSUM_BITS


def unnamed(directory: str | None = None, *, encrypted: bool = False) -> IO[bytes]:
    """A new file without a name, which only this user can open.

    Args:
        directory: where it lies; None for the system's folder of temporary files.
        encrypted: it must not be on a disk in the clear, so it lies in memory.

    Raises:
        ClusterError: this system has no files in memory.
    """
    if not encrypted:
        return tempfile.TemporaryFile(dir=directory, buffering=0)
    if sys.platform != "linux":
        raise ClusterError(
            f"spark.io.encryption.enabled is true, and {socket.gethostname()} runs {sys.platform}, which has "
            "no files in memory: rows would lie unencrypted on its disk, so use executors on Linux"
        )
    return os.fdopen(os.memfd_create("nbkeras"), "w+b", buffering=0)


def mapped(fd: int, dtype: str, shape: tuple[int, ...], *, scattered: bool = False) -> npt.NDArray[Any]:
    """The content of a file as an array of a shape.

    Args:
        fd: descriptor of the file.
        dtype, shape: of the array.
        scattered: its rows will be read in any order, so what lies around one need not be read with it.

    The mapping is private and writable, as backends demand of memory that they
    use without a copy; nobody writes, so its pages stay the file's own.
    """
    kind = np.dtype(dtype)
    size = kind.itemsize * math.prod(shape)
    if not size:
        return np.empty(shape, dtype=kind)
    pages = mmap.mmap(fd, size, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
    if scattered:
        pages.madvise(mmap.MADV_RANDOM)
    return np.frombuffer(pages, dtype=kind).reshape(shape)


def scratch(rows: int, *, encrypted: bool = False) -> npt.NDArray[np.int64]:
    """An array of int64 in an unnamed file: pages the kernel may drop, not our memory.

    Raises:
        OSError: no room for it. Found later, as a page is written, it would be the end of the process.
    """
    if not rows:
        return np.empty(0, dtype=np.int64)
    with unnamed(local_directory(), encrypted=encrypted) as file:
        if sys.platform == "linux":
            os.posix_fallocate(file.fileno(), 0, rows * 8)
        else:
            os.ftruncate(file.fileno(), rows * 8)
        return np.frombuffer(mmap.mmap(file.fileno(), rows * 8), dtype=np.int64)


def local_directory() -> str | None:
    """Spark's own folder for what is large and temporary, on an executor; None where there is none.

    Example:
        >>> from nbkeras.worker.spool import local_directory
        >>> local_directory() is None  # in a notebook
        True
    """
    directory = os.environ.get("SPARK_LOCAL_DIRS", "").split(",")[0]
    return directory if directory and Path(directory).is_dir() else None


def pages(content: bytes) -> mmap.mmap:
    """Bytes at the start of a page: backends refuse to borrow memory that is less aligned."""
    held = mmap.mmap(-1, max(1, len(content)))
    held[: len(content)] = content
    return held


def decode(column: pa.Array, one: Field, nulls: dict[str, int]) -> npt.NDArray[Any] | None:
    """The values of a column as an array of shape (rows, …), or None when it has nulls.

    Args:
        column: numbers, booleans, nested lists of them, or the bytes of each row.
        nulls: counts of nulls by source column, added to.

    Raises:
        DataError: the values do not have the field's shape.
    """
    rows = len(column)
    if one.raw:
        assert one.dtype is not None
        assert one.shape is not None
        return _raw(column, rows, np.dtype(one.dtype), one.shape)
    if column.null_count:
        _count(nulls, one.sources[0], column.null_count)
        return None
    shape: list[int] = [rows]
    while pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        lengths = np.unique(np.diff(column.offsets.to_numpy()))
        if len(lengths) > 1:
            raise DataError(
                f"column {listed(one.sources)} holds arrays of {lengths[0]} to {lengths[-1]} values: "
                f"{one.title} needs arrays of one length"
            )
        shape.append(int(lengths[0]) if len(lengths) else 0)
        column = column.flatten()
        if column.null_count:
            _count_entries(nulls, one, column, shape)
            return None
    values: npt.NDArray[Any] = column.to_numpy(zero_copy_only=False)
    if one.dtype is not None:
        values = values.astype(one.dtype, copy=False)
    if one.shape is not None:
        if math.prod(shape[1:]) != math.prod(one.shape):
            held = "single numbers" if len(shape) == 1 else f"arrays of shape {tuple(shape[1:])}"
            raise DataError(f"{one.title} takes shape {one.shape}, column {listed(one.sources)} holds {held}")
        return values.reshape(rows, *one.shape)
    return values.reshape(shape)


def _raw(column: pa.Array, rows: int, dtype: np.dtype[Any], shape: tuple[int, ...]) -> npt.NDArray[Any]:
    wide = pa.types.is_large_binary(column.type)
    offsets = np.frombuffer(column.buffers()[1], dtype=np.int64 if wide else np.int32)
    start, width = int(offsets[column.offset]), dtype.itemsize * math.prod(shape)
    if not width:
        return np.empty((rows, *shape), dtype=dtype)
    data = np.frombuffer(column.buffers()[2], dtype=np.uint8)[start : start + rows * width]
    return data.view(dtype).reshape(rows, *shape)


def _count(nulls: dict[str, int], source: str, number: int) -> None:
    nulls[source] = nulls.get(source, 0) + number


def _count_entries(nulls: dict[str, int], one: Field, values: pa.Array, shape: list[int]) -> None:
    """Rows with a null among their entries; a stacked vector names the column of the entry."""
    missing = values.is_null().to_numpy(zero_copy_only=False).reshape(shape[0], -1)
    if len(one.sources) == 1:
        _count(nulls, one.sources[0] + WITHIN, int(missing.any(axis=1).sum()))
        return
    for source, number in zip(one.sources, missing.sum(axis=0), strict=True):
        if number:
            _count(nulls, source, int(number))
