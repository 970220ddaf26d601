"""Collectives: what a trainer needs from a group of workers, be it one or several, on any backend."""

from __future__ import annotations

import enum
from typing import Any, Protocol

from nbkeras.model.state import Vector
from nbkeras.worker.schedule import Schedule


class Flag(enum.IntEnum):
    """What a worker tells all others with the sum of a step; the numbers are places in it."""

    #: The user wants the training to stop.
    STOP = 0
    #: Training has come to its end by itself: the loss is NaN or infinite.
    END = 1
    #: The user wants a pause or another learning rate: the workers meet before the next step.
    STEER = 2


class Collective(Protocol):
    """What the trainer needs from a group of workers."""

    rank: int
    size: int
    #: Whether each worker applies the gradients of its own rows; set before optimizers are synchronised.
    local: bool

    def sum(self, vector: Vector) -> Vector:
        """The element-wise sum of all workers' vectors of one length."""

    def synchronise(self, model: Any, training: Schedule, validation: Schedule | None) -> None:
        """Make the model's optimizers sum the gradients of all workers."""

    def meet(self, vector: Vector) -> Vector:
        """The sum of all workers' vectors, between steps; the flags ride with it."""

    def agree(self, numbers: list[float]) -> list[float]:
        """The sums of some numbers of all workers."""

    def broke(self, error: BaseException) -> bool:
        """Whether an exception means that another worker is gone."""

    def request(self, flag: Flag) -> None:
        """Raise a flag, from any thread of any worker: it rides with the next sum of a step."""

    def requested(self, flag: Flag) -> bool:
        """Whether this worker has raised the flag."""

    def seen(self, *flags: Flag) -> bool:
        """Whether a worker had raised one of the flags by the last sum: the same answer on all."""

    def clear(self, flag: Flag) -> None:
        """Lower the flag on this worker, and forget that it was seen."""
