"""Which of its rows each worker gives to each step of an epoch.

A step is one global batch. Batches are cut as Keras cuts them (60 rows at 32:
32 and 28) and every worker makes the same number of steps, whatever the sizes
of the shards, so no worker ever waits for one that has run out of rows.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]


def steps(rows: int, batch_size: int) -> int:
    """Number of batches in an epoch.

    Example:
        >>> from nbkeras.engine.schedule import steps
        >>> steps(60, 32)
        2
    """
    return -(-rows // batch_size)


def dealt(rows: int, workers: int, batch_size: int) -> Counts:
    """Rows of each worker in each step when row i lies on worker i modulo workers.

    Returns:
        Array of shape (steps, workers).

    Example:
        >>> from nbkeras.engine.schedule import dealt
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
        >>> from nbkeras.engine.schedule import proportional
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
