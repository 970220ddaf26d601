"""Bytes that all workers read: small ones travel inside the task, large ones beside it."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

#: Bytes that travel inside a task, and come back as its rows.
INSIDE = 8 << 20


#: Bytes of one broadcast variable.
PIECE = 32 << 20


class Shared(Protocol):
    """Bytes that a task holds without carrying them."""

    def read(self) -> bytes:
        """The bytes, on an executor."""

    def forget(self) -> None:
        """Let go of what holds them, in the notebook, when no task needs them any more."""


@dataclass(frozen=True)
class Inside:
    """Bytes in the task itself."""

    data: bytes = field(repr=False)

    def read(self) -> bytes:
        """The bytes."""
        return self.data

    def forget(self) -> None:
        """Nothing: they go with the task."""


@dataclass(frozen=True)
class Broadcasted:
    """Bytes in broadcast variables, which executors also get from each other.

    In pieces: Spark holds a variable in its driver's memory while it is made, and keeps it on disk
    where it does not fit.
    """

    pieces: tuple[Any, ...]

    def read(self) -> bytes:
        """The bytes."""
        data = bytearray()
        for one in self.pieces:
            data += one.value
            # The worker's Python lives on, and would keep them.
            vars(one).pop("_value", None)
        return bytes(data)

    def forget(self) -> None:
        """Take them from all executors."""
        # A Spark that has been stopped has let go of them, and says so in many lines.
        with contextlib.suppress(Exception):
            for one in self.pieces:
                one.destroy()


@dataclass(frozen=True)
class Artifact:
    """Bytes in a file that Spark Connect's server has and gives to its executors."""

    name: str

    def read(self) -> bytes:
        """The bytes."""
        from pyspark import SparkFiles

        return Path(SparkFiles.get(self.name)).read_bytes()

    def forget(self) -> None:
        """Nothing: Connect keeps a session's files as long as the session."""
