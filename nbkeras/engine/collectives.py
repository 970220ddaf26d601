"""Sums across workers: what every backend offers a group, and the group of one."""

from __future__ import annotations

import socket
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]


class Collective(Protocol):
    """What the trainer needs from a group of workers."""

    rank: int
    size: int

    def sum(self, vector: Vector) -> Vector:
        """The element-wise sum of all workers' vectors of one length."""

    def synchronise(self, model: Any, shares: npt.NDArray[np.float32]) -> None:
        """Make the model's optimizer sum the weighted gradients of all workers."""

    def agree(self, numbers: list[float]) -> list[float]:
        """The sums of some numbers of all workers."""

    def request_stop(self) -> None:
        """Stop on the user's wish, from any thread of any worker."""

    def request_end(self) -> None:
        """Stop because of what training has come to (a loss that is no number)."""

    def stop_requested(self) -> bool:
        """Whether a worker had asked for either in the last step: the same answer on all."""

    def stop_wanted(self) -> bool:
        """Whether the user's wish to stop has reached this worker."""


class Alone:
    """A group of one: nothing to sum, and Keras trains as it always does."""

    rank, size = 0, 1

    def __init__(self) -> None:
        self._model: Any = None
        self._stop = False

    def sum(self, vector: Vector) -> Vector:
        """The vector itself."""
        return vector

    def synchronise(self, model: Any, shares: npt.NDArray[np.float32]) -> None:
        """Leave the optimizer as it is."""
        self._model = model

    def agree(self, numbers: list[float]) -> list[float]:
        """The numbers themselves."""
        return numbers

    def request_stop(self) -> None:
        """Stop after the batch in work: Keras looks at the flag after each."""
        self._stop = True
        if self._model is not None:
            self._model.stop_training = True

    def request_end(self) -> None:
        """Stop after the batch in work."""
        self._model.stop_training = True

    def stop_requested(self) -> bool:
        """Whether a stop was asked for."""
        return self._stop

    def stop_wanted(self) -> bool:
        """Whether a stop was asked for."""
        return self._stop


def reserve_port(host: str) -> socket.socket:
    """A socket bound to a free port, to be closed just before the backend binds that port.

    TensorFlow's server shares its port with nobody, so the socket cannot be kept
    while it starts; held until then, it leaves others a few milliseconds at most.
    """
    holder = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    holder.bind((host, 0))
    return holder
