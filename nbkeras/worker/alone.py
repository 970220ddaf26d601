"""Implement the collective for a single worker: nothing is summed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nbkeras.model.state import Vector
from nbkeras.worker.schedule import Steps


class Alone:
    """A group of one: nothing to sum, and Keras trains as it always does."""

    rank, size = 0, 1
    share: Any = 1.0
    summed = True
    local = False

    def __init__(self) -> None:
        self._model: Any = None
        self._stop = self._steer = False

    def sum(self, vector: Vector) -> Vector:
        """The vector itself."""
        return vector

    def synchronise(self, model: Any, training: Steps, validation: Steps | None) -> None:
        """Leave the optimizers as they are."""
        self._model = model

    def begin(self, *, training: bool) -> Any:
        """All rows of each step are this worker's."""
        return self.share

    def add_up(self, vector: Any) -> Any:
        """The vector itself."""
        return vector

    def share_sum(self, vector: Any) -> Any:
        """The vector itself."""
        return vector

    def traceless(self, step: Callable[..., Any], arguments: tuple[Any, ...], untrained: list[Any]) -> Any:
        """What the step returns: it always has rows."""
        return step(*arguments)

    def meet(self, vector: Vector) -> Vector:
        """The vector itself."""
        return vector

    def agree(self, numbers: list[float]) -> list[float]:
        """The numbers themselves."""
        return numbers

    def broke(self, error: BaseException) -> bool:
        """False: there is no other."""
        return False

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

    def wish_heard(self) -> bool:
        """Whether a stop was asked for."""
        return self._stop

    def stop_wanted(self) -> bool:
        """Whether a stop was asked for."""
        return self._stop

    def request_steering(self) -> None:
        """Do before the next step what the user wants."""
        self._steer = True

    def steering_heard(self) -> bool:
        """Whether the user wants something."""
        return self._steer

    def steered(self) -> None:
        """Forget that the user wanted something."""
        self._steer = False
