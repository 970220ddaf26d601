"""Prefetch the rows of the next steps once the kernel has dropped them from memory.

Shuffled rows lie anywhere in their file. One at a time, a disk gives few of them
a second; asked for many steps at once, it gives as many as it can.
``tests/benchmarks/any_size.py`` measures it.
"""

from __future__ import annotations

import os
import resource
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import keras
import numpy as np

from nbkeras.worker.feed import Feed

#: Bytes of rows to ask for before they are needed, and steps at least.
_AHEAD, _LEAST = 32 << 20, 4
#: Pages that had to be read while a step waited, after which memory is taken to be short.
_FAULTS = 1000


class ReadAhead(keras.callbacks.Callback):  # type: ignore[misc]
    """Behind what permutes the rows: asks the kernel for those of the next steps, once memory is short.

    Args:
        feed: the training rows of this worker.
        files: descriptors of the files that its arrays are mapped from, by field.
    """

    def __init__(self, feed: Feed, files: dict[str, int]) -> None:
        super().__init__()
        self._feed, self._files = feed, files
        self._ends = np.cumsum(feed.counts)
        mapped = {name: array for name, array in feed.arrays.items() if name in files}
        self._widths = {name: array.nbytes // len(array) for name, array in mapped.items()}
        bytes_ = sum(self._widths.values()) * max(1, int(feed.counts.max()))
        self._steps = max(_LEAST, _AHEAD // bytes_)
        # A fault is counted when its page comes from a disk, not from memory.
        self._begun = resource.getrusage(resource.RUSAGE_SELF).ru_majflt
        #: The next step of the rows' round, and the first that was not asked for.
        self._next = self._asked = 0
        self._short = False
        self._thread = ThreadPoolExecutor(1)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """The rows may have another order now."""
        self._next = self._asked = self._next % len(self._ends)

    def on_train_batch_begin(self, step: int, logs: Any = None) -> None:
        """Ask for the steps that are near."""
        if not self._short:
            faults = resource.getrusage(resource.RUSAGE_SELF).ru_majflt - self._begun
            self._short = faults > _FAULTS and hasattr(os, "posix_fadvise")
        if self._short:
            first = max(self._asked, self._next)
            self._asked = max(first, min(self._next + self._steps, len(self._ends)))
            if first < self._asked:
                self._thread.submit(self._ask, first, self._asked)

    def on_train_batch_end(self, step: int, logs: Any = None) -> None:
        """Count the steps that one execution has made."""
        self._next += self.model.steps_per_execution

    def _ask(self, first: int, last: int) -> None:
        start = self._ends[first] - self._feed.counts[first]
        rows = 1 + self._feed.schema.reach
        for row in self._feed.order[start : self._ends[last - 1]].tolist():
            for name, width in self._widths.items():
                os.posix_fadvise(self._files[name], row * width, rows * width, os.POSIX_FADV_WILLNEED)
