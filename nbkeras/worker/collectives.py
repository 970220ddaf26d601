"""Collectives: what a trainer needs from a group of workers, whatever its backend."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any, Protocol

from nbkeras.model.state import Vector
from nbkeras.worker.schedule import Steps


class Flag(enum.IntEnum):
    """What a worker tells all others with the sum of a step; the numbers are places in it."""

    #: The user wants the end.
    STOP = 0
    #: Training has come to its end by itself: the loss is NaN or infinite.
    END = 1
    #: The user wants something else, which is told between two steps.
    STEER = 2


class Collective(Protocol):
    """What the trainer needs from a group of workers."""

    rank: int
    size: int
    #: This worker's share of the rows of the step in work.
    share: Any
    #: Whether the step in work has summed gradients.
    summed: bool
    #: Whether each worker applies the gradients of its own rows; set before optimizers are synchronised.
    local: bool

    def sum(self, vector: Vector) -> Vector:
        """The element-wise sum of all workers' vectors of one length."""

    def synchronise(self, model: Any, training: Steps, validation: Steps | None) -> None:
        """Make the model's optimizers sum the gradients of all workers."""

    def begin(self, *, training: bool) -> Any:
        """Enter the next step; this worker's share of its rows."""

    def add_up(self, vector: Any) -> Any:
        """The sum of all workers' vectors, inside a step; the flags ride with it."""

    def share_sum(self, vector: Any) -> Any:
        """The same for a vector that gradients flow through, in both directions."""

    def traceless(self, step: Callable[..., Any], arguments: tuple[Any, ...], untrained: list[Any]) -> Any:
        """What a step returns; without rows of this worker in it, it leaves no trace in these variables."""

    def meet(self, vector: Vector) -> Vector:
        """The sum of all workers' vectors, between steps; the flags ride with it."""

    def agree(self, numbers: list[float]) -> list[float]:
        """The sums of some numbers of all workers."""

    def broke(self, error: BaseException) -> bool:
        """Whether an exception means that another worker is gone."""

    def request_stop(self) -> None:
        """Stop on the user's wish, from any thread of any worker."""

    def request_end(self) -> None:
        """Stop because of what training has come to (a loss that is NaN or infinite)."""

    def stop_requested(self) -> bool:
        """Whether a worker had asked for either in the last step: the same answer on all."""

    def wish_heard(self) -> bool:
        """Whether the user's wish was in the last step: the same answer on all."""

    def stop_wanted(self) -> bool:
        """Whether the user's wish to stop has reached this worker."""

    def request_steering(self) -> None:
        """Have all workers meet before the next step, from any thread of one of them."""

    def steering_heard(self) -> bool:
        """Whether a worker had asked for that in the last step: the same answer on all."""

    def steered(self) -> None:
        """Forget what was asked for: the workers have met, or are about to."""
