"""Implement the collective for a single worker: nothing is summed."""

from __future__ import annotations

from typing import Any

from nbkeras.model.state import Vector
from nbkeras.worker.collectives import Flag
from nbkeras.worker.schedule import Schedule


class Alone:
    """A group of one: nothing to sum, and Keras trains as it always does."""

    rank: int = 0
    size: int = 1
    local = False

    def __init__(self) -> None:
        self._model: Any = None
        self._flags: set[Flag] = set()

    def sum(self, vector: Vector) -> Vector:
        """The vector itself."""
        return vector

    def synchronise(self, model: Any, training: Schedule, validation: Schedule | None) -> None:
        """Leave the optimizers as they are."""
        self._model = model

    def meet(self, vector: Vector) -> Vector:
        """The vector itself."""
        return vector

    def agree(self, numbers: list[float]) -> list[float]:
        """The numbers themselves."""
        return numbers

    def broke(self, error: BaseException) -> bool:
        """False: there is no other."""
        return False

    def request(self, flag: Flag) -> None:
        """Raise a flag; on a stop or an end Keras stops after the batch in work."""
        self._flags.add(flag)
        if flag is not Flag.STEER and self._model is not None:
            self._model.stop_training = True

    def requested(self, flag: Flag) -> bool:
        """Whether the flag is raised."""
        return flag in self._flags

    def seen(self, *flags: Flag) -> bool:
        """Whether one of the flags is raised: there is nobody to agree with."""
        return not self._flags.isdisjoint(flags)

    def clear(self, flag: Flag) -> None:
        """Lower the flag."""
        self._flags.discard(flag)
