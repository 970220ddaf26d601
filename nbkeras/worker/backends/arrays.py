"""What torch and JAX share: batches as NumPy arrays, and sums of them over sockets."""

from __future__ import annotations

import socket
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import keras
import numpy as np

from nbkeras.transport import ports
from nbkeras.worker.feed import Feed
from nbkeras.worker.member import Member
from nbkeras.worker.ring import Numbers
from nbkeras.worker.schedule import Steps


class Batches(keras.utils.PyDataset):  # type: ignore[misc]
    """The feed's batches as arrays, one epoch each time they are iterated.

    While one trains, a thread gathers the next one from the mapped files.

    Args:
        feed: the rows; their order may change before an epoch begins.
    """

    def __init__(self, feed: Feed) -> None:
        super().__init__()
        self._feed = feed
        self._starts = np.cumsum(feed.counts) - feed.counts
        self._thread = ThreadPoolExecutor(1)
        self._ahead: tuple[int, Future[Any]] | None = None

    def __len__(self) -> int:
        return len(self._feed.counts)

    def __getitem__(self, step: int) -> tuple[Any, ...]:
        ahead, self._ahead = self._ahead, None
        # The first of an epoch was never asked for before the rows got their order.
        known = step > 0 and ahead is not None and ahead[0] == step
        batch: tuple[Any, ...] = ahead[1].result() if ahead is not None and known else self._gather(step)
        if step + 1 < len(self):
            self._ahead = step + 1, self._thread.submit(self._gather, step + 1)
        return batch

    def _gather(self, step: int) -> tuple[Any, ...]:
        feed = self._feed
        # A step without rows takes one that is there, to stand in.
        start = min(self._starts[step], len(feed.order) - 1)
        chosen = feed.order[start : start + max(feed.counts[step], 1)]
        return feed.schema.nest({name: array[chosen] for name, array in feed.arrays.items()})


def batches(feed: Feed) -> Batches:
    """The feed's batches, one epoch of them each time they are iterated."""
    return Batches(feed)


def reserve(host: str, *, gpus: bool) -> socket.socket:  # noqa: ARG001  # as the protocol has it
    """A socket that listens on a free port of this address."""
    return ports.reserve(host, listen=True)


def is_free(port: socket.socket) -> bool:  # noqa: ARG001  # as the protocol has it
    """True: it listens already."""
    return True


class Circle(Member):
    """A member of a ring that knows its share of each step."""

    def __init__(self, port: socket.socket, addresses: list[str], rank: int, secret: bytes) -> None:
        super().__init__(port, addresses, rank, secret)
        self._steps: dict[bool, Steps] = {}
        self._next = {True: 0, False: 0}
        # Of the step in work: rows on all workers, and the place of the first one here.
        self._rows = self._first = 0

    def synchronise(self, model: Any, training: Steps, validation: Steps | None) -> None:
        """Make the model's optimizers sum the gradients of all workers."""
        self._steps = {True: training}
        if validation is not None:
            self._steps[False] = validation
        super().synchronise(model, training, validation)

    def advance(self, *, training: bool) -> np.float32:
        """Go on to the next step; this worker's share of its rows."""
        steps, step = self._steps[training], self._next[training]
        self._next[training] = (step + 1) % len(steps.table)
        self._rows = int(steps.totals[step])
        # A filler has no place.
        self._first = int(steps.firsts[step]) if steps.counts[step] else 0
        return np.float32(steps.shares[step])

    def sum_step(self, vector: Numbers) -> Numbers:
        """The sum of all workers' vectors, with the flags behind them."""
        return self._without_flags(self._ring.sum(self._with_flags(vector)))
