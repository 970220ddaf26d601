"""A member of a ring: several workers that sum over sockets, on any backend."""

from __future__ import annotations

import socket

from nbkeras.worker.ring import Numbers, Ring
from nbkeras.worker.together import Together


class Member(Together):
    """Workers that sum by a ring of sockets, on which every one has proved the run's secret.

    Args:
        port: listens for the worker before.
        addresses: ``host:port`` of every worker, by rank.
        rank: of this worker.
        secret: of the run.
    """

    def __init__(self, port: socket.socket, addresses: list[str], rank: int, secret: bytes) -> None:
        super().__init__(rank, len(addresses))
        self._ring = Ring(port, addresses, rank, secret)

    def sum(self, vector: Numbers) -> Numbers:
        """The element-wise sum of all workers' vectors of one length."""
        return self._ring.sum(vector)

    def broke(self, error: BaseException) -> bool:  # a backend may raise an error of its own for that
        """Whether another worker is gone."""
        return self._ring.broken
