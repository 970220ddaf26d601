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
from nbkeras.worker.callbacks.changes import Changes, shared, values
from nbkeras.worker.callbacks.combine import Combine
from nbkeras.worker.callbacks.live import Live
from nbkeras.worker.callbacks.totals import WIDEST, packed, sendable, unpacked
from nbkeras.worker.collectives import Collective


class Follow(keras.callbacks.Callback):  # type: ignore[misc]
    """Last in the list: all workers take over what rank 0 and the notebook have decided.

    Args:
        group: the workers.
        channel: to the notebook.
        plan: of the training.
        rank: of this worker.
        combine: has measured the epoch.
        live: the user's callbacks that are called within an epoch.
        changes: on rank 0 of several workers, knows whether these have changed weights.

    Attributes:
        epochs: (epoch, logs) of all epochs so far, for the notebook in case the
            connection was lost.
    """

    def __init__(
        self,
        group: Collective,
        channel: Channel,
        plan: Plan,
        rank: int,
        combine: Combine,
        live: Live,
        changes: Changes | None,
    ) -> None:
        super().__init__()
        self._group, self._channel, self._plan, self._rank = group, channel, plan, rank
        self._combine, self._live, self._changes = combine, live, changes
        #: The numbers of the optimizers that callbacks may set.
        self._settable: list[tuple[Any, str]] = []
        self.epochs: list[tuple[int, dict[str, Any]]] = []

    def on_train_begin(self, logs: Any = None) -> None:
        """Begin where a callback such as BackupAndRestore has restored the training."""
        model = self.model
        self._settable = state.settable(model)
        if self._live.leading and self._group.size > 1:
            begins = self._group.agree([0.0 if self._rank else float(model._initial_epoch or 0)])  # noqa: SLF001
            model._initial_epoch = int(begins[0]) or None  # noqa: SLF001
            self._follow()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Take over the learning rate that a schedule callback has set."""
        self._follow()

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Take over what a callback has set for this step."""
        if self._live.before_steps and self._group.size > 1:
            self._follow()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Stop with this step, if a callback has said so."""
        if self._live.in_steps and self._group.size > 1:
            self._follow()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Report the epoch, let the notebook's callbacks run, and agree on what follows."""
        if self._rank == 0:
            values = sendable(logs or {})
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
        if sum(np.size(value) for value in logs.values()) * WIDEST <= wire.LIMIT // 2:
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
        """Take over from rank 0 the stop, numbers of the optimizers, and weights that a callback changed."""
        model, leads = self.model, self._rank == 0
        known = [state.setting(*one) for one in self._settable]
        made = self._changes is not None and self._changes.made()
        ours = [float(model.stop_training), float(made), *known] if leads else [0.0] * (2 + len(known))
        stop, changed, *decided = self._group.agree(ours)
        if stop:
            model.stop_training = True
        if changed:
            self._take_weights(model)
        for (optimizer, name), value, new in zip(self._settable, known, decided, strict=True):
            if not leads and new != value and not math.isnan(new):
                setattr(optimizer, name, new)

    def _take_weights(self, model: Any) -> None:
        """Give all workers the weights of rank 0."""
        variables = shared(model)
        found = values(variables)
        mine = packed([np.zeros_like(one) if self._rank else one for one in found])
        for variable, value in zip(variables, unpacked(self._group.sum(mine), found), strict=True):
            variable.assign(value.reshape(variable.shape).astype(variable.dtype))
