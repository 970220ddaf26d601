"""Follow: all workers take over what rank 0 and the notebook have decided."""

from __future__ import annotations

import json
import math
from typing import Any

import keras
import numpy as np

from nbkeras.errors import ModelError
from nbkeras.model import state
from nbkeras.plan import Plan
from nbkeras.transport import wire
from nbkeras.transport.channel import Channel
from nbkeras.transport.checking import checked
from nbkeras.transport.messages import Decision, Epoch
from nbkeras.worker.callbacks.combine import Combine
from nbkeras.worker.collectives import Collective

#: Bytes of a number in JSON at most, with what is around it.
_WIDEST = 32


class Follow(keras.callbacks.Callback):  # type: ignore[misc]
    """Last in the list: all workers take over what rank 0 and the notebook have decided.

    Args:
        group: the workers.
        channel: to the notebook.
        plan: of the training.
        rank: of this worker.
        combine: has measured the epoch.

    Attributes:
        epochs: (epoch, logs) of all epochs so far, for the notebook in case the
            connection was lost.
    """

    def __init__(self, group: Collective, channel: Channel, plan: Plan, rank: int, combine: Combine) -> None:
        super().__init__()
        self._group, self._channel, self._plan, self._rank = group, channel, plan, rank
        self._combine = combine
        self.epochs: list[tuple[int, dict[str, Any]]] = []

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Take over the learning rate that a schedule callback has set."""
        self._follow()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Report the epoch, let the notebook's callbacks run, and agree on what follows."""
        if self._rank == 0:
            values = {key: _wire(value) for key, value in (logs or {}).items()}
            self.epochs.append((epoch, values))
            event = Epoch(type="epoch", epoch=epoch, logs=values, measured=self._combine.measured)
            self._require_small(values)
            if self._plan.asks:
                event["ask"] = True
                event["last"] = bool(self.model.stop_training) or epoch + 1 == self._plan.epochs
                event["optimizers"] = state.built(self.model)
                self._obey(checked(self._channel.ask(event, self._weights()), Decision))
            else:
                self._channel.send(event)
        self._follow()

    def _require_small(self, logs: dict[str, Any]) -> None:
        """Raise a ModelError where an epoch's logs are more than one event holds."""
        if sum(np.size(value) for value in logs.values()) * _WIDEST <= wire.LIMIT // 2:
            return  # Only logs that may be too large are encoded here, to measure them.
        size = len(json.dumps(logs))
        if size > wire.LIMIT // 2:
            name = max(logs, key=lambda key: np.size(logs[key]))
            raise ModelError(
                f"metric {name!r} gives {np.size(logs[name])} numbers, and the logs of an epoch have "
                f"{size >> 20} MiB, where at most {wire.LIMIT >> 21} reach the notebook: have it give fewer"
            )

    def _weights(self) -> bytes:
        if not self._plan.needs_weights:
            return b""
        return state.pack(state.variables(self.model))

    def _obey(self, decision: Decision) -> None:
        if decision["stop"]:
            self.model.stop_training = True
        if (rate := decision.get("learning_rate")) is not None:
            self.model.optimizer.learning_rate = rate

    def _follow(self) -> None:
        optimizer = self.model.optimizer
        rate = state.learning_rate(optimizer)
        ours = [float(self.model.stop_training), math.nan if rate is None else rate]
        decided = self._group.agree(ours if self._rank == 0 else [0.0, 0.0])
        if self._rank and rate is not None and decided[1] != rate:
            optimizer.learning_rate = decided[1]
        if decided[0]:
            self.model.stop_training = True


def _wire(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else value
