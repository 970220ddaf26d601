"""Which of its rows each worker gives to each step of an epoch.

A step is one global batch. Batches are cut as Keras cuts them (60 rows at 32:
32 and 28) and every worker makes the same number of steps, whatever the sizes
of the shards, so no worker ever waits for one that has run out of rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Steps:
    """One worker's part in the steps of an epoch.

    Attributes:
        table: rows of each worker in each step, shape (steps, workers).
        rank: of this worker.
        dealt: row i of a batch is one of worker i's modulo workers; otherwise
            each worker's rows lie together, in the order of the ranks.

    Example:
        >>> from nbkeras.worker import schedule
        >>> steps = schedule.Steps(schedule.dealt(5, workers=2, batch_size=3), rank=1, dealt=True)
        >>> steps.counts.tolist(), steps.totals.tolist(), steps.firsts.tolist(), steps.stride
        ([1, 1], [3, 2], [1, 0], 2)
    """

    table: Counts
    rank: int
    dealt: bool

    @property
    def counts(self) -> Counts:
        """This worker's rows in each step."""
        return self.table[:, self.rank]

    @property
    def totals(self) -> Counts:
        """Rows of each step."""
        totals: Counts = self.table.sum(axis=1)
        return totals

    @property
    def shares(self) -> npt.NDArray[np.float64]:
        """This worker's part of each step's rows, from 0 to 1."""
        shares: npt.NDArray[np.float64] = self.counts / self.totals
        return shares

    @property
    def firsts(self) -> Counts:
        """Place of this worker's first row in each batch."""
        if self.dealt:
            starts = np.cumsum(self.totals) - self.totals
            first: Counts = (self.rank - starts) % self.table.shape[1]
            return first
        before: Counts = self.table[:, : self.rank].sum(axis=1)
        return before

    @property
    def stride(self) -> int:
        """Places from one of this worker's rows in a batch to its next."""
        return self.table.shape[1] if self.dealt else 1

    def places(self, first: Any, number: int, each: int) -> Any:
        """Places in a batch of some values of this worker's rows.

        Args:
            first: place of this worker's first row.
            number: of values.
            each: how many of them each row has.

        Example:
            >>> from nbkeras.worker import schedule
            >>> steps = schedule.Steps(schedule.dealt(4, workers=2, batch_size=4), rank=1, dealt=True)
            >>> steps.places(1, number=4, each=2).tolist()
            [2, 3, 6, 7]
        """
        index = np.arange(number)
        return (first + index // each * self.stride) * each + index % each


def batch_rows(rows: int, batch_size: int | None, number: int | None) -> int:
    """Rows of a batch as Keras chooses them for arrays.

    Args:
        rows: of all batches.
        batch_size: as given; None where it was not.
        number: of batches in an epoch, as given; None for all.

    Example:
        >>> from nbkeras.worker.schedule import batch_rows
        >>> batch_rows(100, None, None), batch_rows(100, None, 3)
        (32, 34)
    """
    return batch_size or (-(-rows // number) if number else 32)


def steps(rows: int, batch_size: int) -> int:
    """Number of batches in an epoch.

    Example:
        >>> from nbkeras.worker.schedule import steps
        >>> steps(60, 32)
        2
    """
    return -(-rows // batch_size)


def dealt(rows: int, workers: int, batch_size: int) -> Counts:
    """Rows of each worker in each step when row i lies on worker i modulo workers.

    Returns:
        Array of shape (steps, workers).

    Example:
        >>> from nbkeras.worker.schedule import dealt
        >>> dealt(5, workers=2, batch_size=3).tolist()
        [[2, 1], [1, 1]]
    """
    ends = np.minimum(np.arange(steps(rows, batch_size) + 1) * batch_size, rows)
    before = (ends[:, None] + workers - 1 - np.arange(workers)) // workers
    return np.diff(before, axis=0)


def proportional(shards: list[int], batch_size: int) -> Counts:
    """Rows of each worker in each step, in proportion to the rows that it has left.

    Each batch is apportioned by largest remainders (Hamilton's method), so that
    its parts add up to the batch and each worker's parts to its shard.

    Args:
        shards: rows of each worker.

    Returns:
        Array of shape (steps, workers).

    Example:
        >>> from nbkeras.worker.schedule import proportional
        >>> proportional([5, 1], batch_size=4).tolist()
        [[3, 1], [2, 0]]
    """
    left = np.array(shards, dtype=np.int64)
    table = np.zeros((steps(int(left.sum()), batch_size), len(shards)), dtype=np.int64)
    for part in table:
        total = int(left.sum())
        batch = min(batch_size, total)
        part[:], remainders = np.divmod(batch * left, total)
        short = batch - int(part.sum())
        # A stable sort: ties go to the lower rank, the same on every worker.
        part[np.argsort(-remainders, kind="stable")[:short]] += 1
        left -= part
    return table
