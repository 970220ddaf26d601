"""What Keras computes with: one module for each backend, all with the same functions.

This is the only place that picks one: a trainer loads the module of its own
backend and never imports another.
"""

from __future__ import annotations

import importlib
import socket
from typing import Any, Protocol, cast

import keras

from nbkeras.schema import Schema
from nbkeras.worker.collectives import Collective
from nbkeras.worker.feed import Feed


class Backend(Protocol):
    """What each module offers."""

    def use_threads(self, number: int) -> None:
        """Use so many threads; must come before the first operation."""

    def batches(self, feed: Feed) -> Any:
        """The feed's batches as Keras takes them: one epoch each time they are iterated."""

    def trace(self, model: Any, schema: Schema) -> None:
        """Trace the step of a model on rows of a schema, before there are rows, if the backend can."""

    def reserve(self, host: str, *, gpus: bool) -> socket.socket:
        """A socket bound to a free port, for the workers to meet: at this address, if the backend can.

        Args:
            host: the address.
            gpus: whether each worker has GPUs that no other one has.
        """

    def is_free(self, port: socket.socket) -> bool:
        """Whether a reserved port is still to be had."""

    def join(
        self, port: socket.socket, addresses: list[str], rank: int, secret: bytes, *, gpus: bool
    ) -> Collective:
        """Meet the other workers.

        Args:
            port: from ``reserve``.
            addresses: ``host:port`` of every worker, by rank.
            rank: of this worker.
            secret: of the run, which all its workers know.
            gpus: as for ``reserve``.
        """

    def draw(self, seeds: list[int]) -> None:
        """Reseed, from these numbers, what is drawn at random past the generators of the layers."""


def load() -> Backend:
    """The module of the backend that Keras runs on in this process."""
    return cast("Backend", importlib.import_module(f"{__name__}.{keras.config.backend()}"))
