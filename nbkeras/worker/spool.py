"""Rows on disk: an array per field in files without names, mapped into memory.

Spark's Arrow batches are decoded and cast once, as they arrive, into arrays
that hold every model input, label and weight. A row can then be read at any
position without an index, so an epoch may visit rows in any order at the cost
of one copy per batch, and the trainer's own memory does not grow with the data.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from nbkeras.data.decoder import Decoder
from nbkeras.data.images import unreadable
from nbkeras.data.images.unreadable import Unreadable
from nbkeras.data.shards import CHECKSUM_BITS, require_one_shape
from nbkeras.schema import CHECK, ORDER, Field
from nbkeras.worker.files import unnamed

#: The NumPy type and the shape of one row of each field.
Layout = dict[str, tuple[str, tuple[int, ...]]]


@dataclass
class Spool:
    """The rows of one shard, growing while they arrive.

    Attributes:
        fields: of a row, besides its order.
        directory: where the files lie, without a name.
        encrypted: nothing may be written to a disk in the clear.
        decoder: makes them of the columns that arrive; None where these are the fields.
        layout: of the fields; empty until the first row.
        rows: rows written so far.
        checksum: the sum of their hashes modulo 2**63, whatever their order.
        nulls: nulls seen, by the user's column.
        unreadable: files that are no images, likewise.
    """

    fields: tuple[Field, ...]
    directory: str | None = None
    encrypted: bool = False
    decoder: Decoder | None = None
    layout: Layout = field(default_factory=dict)
    rows: int = 0
    checksum: int = 0
    nulls: dict[str, int] = field(default_factory=dict)
    unreadable: Unreadable = field(default_factory=dict)

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
            columns: by field of the decoder, the order, and the rows' hashes where the order is none.

        Raises:
            DataError: a value has another shape than the field or the rows before.
        """
        rows = len(columns[ORDER])
        if not rows:
            return
        values: dict[str, npt.NDArray[Any]] = {ORDER: columns[ORDER].to_numpy(zero_copy_only=False)}
        decode = self.decoder or Decoder(self.fields)
        decoded = decode(columns, self.nulls, self.unreadable)
        if decoded is None or self.nulls or unreadable.stops(self.unreadable):
            return  # The run will end with their count: go on counting only.
        hashes = columns.get(CHECK, columns[ORDER]).to_numpy(zero_copy_only=False)
        if (kept := decoded.kept) is not None:
            values, hashes, rows = {ORDER: values[ORDER][kept]}, hashes[kept], int(kept.sum())
            if not rows:
                return
        values |= decoded.values
        layout = {name: (value.dtype.str, value.shape[1:]) for name, value in values.items()}
        self.layout = self.layout or layout
        for one in self.fields:
            require_one_shape(one, self.layout[one.name][1], layout[one.name][1])
        for name, value in values.items():
            view = memoryview(np.ascontiguousarray(value).reshape(-1).view(np.uint8).data)
            while view:
                view = view[os.write(self.files[name].fileno(), view) :]
        self.rows += rows
        # Wraps around, as it should.
        self.checksum = (self.checksum + int(hashes.astype(np.uint64).sum())) & CHECKSUM_BITS
