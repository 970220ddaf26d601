"""Steering: what the owner of a run asks of it while it trains. Knows neither IPython nor Spark."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from nbkeras.errors import OptionError
from nbkeras.model.settings import unwrapped


@dataclass(frozen=True)
class Rate:
    """A learning rate that was set by hand.

    Attributes:
        value: the rate.
        number: grows by one with each that is set.
        epoch: from which it holds, from 0; None while the workers do not have it.
    """

    value: float
    number: int
    epoch: int | None = None

    def lies_before(self, epoch: int) -> bool:
        """Whether the weights after an epoch (from 0) were trained with it, or with what came after it.

        Example:
            >>> from nbkeras.run.steering import Rate
            >>> Rate(0.1, 1, epoch=2).lies_before(2), Rate(0.1, 1).lies_before(2)
            (True, False)
        """
        return self.epoch is not None and self.epoch <= epoch


class Steering:
    """Wishes that the workers have yet to hear, or go on to obey; safe in any thread.

    Attributes:
        pausing: set while the workers are to stand still.
        rate: the last learning rate that was set by hand, or None.
        lock: held while a wish changes and while it is told, so that none overtakes another.
    """

    def __init__(self) -> None:
        self.pausing = threading.Event()
        self.rate: Rate | None = None
        self.lock = threading.RLock()
        self._tell: Callable[[], None] = lambda: None
        self._refused: str | None = None

    def connect(self, tell: Callable[[], None]) -> None:
        """Say who tells the workers."""
        self._tell = tell

    def refuse(self, reason: str) -> None:
        """From now on the workers hear nothing, for a reason; they do not stand still then."""
        self._refused = reason
        self.pausing.clear()

    def require(self, wish: str) -> None:
        """Make sure that the workers can hear a wish.

        Raises:
            OptionError: they cannot.
        """
        if self._refused is not None:
            raise OptionError(f"{wish}: {self._refused}")

    def pause(self, *, pausing: bool) -> None:
        """Have the workers stand still, or go on."""
        with self.lock:
            if pausing:
                self.pausing.set()
            else:
                self.pausing.clear()
            self._tell()

    def set_rate(self, value: float) -> None:
        """Give the workers another learning rate."""
        with self.lock:
            self.rate = Rate(value, 1 if self.rate is None else self.rate.number + 1)
            self._tell()

    def obeyed(self, number: int, epoch: int) -> None:
        """Note that the workers train with a learning rate from an epoch (from 0) on."""
        with self.lock:
            if self.rate is not None and self.rate.number == number:
                self.rate = replace(self.rate, epoch=epoch)


def learning_rate(value: Any, model: Any) -> float:
    """A learning rate as a float.

    Args:
        value: what was given.
        model: compiled, or None where it is not known.

    Raises:
        OptionError: it is none, or the model's optimizer has a schedule.

    Example:
        >>> from nbkeras.run.steering import learning_rate
        >>> learning_rate("1e-3", None)
        0.001
    """
    try:
        rate = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        rate = math.nan
    # Beyond float32, in which optimizers hold it, it would be infinite or nothing.
    if not 1e-45 < rate < 3e38:
        raise OptionError(f"learning rate {value!r} is no positive number: type one such as 0.001")
    optimizer = getattr(model, "optimizer", None)
    optimizer = unwrapped(optimizer)
    given = getattr(optimizer, "_learning_rate", None)
    if callable(given) and not hasattr(given, "assign"):
        name = getattr(given, "__name__", type(given).__name__)
        raise OptionError(
            f"the learning rate follows {name}, which sets it by the step: compile the model with a number, "
            f"{type(optimizer).__name__}(learning_rate={rate:g}), to change it while it trains"
        )
    return rate
