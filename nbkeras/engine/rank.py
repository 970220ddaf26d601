"""The callbacks of each trainer: what makes N trainers act as one."""

from __future__ import annotations

import math
import time
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from nbkeras.engine import state
from nbkeras.engine.channel import Channel
from nbkeras.engine.collectives import Collective
from nbkeras.engine.feed import Feed
from nbkeras.plan import Plan

#: Seconds between two progress events.
PULSE = 0.25


class Combine(keras.callbacks.Callback):  # type: ignore[misc]
    """First in the list: makes the logs of an epoch those of all workers' rows.

    Metric states are summed, never results averaged. Validation runs here, so
    that its logs are summed too before any other callback sees them.

    Args:
        group: the workers.
        channel: to the notebook.
        plan: of the training.
        feed: the training rows of this worker.
        validation: its batches to validate on, None where it has none.
        table: rows of each worker in each step, shape (steps, workers).
        rank: of this worker.

    Attributes:
        partial: the epoch that a stop cut short, from 0, or None.
    """

    def __init__(
        self,
        group: Collective,
        channel: Channel,
        plan: Plan,
        feed: Feed,
        validation: Any,
        table: npt.NDArray[np.int64],
        rank: int,
    ) -> None:
        super().__init__()
        self._group, self._channel, self._plan = group, channel, plan
        self._feed, self._validation, self._rank = feed, validation, rank
        self._own, self._rows = table[:, rank], np.concatenate([[0], np.cumsum(table.sum(axis=1))])
        self._steps = len(table)
        self._saved: list[Any] | None = None
        self._told = self._told_rows = self._begun = 0.0
        self._epoch = self._step = 0
        self.partial: int | None = None

    def on_train_begin(self, logs: Any = None) -> None:
        """Say that training starts."""
        if self._rank == 0:
            self._channel.send({"type": "phase", "phase": "training"})

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Put the rows in the order of the epoch."""
        self._feed.permute(epoch)
        self._epoch, self._step = epoch, -1
        self._told = self._told_rows = 0.0
        self._begun = time.monotonic()

    def on_train_batch_begin(self, step: int, logs: Any = None) -> None:
        """Stop with all the others, tell the progress, and guard the state in a step without rows."""
        self._step = step
        if self._group.stop_requested():
            self.model.stop_training = True
        self._restore()
        if not self._own[step]:
            self._saved = [(one, np.asarray(one.value)) for one in self._untrained()]
        if self._rank == 0 and (now := time.monotonic()) >= self._told + PULSE:
            rows = float(self._rows[step])
            rate = (rows - self._told_rows) / (now - self._told) if self._told else 0.0
            self._told, self._told_rows = now, rows
            self._tell(step, rate)

    def _tell(self, step: int, rate: float) -> None:
        self._channel.progress(
            {"type": "progress", "epoch": self._epoch, "step": step, "steps": self._steps, "rate": rate}
        )

    def _untrained(self) -> list[Any]:
        """All that a step changes besides the trained weights."""
        return [*self.model.metrics_variables, *self.model.non_trainable_variables]

    def _restore(self) -> None:
        """Undo what a filler row has done to metrics and moving statistics."""
        if self._saved is None:
            return
        if len(self._saved) < len(self._untrained()):
            # Metrics are built in the first step: had it no rows, they begin now.
            self.model.reset_metrics()
        for variable, value in self._saved:
            variable.assign(value)
        self._saved = None

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Replace the local logs by those of all rows, with validation."""
        assert logs is not None
        self._restore()
        if self._group.stop_requested():
            self.model.stop_training = True
        done = min(self._step + self.model.steps_per_execution, self._steps)
        if done < self._steps:
            self.partial = epoch
        if self._rank == 0:
            # Over the whole epoch: one that is shorter than a pulse has no other rate.
            self._tell(done, float(self._rows[done]) / (time.monotonic() - self._begun))
        if self._group.size > 1:
            self._average_statistics()
            logs.update(self._summed())
        user_stop = self._group.agree([self._group.stop_wanted()])[0]
        if self._validates(epoch) and not user_stop:
            logs.update(self._validated())
        ordered = dict(sorted(logs.items()))
        logs.clear()
        logs.update(ordered)

    def _summed(self) -> dict[str, Any]:
        """Metric results over all workers' rows: their states, less what each began with, added up."""
        variables = self.model.metrics_variables
        states = [np.asarray(one.value, dtype=np.float64) for one in variables]
        self.model.reset_metrics()
        begun = [np.asarray(one.value, dtype=np.float64) for one in variables]
        gained = [state - start for state, start in zip(states, begun, strict=True)]
        total = self._group.sum(_packed(gained))
        for variable, start, part in zip(variables, begun, _unpacked(total, gained), strict=True):
            variable.assign((start + part).astype(variable.dtype))
        return {key: state.plain(value) for key, value in self.model.get_metrics_result().items()}

    def _average_statistics(self) -> None:
        """Moving statistics of the workers' own batches become their mean."""
        floats = [one for one in self.model.non_trainable_variables if "float" in str(one.dtype)]
        values = [np.asarray(one.value, dtype=np.float64) for one in floats]
        total = self._group.sum(_packed(values)) / self._group.size
        for variable, value in zip(floats, _unpacked(total, values), strict=True):
            variable.assign(value.astype(variable.dtype))

    def _validates(self, epoch: int) -> bool:
        frequency = self._plan.validation_freq
        if not self._plan.validates:
            return False
        if isinstance(frequency, int):
            return (epoch + 1) % frequency == 0
        return epoch + 1 in frequency

    def _validated(self) -> dict[str, Any]:
        if self._rank == 0:
            self._channel.send({"type": "phase", "phase": "validating"})
        if self._validation is not None:
            result = self.model.evaluate(self._validation, verbose=0, return_dict=True)
        else:
            self.model.reset_metrics()
            result = {}
        if self._group.size > 1:
            result = self._summed()
        if self._group.agree([self._group.stop_wanted()])[0]:
            return {}  # Cut short by a stop: not all rows are in it.
        if self._rank == 0:
            self._channel.send({"type": "phase", "phase": "training"})
        return {f"val_{key}": state.plain(value) for key, value in result.items()}


class Terminate(keras.callbacks.Callback):  # type: ignore[misc]
    """TerminateOnNaN for a group: whoever sees it tells all the others."""

    def __init__(self, group: Collective) -> None:
        super().__init__()
        self._group = group

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Ask all workers to stop when the loss is no number any more."""
        loss = (logs or {}).get("loss")
        if loss is not None and not math.isfinite(loss):
            self._group.request_end()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """End with the epoch: a wish of its last steps has not reached the others yet."""
        if not math.isfinite((logs or {}).get("loss", 0.0)):
            self.model.stop_training = True


class Follow(keras.callbacks.Callback):  # type: ignore[misc]
    """Last in the list: all workers take over what rank 0 and the notebook have decided.

    Attributes:
        epochs: (epoch, logs) of all epochs so far, for the notebook in case the
            connection was lost.
    """

    def __init__(self, group: Collective, channel: Channel, plan: Plan, rank: int) -> None:
        super().__init__()
        self._group, self._channel, self._plan, self._rank = group, channel, plan, rank
        self.epochs: list[tuple[int, dict[str, Any]]] = []

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Take over the learning rate that a schedule callback has set."""
        self._follow()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Report the epoch, let the notebook's callbacks run, and agree on what follows."""
        if self._rank == 0:
            values = {key: _wire(value) for key, value in (logs or {}).items()}
            self.epochs.append((epoch, values))
            event = {"type": "epoch", "epoch": epoch, "logs": values}
            if self._plan.asks:
                last = self.model.stop_training or epoch + 1 == self._plan.epochs
                self._obey(self._channel.ask({**event, "ask": True, "last": last}, self._weights()))
            else:
                self._channel.send(event)
        self._follow()

    def _weights(self) -> bytes:
        if not self._plan.needs_weights:
            return b""
        return state.pack(state.variables(self.model))

    def _obey(self, answer: dict[str, Any]) -> None:
        if answer.get("stop"):
            self.model.stop_training = True
        if answer.get("learning_rate") is not None:
            self.model.optimizer.learning_rate = answer["learning_rate"]

    def _follow(self) -> None:
        optimizer = self.model.optimizer
        rate = state.learning_rate(optimizer)
        ours = [float(self.model.stop_training), math.nan if rate is None else rate]
        decided = self._group.agree(ours if self._rank == 0 else [0.0, 0.0])
        if self._rank and rate is not None and decided[1] != rate:
            optimizer.learning_rate = decided[1]
        if decided[0]:
            self.model.stop_training = True


def _packed(arrays: list[npt.NDArray[Any]]) -> npt.NDArray[np.float64]:
    return np.concatenate([np.ravel(one) for one in arrays]) if arrays else np.empty(0)


def _unpacked(vector: npt.NDArray[np.float64], like: list[npt.NDArray[Any]]) -> list[npt.NDArray[np.float64]]:
    ends = np.cumsum([one.size for one in like])[:-1]
    return (
        [part.reshape(one.shape) for part, one in zip(np.split(vector, ends), like, strict=True)]
        if like
        else []
    )


def _wire(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else value
