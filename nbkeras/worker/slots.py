"""Slots: memory that a task and its trainer share, each for the inputs of one batch."""

from __future__ import annotations

import mmap
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
#: Where each array begins, with its type and its shape.
Layout = list[tuple[int, np.dtype[Any], tuple[int, ...]]]
#: Backends use arrays without a copy where they begin at a multiple of so many bytes.
_ALIGNED = 64


class Slot:
    """Memory for some arrays, which grows with them.

    Args:
        descriptor: of a file that two processes hold: one writes, the other reads what the first has told it.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._pages: mmap.mmap | None = None

    def write(self, arrays: Sequence[Array]) -> Layout:
        """Write arrays in place of those that were there, and say where they lie."""
        layout, end = [], 0
        for one in arrays:
            layout.append((end, one.dtype, one.shape))
            end += -(-one.nbytes // _ALIGNED) * _ALIGNED
        if end > os.fstat(self._descriptor).st_size:
            os.ftruncate(self._descriptor, end)
        for place, one in zip(self.read(layout), arrays, strict=True):
            np.copyto(place, one, casting="no")
        return layout

    def read(self, layout: Layout) -> list[Array]:
        """The arrays that lie there, as views: valid until others are written."""
        return [
            np.ndarray(shape, kind, self._mapped(), begin)
            if kind.itemsize * int(np.prod(shape))
            else np.empty(shape, kind)
            for begin, kind, shape in layout
        ]

    def _mapped(self) -> mmap.mmap:
        size = os.fstat(self._descriptor).st_size
        if self._pages is None or len(self._pages) < size:
            self._pages = mmap.mmap(self._descriptor, size)
        return self._pages
