"""Feed: the batches of one worker, read from its mapped records."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from nbkeras.engine.spool import scratch
from nbkeras.plan import Structure

Batch = tuple[Any, ...]


class Feed(keras.utils.PyDataset):  # type: ignore[misc]
    """The local part of each global batch, in the order of the epoch.

    Args:
        records: the worker's rows, shape (rows,), a structured array.
        order: positions of the rows in their canonical order.
        counts: local rows of each step; 0 where the worker has none.
        filler: one record that stands in where a step has no local row, since
            Keras cannot run an empty batch. Its gradient and metrics are dropped.
        structure: says how x, y and weights are nested.
        seed: permutes the rows anew in each epoch; None keeps the order.
        epoch: the first epoch, from 0.
    """

    def __init__(
        self,
        records: npt.NDArray[Any],
        order: npt.NDArray[np.int64],
        counts: npt.NDArray[np.int64],
        filler: npt.NDArray[Any] | None,
        structure: Structure,
        seed: tuple[int, ...] | None = None,
        epoch: int = 0,
    ) -> None:
        super().__init__()
        self._records, self._filler, self._structure = records, filler, structure
        self._canonical, self._order = order, order if seed is None else scratch(None, len(order))
        self._ends = np.concatenate([[0], np.cumsum(counts)])
        self._seed, self._epoch = seed, epoch

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, step: int) -> Batch:
        rows = self._order[self._ends[step] : self._ends[step + 1]]
        if len(rows):
            return batch(self._records[rows], self._structure)
        assert self._filler is not None
        return batch(self._filler, self._structure)

    def on_epoch_begin(self) -> None:
        """Permute the rows: a function of seed and epoch alone."""
        if self._seed is not None:
            self._order[:] = self._canonical
            np.random.default_rng([*self._seed, self._epoch]).shuffle(self._order)
        self._epoch += 1


def batch(records: npt.NDArray[Any], structure: Structure) -> Batch:
    """x, y and weights of some records as Keras takes them, each in memory of its own."""
    return structure.nest({one.name: np.ascontiguousarray(records[one.name]) for one in structure.fields})
