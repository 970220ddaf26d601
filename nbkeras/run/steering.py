"""Steering: requests of the user to a run while it trains. It depends on neither IPython nor Spark."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

from nbkeras.errors import OptionError
from nbkeras.model.settings import unwrapped


@dataclass(frozen=True)
class Rate:
    """A learning rate that was set by hand.

    Attributes:
        value: the rate.
        number: sequence number, which grows by one with each rate.
        epoch: the first epoch with this rate, from 0; None until the workers have applied it.
    """

    value: float
    number: int
    epoch: int | None = None

    def lies_before(self, epoch: int) -> bool:
        """Whether the weights after an epoch (from 0) were trained with this rate, or with a later one.

        Example:
            >>> from nbkeras.run.steering import Rate
            >>> Rate(0.1, 1, epoch=2).lies_before(2), Rate(0.1, 1).lies_before(2)
            (True, False)
        """
        return self.epoch is not None and self.epoch <= epoch


class Steering:
    """Requests to pause and to set the learning rate; thread-safe.

    Attributes:
        pausing: set while the workers are to pause.
        rate: the last learning rate that was set by hand, or None.
        lock: held while a request changes and while it is sent, so that requests stay in order.
    """

    def __init__(self) -> None:
        self.pausing: threading.Event = threading.Event()
        self.rate: Rate | None = None
        self.lock: AbstractContextManager[bool] = threading.RLock()
        self._send: Callable[[], None] = lambda: None
        self._refused: str | None = None

    def connect(self, send: Callable[[], None]) -> None:
        """Set the function that sends the requests to the workers."""
        self._send = send

    def refuse(self, reason: str) -> None:
        """Refuse all further requests, for a reason; a pause ends."""
        self._refused = reason
        self.pausing.clear()

    def require(self, failure: str) -> None:
        """Check that requests can reach the workers.

        Args:
            failure: the first part of the error's message.

        Raises:
            OptionError: they cannot.
        """
        if self._refused is not None:
            raise OptionError(f"{failure}: {self._refused}")

    def pause(self, *, pausing: bool) -> None:
        """Request a pause, or its end."""
        with self.lock:
            if pausing:
                self.pausing.set()
            else:
                self.pausing.clear()
            self._send()

    def set_rate(self, value: float) -> None:
        """Request another learning rate."""
        with self.lock:
            self.rate = Rate(value, 1 if self.rate is None else self.rate.number + 1)
            self._send()

    def obeyed(self, number: int, epoch: int) -> None:
        """Record the epoch (from 0) from which on the workers train with a learning rate."""
        with self.lock:
            if self.rate is not None and self.rate.number == number:
                self.rate = replace(self.rate, epoch=epoch)


def learning_rate(value: Any, model: Any) -> float:
    """Convert a learning rate into a float.

    Args:
        value: a number, or its text.
        model: compiled, or None where it is not known.

    Raises:
        OptionError: it is not a positive number, or the model's optimizer has a schedule.

    Example:
        >>> from nbkeras.run.steering import learning_rate
        >>> learning_rate("1e-3", None)
        0.001
    """
    try:
        rate = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        rate = math.nan
    # Optimizers hold the rate as float32, where a value out of this range becomes infinite or 0.
    if not 1e-45 < rate < 3e38:
        raise OptionError(f"learning rate {value!r} is no positive number: type one such as 0.001")
    optimizer = getattr(model, "optimizer", None)
    optimizer = unwrapped(optimizer)
    current = getattr(optimizer, "_learning_rate", None)
    if callable(current) and not hasattr(current, "assign"):
        name = getattr(current, "__name__", type(current).__name__)
        raise OptionError(
            f"the learning rate follows {name}, which sets it by the step: compile the model with a number, "
            f"{type(optimizer).__name__}(learning_rate={rate:g}), to change it while it trains"
        )
    return rate
