"""Files without names, and arrays that are mapped on them.

A file is unlinked before the first byte is written: whatever ends the processes that hold it, nothing stays
behind. Where Spark is told to encrypt what it writes to disks, the file lies in memory.
"""

from __future__ import annotations

import math
import mmap
import os
import socket
import sys
import tempfile
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from nbkeras.errors import ClusterError


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


def shared(directory: str | None = None, *, encrypted: bool = False) -> IO[bytes]:
    """A new file without a name for what two processes share for a moment: in memory where the system can.

    Args:
        directory, encrypted: as of :func:`unnamed`.
    """
    return unnamed(directory, encrypted=encrypted or sys.platform == "linux")


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
        >>> from nbkeras.worker.files import local_directory
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
