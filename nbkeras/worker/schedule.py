"""Which of its rows each worker gives to each step of an epoch.

A step is one global batch. Batches are cut as Keras cuts them (60 rows at 32:
32 and 28) and every worker makes the same number of steps, whatever the sizes
of the shards, so no worker ever waits for one that has run out of rows.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]


class Schedule:
    """One worker's part in the steps of an epoch."""

    rank: int

    @property
    def number(self) -> int | None:
        """Steps of an epoch; None where it is not known."""
        raise NotImplementedError

    @property
    def may_lack(self) -> bool:
        """Whether this worker may have no rows in a step."""
        raise NotImplementedError

    @property
    def stride(self) -> int:
        """Places from one of this worker's rows in a batch to its next."""
        raise NotImplementedError

    def first(self, step: int) -> int:
        """Return the place of the first step of an epoch, behind a step of the epoch before."""
        raise NotImplementedError

    def rows(self, first: int, last: int) -> int:
        """Return the rows of some steps, on all workers."""
        raise NotImplementedError

    def rows_of_each(self, first: int, last: int) -> Counts:
        """Return the rows of some steps on each worker."""
        raise NotImplementedError

    def rows_beside(self, own: int) -> Counts:
        """Return how many rows all workers may have in a step where this one has so many, or a filler."""
        raise NotImplementedError

    def take(self) -> tuple[int, int, int]:
        """Return the next step's rows on all workers and on this one, and the place of its first row."""
        raise NotImplementedError

    def share(self, step: int) -> float:
        """Return this worker's part of a step's rows, from 0 to 1."""
        rows = self.rows_of_each(step, step + 1)
        return float(rows[self.rank] / rows.sum())

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


@dataclass
class Steps(Schedule):
    """One worker's part in the steps of an epoch, of which the rows are known beforehand.

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
    _next: int = field(default=0, repr=False)

    @property
    def number(self) -> int | None:
        """Steps of an epoch that visits every row."""
        return len(self.table)

    @property
    def may_lack(self) -> bool:
        """Whether this worker has no rows in some step."""
        return bool((self.counts == 0).any())

    def first(self, step: int) -> int:
        """Return the place of a step in the round of the rows."""
        return step % len(self.table)

    def rows(self, first: int, last: int) -> int:
        """Return the rows of some steps, on all workers."""
        return int(self.table[first:last].sum())

    def rows_of_each(self, first: int, last: int) -> Counts:
        """Return the rows of some steps on each worker."""
        rows: Counts = self.table[first:last].sum(axis=0)
        return rows

    def rows_beside(self, own: int) -> Counts:
        """Return how many rows all workers have in the steps where this one has so many, or a filler."""
        return np.unique(self.totals[np.maximum(self.counts, 1) == own])

    def take(self) -> tuple[int, int, int]:
        """Return the next step's rows on all workers and on this one, and the place of its first row."""
        step, self._next = self._next, (self._next + 1) % len(self.table)
        return int(self.totals[step]), int(self.counts[step]), int(self.firsts[step])

    @property
    def counts(self) -> Counts:
        """This worker's rows in each step."""
        return self.table[:, self.rank]

    @functools.cached_property
    def totals(self) -> Counts:
        """Rows of each step."""
        totals: Counts = self.table.sum(axis=1)
        return totals

    @functools.cached_property
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


class Ledger(Schedule):
    """One worker's part in steps whose rows are known as they are read: row i is on worker i modulo workers.

    A thread may read ahead of the steps.

    Args:
        rank: of this worker.
        size: number of workers.
        length: steps of an epoch, if it is known.
        continues: whether an epoch goes on where the one before ended, unless the batches have run out.

    Example:
        >>> from nbkeras.worker.schedule import Ledger
        >>> ledger = Ledger(rank=1, size=2)
        >>> ledger.append(5)
        >>> ledger.take(), ledger.rows_of_each(0, 1).tolist()
        ((5, 2, 1), [3, 2])
    """

    def __init__(self, rank: int, size: int, length: int | None = None, *, continues: bool = False) -> None:
        self.rank: int = rank
        self.size: int = size
        self._length, self._continues = length, continues
        self._totals: list[int] = []
        self._taken = 0

    @property
    def number(self) -> int | None:
        """Steps of an epoch; None where it is not known."""
        return self._length

    @property
    def may_lack(self) -> bool:
        """True: nobody knows."""
        return True

    @property
    def stride(self) -> int:
        """Places from one of this worker's rows in a batch to its next."""
        return self.size

    def begin(self) -> None:
        """Begin with the first batch again: what was read ahead is dropped."""
        if not self._continues:
            self._taken = 0
        del self._totals[self._taken :]

    def append(self, rows: int) -> None:
        """Note the rows of the next batch that was read."""
        self._totals.append(rows)

    def first(self, step: int) -> int:
        """Return the place of the first step of an epoch behind another step."""
        return step if self._continues else 0

    def rows(self, first: int, last: int) -> int:
        """Return the rows of some steps, on all workers."""
        return sum(self._totals[first:last])

    def rows_of_each(self, first: int, last: int) -> Counts:
        """Return the rows of some steps on each worker."""
        rows = sum(-((np.arange(self.size) - total) // self.size) for total in self._totals[first:last])
        return np.zeros(self.size, dtype=np.int64) + rows

    def rows_beside(self, own: int) -> Counts:
        """Return how many rows all workers may have in a step where this one has so many, or a filler."""
        most = own * self.size + self.rank
        return np.arange(1 if own == 1 else most - self.size + 1, most + 1)

    def take(self) -> tuple[int, int, int]:
        """Return the next step's rows on all workers and on this one, and the place of its first row."""
        step, self._taken = self._taken, self._taken + 1
        return self._totals[step], int(self.rows_of_each(step, step + 1)[self.rank]), self.rank


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
