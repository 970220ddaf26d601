"""What torch and JAX share: batches as NumPy arrays, and sums of them over sockets."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from nbkeras.schema import Schema
from nbkeras.transport import ports
from nbkeras.worker.backends.iterated import Iterated
from nbkeras.worker.feed import Feed
from nbkeras.worker.member import Member
from nbkeras.worker.ring import Numbers
from nbkeras.worker.schedule import Schedule


class Batches(Iterated):
    """The feed's batches as arrays, one epoch each time they are iterated.

    While one trains, a thread gathers the next one from the mapped files. Keras hands them to a step
    as they are.

    Args:
        feed: the rows; their order may change before an epoch begins.
    """

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._starts = np.cumsum(feed.counts) - feed.counts
        self._thread = ThreadPoolExecutor(1)

    @property
    def num_batches(self) -> int:
        """Steps of an epoch."""
        return len(self._feed.counts)

    def __iter__(self) -> Iterator[Any]:
        ahead = self._thread.submit(self._gather, 0)
        for step in range(1, self.num_batches + 1):
            batch = ahead.result()
            if step < self.num_batches:
                ahead = self._thread.submit(self._gather, step)
            yield batch

    def _gather(self, step: int) -> Any:
        feed = self._feed
        # A step without rows takes one that is there, to stand in.
        start = min(self._starts[step], len(feed.order) - 1)
        chosen = feed.order[start : start + max(feed.counts[step], 1)]
        return feed.schema.batch(feed.gathered(chosen))


def batches(feed: Feed) -> Batches:
    """The feed's batches, one epoch of them each time they are iterated."""
    return Batches(feed)


def trace(model: Any, schema: Schema) -> None:  # as the protocol has it
    """Do nothing: torch traces no step, and JAX compiles one for a batch of known size."""


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
        self._steps: dict[bool, Schedule] = {}
        # Of the step in work: rows on all workers, and the place of the first one here.
        self._rows = self._first = 0

    def synchronise(self, model: Any, training: Schedule, validation: Schedule | None) -> None:
        """Make the model's optimizers sum the gradients of all workers."""
        self._steps = {True: training}
        if validation is not None:
            self._steps[False] = validation
        super().synchronise(model, training, validation)

    def advance(self, *, training: bool) -> np.float32:
        """Go on to the next step; this worker's share of its rows."""
        self._rows, own, first = self._steps[training].take()
        # A filler has no place.
        self._first = first if own else 0
        return np.float32(own / self._rows)

    def sum_step(self, vector: Numbers) -> Numbers:
        """The sum of all workers' vectors, with the flags behind them."""
        return self._without_flags(self._ring.sum(self._with_flags(vector)))
