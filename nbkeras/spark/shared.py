"""Shared bytes that all workers read: small ones are sent inside the task, large ones beside it."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

#: Limit of the bytes sent inside a task, and returned as its rows.
INSIDE = 8 << 20


#: Limit of the bytes of one broadcast variable.
PIECE = 32 << 20


class Shared(Protocol):
    """A reference to bytes, small enough for a task."""

    def read(self) -> bytes:
        """Return the bytes, on an executor."""

    def forget(self) -> None:
        """Release the bytes, in the notebook, when no task needs them any more."""


@dataclass(frozen=True)
class Inside:
    """Bytes in the task itself."""

    data: bytes = field(repr=False)

    def read(self) -> bytes:
        """Return the bytes."""
        return self.data

    def forget(self) -> None:
        """Do nothing: the bytes are part of the task."""


@dataclass(frozen=True)
class Broadcasted:
    """Bytes in broadcast variables, which executors also get from each other.

    There are several variables, because the driver holds a whole variable in memory while it makes it.
    """

    pieces: tuple[Any, ...]

    def read(self) -> bytes:
        """Return the bytes."""
        data = bytearray()
        for one in self.pieces:
            data += one.value
            # The worker's Python process lives on, and would keep the value.
            vars(one).pop("_value", None)
        return bytes(data)

    def forget(self) -> None:
        """Remove the bytes from all executors."""
        # A stopped Spark has released them already, and raises an error.
        with contextlib.suppress(Exception):
            for one in self.pieces:
                one.destroy()


@dataclass(frozen=True)
class Artifact:
    """Bytes in a file that Spark Connect's server sends to its executors."""

    name: str

    def read(self) -> bytes:
        """Return the bytes."""
        from pyspark import SparkFiles

        return Path(SparkFiles.get(self.name)).read_bytes()

    def forget(self) -> None:
        """Do nothing: Connect keeps a session's files as long as the session."""
