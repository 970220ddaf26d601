"""Which of its rows each worker gives to each step of an epoch.

A step is one global batch. Batches are cut as Keras cuts them (60 rows at 32:
32 and 28) and every worker makes the same number of steps, whatever the sizes
of the shards, so no worker ever waits for one that has run out of rows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]


class Schedule(Protocol):
    """One worker's part in the steps of an epoch.

    Attributes:
        rank: of this worker.
        number: steps of an epoch; None where it is not known.
        may_lack: whether this worker may have no rows in a step.
    """

    rank: int

    @property
    def number(self) -> int | None: ...  # noqa: D102  # as said above

    @property
    def may_lack(self) -> bool: ...  # noqa: D102  # as said above

    def first(self, step: int) -> int:
        """Return the place of the first step of an epoch, behind a step of the epoch before."""

    def rows(self, first: int, last: int) -> int:
        """Return the rows of some steps, on all workers."""

    def rows_of_each(self, first: int, last: int) -> Counts:
        """Return the rows of some steps on each worker."""

    def share(self, step: int) -> float:
        """Return this worker's part of a step's rows, from 0 to 1."""

    def take(self) -> float:
        """Return this worker's share of the next step's rows."""


@dataclass
class Steps:
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

    def share(self, step: int) -> float:
        """Return this worker's part of a step's rows, from 0 to 1."""
        return float(self.table[step, self.rank] / self.table[step].sum())

    def take(self) -> float:
        """Return this worker's share of the next step's rows."""
        step, self._next = self._next, (self._next + 1) % len(self.table)
        return self.share(step)

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


class Ledger:
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
        (0.4, [3, 2])
    """

    may_lack = True

    def __init__(self, rank: int, size: int, length: int | None = None, *, continues: bool = False) -> None:
        self.rank, self.size, self.number = rank, size, length
        self._continues = continues
        self._totals: list[int] = []
        self._taken = 0

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

    def share(self, step: int) -> float:
        """Return this worker's part of a step's rows, from 0 to 1."""
        return float(self.rows_of_each(step, step + 1)[self.rank] / self._totals[step])

    def numbers(self) -> npt.NDArray[np.int32]:
        """Return the rows of the next step, on all workers and on this one."""
        step, self._taken = self._taken, self._taken + 1
        return np.array([self._totals[step], self.rows_of_each(step, step + 1)[self.rank]], dtype=np.int32)

    def take(self) -> float:
        """Return this worker's share of the next step's rows."""
        total, own = self.numbers()
        return float(own / total)


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
