"""Report: the steps of rank 0, for callbacks that run in the notebook and look at the logs of batches."""

from __future__ import annotations

import time
from typing import Any

import keras
import numpy as np

from nbkeras.model import state
from nbkeras.plan import Plan
from nbkeras.transport import wire
from nbkeras.transport.channel import PULSE, Channel
from nbkeras.transport.messages import Batches
from nbkeras.worker.callbacks.totals import WIDEST, sendable

#: Bytes in JSON after which steps are sent at once.
_ENOUGH = wire.LIMIT // 16


class Report(keras.callbacks.Callback):  # type: ignore[misc]
    """Behind the user's callbacks on rank 0: tells the notebook the steps of training and validation.

    Args:
        channel: to the notebook.
        plan: of the training.
    """

    def __init__(self, channel: Channel, plan: Plan) -> None:
        super().__init__()
        self._channel, self._plan = channel, plan
        self._calls: list[list[Any]] = []
        self._epoch = self._first = self._begun = self._size = 0
        self._sent = 0.0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Count the steps of this epoch."""
        self._epoch, self._first = epoch, 0

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Remember the first step of an execution."""
        self._begun = batch

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Tell a step of the training."""
        if self._plan.watches_training:
            self._add("train", batch, logs)

    def on_test_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Remember the first step of an execution."""
        self._begun = batch

    def on_test_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Tell a step of the validation."""
        if self._plan.watches_validation:
            self._add("test", batch, logs)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Tell the last steps, before the epoch itself is told."""
        self._send()

    def _add(self, kind: str, batch: int, logs: dict[str, Any] | None) -> None:
        optimizer = self.model.optimizer
        values = sendable(logs or {})
        call = [kind, self._begun, batch, values, state.steps(optimizer), state.learning_rate(optimizer)]
        self._calls.append(call)
        self._size += sum(map(np.size, values.values())) * WIDEST
        if time.monotonic() > self._sent + PULSE or self._size > _ENOUGH:
            self._send()

    def _send(self) -> None:
        if self._calls:
            steps = (self.params or {}).get("steps")
            event = Batches(
                type="batches", epoch=self._epoch, steps=steps, first=self._first, calls=self._calls
            )
            self._channel.send(event)
        self._first += len(self._calls)
        self._calls, self._size, self._sent = [], 0, time.monotonic()
