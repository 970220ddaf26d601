"""The callbacks of each trainer: what makes N trainers act as one."""

from __future__ import annotations

import inspect
import json
import math
import socket
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from nbkeras.errors import ClusterError, ModelError, OptionError
from nbkeras.job.checkpoint import Checkpoint, Origin, Store
from nbkeras.model import state
from nbkeras.plan import Plan
from nbkeras.transport import wire
from nbkeras.transport.channel import Channel
from nbkeras.worker.collectives import Collective, Vector
from nbkeras.worker.feed import Feed
from nbkeras.worker.schedule import Steps
from nbkeras.worker.steering import Steering

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
        steps: this worker's in an epoch.
        validation: its batches to validate on, None where there are none.
        checked: this worker's steps of a validation.
        steering: does what the user wishes between two steps.
        meets: whether the workers meet in each step of a validation.

    Attributes:
        partial: the epoch that a stop cut short, from 0, or None.
        stopped: whether the user has stopped the training.
    """

    def __init__(
        self,
        group: Collective,
        channel: Channel,
        plan: Plan,
        feed: Feed,
        steps: Steps,
        validation: Any,
        checked: Steps | None,
        steering: Steering,
        *,
        meets: bool,
    ) -> None:
        super().__init__()
        self._group, self._channel, self._plan = group, channel, plan
        self._steering, self._meets = steering, meets
        #: The learning rate by the steps since the one at which it was read.
        self._rate: Callable[[int], float | None] = lambda _: None
        self._rated = 0
        self._feed, self._steps = feed, steps
        self._validation, self._checked = validation, checked
        self._rank = steps.rank
        self._rows = np.concatenate([[0], np.cumsum(steps.totals)])
        self._told = self._told_rows = self._begun = 0.0
        #: Of the last step of this epoch, over all of its steps so far.
        self._logs: dict[str, Any] = {}
        #: What the last epoch took and trained with, by name.
        self.measured: dict[str, float | None] = {}
        #: The next step of the rows' round, that which began the epoch, and the epoch.
        self._next = self._first = self._epoch = 0
        #: The step at which the workers' weights were last the same.
        self._met = 0
        self.partial: int | None = None
        self.stopped = False

    def on_train_begin(self, logs: Any = None) -> None:
        """Say that training starts."""
        if self._rank == 0:
            self._channel.send({"type": "phase", "phase": "training"})
            batches, asked = len(self._steps.table), self._plan.steps_per_epoch
            if batches % self._expected():
                sentence = (
                    f"steps_per_epoch={asked} does not divide the {batches} batches of the rows: "
                    "as in Keras, the epoch that runs out of rows ends early"
                )
                self._channel.send({"type": "note", "sentence": sentence})

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Put the rows in the order of the epoch, unless it goes on in the round of the one before."""
        self._epoch, self._first = epoch, self._next % len(self._steps.table)
        self._next = self._met = self._first
        if not self._first:
            self._feed.permute(epoch)
        self._told = self._told_rows = 0.0
        self._logs = {}
        self._begun = self._steering.clock()

    def on_train_batch_begin(self, step: int, logs: Any = None) -> None:
        """Stop, stand still or take another learning rate with all the others, and tell the progress."""
        if self._group.stop_requested():
            self.model.stop_training = True
        # What came between two epochs, or before the first one, is heard in the first step.
        if (begins := self._next == self._first) or self._group.steering_heard():
            self._steer(begins=begins)
        if self._rank == 0 and (now := self._steering.clock()) >= self._told + PULSE:
            rows = self._done_rows()
            rate = (rows - self._told_rows) / (now - self._told) if self._told else 0.0
            self._told, self._told_rows = now, rows
            self._tell(rate)

    def on_train_batch_end(self, step: int, logs: dict[str, Any] | None = None) -> None:
        """Count the steps that one execution has made, and meet the others if they go apart in between."""
        self._logs = logs or {}
        self._next = min(self._next + self.model.steps_per_execution, len(self._steps.table))
        if self._group.local and self._next - self._met >= self._plan.sync_every:
            state.synchronise(self.model)
            self._mean(self.model.trainable_variables, self._met, self._group.meet)
            self._met = self._next

    def _steer(self, *, begins: bool) -> None:
        """Do what the user wishes before the next step, with all the others.

        Args:
            begins: whether the step is the first of the epoch.
        """
        if self._rank == 0:
            if begins:
                self._read_rate()
            self._tell(0.0)  # So that it is known where the workers stand still.
        self._steering.between_steps(self.model, self._epoch, self._next - self._first, self._tell_rate)

    def _read_rate(self) -> None:
        self._rate, self._rated = state.rates(self.model.optimizer), self._next

    def _tell_rate(self) -> None:
        self._read_rate()
        self._tell(0.0)

    def _tell(self, rate: float) -> None:
        done, steps = self._next - self._first, self._expected()
        event = {"type": "progress", "epoch": self._epoch, "step": done, "steps": steps, "rate": rate}
        event["learning_rate"] = self._rate(self._next - self._rated)
        # Read no more often than it is told: a device may have to be waited for.
        loss = float(np.mean(state.plain(self._logs["loss"]))) if "loss" in self._logs else math.nan
        self._channel.progress({**event, "loss": loss if math.isfinite(loss) else None})

    def _done_rows(self) -> float:
        return float(self._rows[self._next] - self._rows[self._first])

    def _expected(self) -> int:
        """Steps of the epoch: as Keras cuts them, it ends with the rows' round at the latest."""
        left = len(self._steps.table) - self._first
        at_once = self.model.steps_per_execution
        asked = self._plan.steps_per_epoch
        return left if asked is None else min(left, -(-asked // at_once) * at_once)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Replace the local logs by those of all rows, with validation."""
        assert logs is not None
        if self._group.stop_requested():
            self.model.stop_training = True
        if self._next - self._first < self._expected():
            self.partial = epoch
        if self._rank == 0:
            # Over the whole epoch: one that is shorter than a pulse has no other rate.
            self._tell(self._done_rows() / (self._steering.clock() - self._begun))
        if self._group.size > 1:
            self._mean(state.statistics(self.model), self._first, self._group.sum)
            if self._group.local:
                self._mean(self.model.trainable_variables, self._met, self._group.sum)
                # Once an epoch, so that a checkpoint holds what every worker goes on with.
                self._mean(state.moments(self.model), self._first, self._group.sum)
            logs.update(self._combined(logs, self._steps.shares[self._next - 1]))
        if not self._stopped() and self._validates(epoch):
            logs.update(self._validated())
        rate = self._rate(max(0, self._next - 1 - self._rated))
        self.measured = {"learning_rate": rate, "seconds_per_epoch": self._steering.clock() - self._begun}
        ordered = dict(sorted(logs.items()))
        logs.clear()
        logs.update(ordered)

    def _stopped(self) -> bool:
        """Whether the user's wish to stop has reached any worker, between steps: then it ends here."""
        self.stopped = bool(self._group.agree([self._group.stop_wanted()])[0])
        if self.stopped:
            self.model.stop_training = True
        return self.stopped

    def _combined(self, logs: dict[str, Any], share: Any) -> dict[str, Any]:
        """The logs over all workers: of the metrics, or of what a step of the user's own has returned.

        Args:
            logs: of this worker.
            share: this worker's in the last step.
        """
        if set(self.model.get_metrics_result()) == set(logs):
            return self._summed()
        # What a filler row has come to is dropped, never multiplied: it may be NaN.
        numbers = [float(np.mean(value)) * float(share) if share else 0.0 for value in logs.values()]
        return dict(zip(logs, self._group.agree(numbers), strict=True))

    def _summed(self) -> dict[str, Any]:
        """Metric results over all workers' rows: their states, less what each began with, added up."""
        variables = self.model.metrics_variables
        states = [state.value(one).astype(np.float64) for one in variables]
        self.model.reset_metrics()
        begun = [state.value(one).astype(np.float64) for one in variables]
        gained = [now - start for now, start in zip(states, begun, strict=True)]
        total = self._group.sum(_packed(gained))
        for variable, start, part in zip(variables, begun, _unpacked(total, gained), strict=True):
            variable.assign((start + part).astype(variable.dtype))
        return {key: state.plain(value) for key, value in self.model.get_metrics_result().items()}

    def _mean(self, variables: list[Any], first: int, add_up: Callable[[Vector], Vector]) -> None:
        """What workers hold becomes their mean, weighted by their rows in the steps since ``first``."""
        counts = self._steps.table[first : self._next].sum(axis=0)
        if not counts.sum():
            return  # They have just met.
        share = counts[self._rank] / counts.sum()
        values = [state.value(one).astype(np.float64) for one in variables]
        total = add_up(_packed([value * share for value in values]))
        for variable, value in zip(variables, _unpacked(total, values), strict=True):
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
        watch = _Check(self._group, self._steering, meets=self._meets)
        result = self.model.evaluate(self._validation, verbose=0, return_dict=True, callbacks=[watch])
        if not self._meets:
            self._steering.alone()  # Behind the last epoch no step comes that would.
        if self._group.size > 1:
            assert self._checked is not None
            result = self._combined(result, self._checked.shares[-1])
        if self._stopped():
            return {}  # Cut short: not all rows are in it.
        if self._rank == 0:
            self._channel.send({"type": "phase", "phase": "training"})
        return {f"val_{key}": state.plain(value) for key, value in result.items()}


class _Check(keras.callbacks.Callback):  # type: ignore[misc]
    """Stops and pauses validation: in the same step on all workers, where they meet in each.

    Args:
        group: the workers.
        steering: does what the user wishes between two steps.
        meets: whether the workers meet in each step.
    """

    def __init__(self, group: Collective, steering: Steering, *, meets: bool) -> None:
        super().__init__()
        self._group, self._steering, self._meets = group, steering, meets

    def on_test_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Obey a wish that has come to all."""
        if not self._meets:
            self._steering.alone()
            return
        if self._group.wish_heard():
            self.model.stop_evaluating = True
        if self._group.steering_heard():
            self._steering.between_checks(self.model)


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
            event = {
                "type": "epoch",
                "epoch": epoch,
                "logs": values,
                "measured": self._combine.measured,
            }
            self._require_small(values)
            if self._plan.asks:
                last = self.model.stop_training or epoch + 1 == self._plan.epochs
                event |= {"ask": True, "last": last, "optimizers": state.built(self.model)}
                self._obey(self._channel.ask(event, self._weights()))
            else:
                self._channel.send(event)
        self._follow()

    def _require_small(self, logs: dict[str, Any]) -> None:
        """Raise a ModelError where an epoch's logs are more than one event holds."""
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


class Save(keras.callbacks.Callback):  # type: ignore[misc]
    """Behind all others on rank 0: keeps a checkpoint of each whole epoch, and goes on from one.

    Args:
        combine: knows which epochs are whole.
        follow: knows the epochs so far.
        channel: to the notebook.
        store: takes the checkpoints; None keeps none.
        origin: what the training is made with.
        deciders: the deciding callbacks.
        resume: the checkpoint to go on from.
        plan: of the training: what a checkpoint tells of it.
    """

    def __init__(
        self,
        combine: Combine,
        follow: Follow,
        channel: Channel,
        store: Store | None,
        origin: Origin,
        deciders: list[Any],
        resume: Checkpoint | None,
        plan: Plan,
    ) -> None:
        super().__init__()
        self._combine, self._follow, self._channel, self._store = combine, follow, channel, store
        self._plan, self._failed = plan, False
        self._origin, self._deciders, self._resume = origin, deciders, resume

    def on_train_begin(self, logs: Any = None) -> None:
        """Give the deciding callbacks what they knew: their own beginning has made them forget."""
        if self._resume is not None:
            self._follow.epochs[:0] = self._resume.epochs
            for one, (plain, lists) in zip(self._deciders, self._resume.deciders, strict=True):
                vars(one).update(plain | lists)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Write the epoch, once everything about it is decided."""
        if self._store is None or self._combine.partial is not None or self._combine.stopped:
            return
        variables = state.variables(self.model)
        checkpoint = Checkpoint(
            self._origin,
            self._follow.epochs,
            bool(self.model.stop_training),
            state.layout(variables),
            state.built(self.model),
            state.pack(variables),
            [(attributes(one), _array_lists(one)) for one in self._deciders],
            {**self._plan.about, "saved": time.time(), "weights": state.places(self.model)},
            self._plan.training,
        )
        try:
            self._store.write(checkpoint)
        except (ClusterError, OptionError) as error:
            # The folder may have been taken in the meantime, a full disk may have room again; what was
            # learned so far is worth more than its copy.
            if not self._failed:
                sentence = f"{error}: the training goes on, and tries it again after each epoch"
                self._channel.send({"type": "note", "sentence": sentence})
            self._failed = True
            return
        self._failed = False
        self._channel.send({"type": "saved", "epoch": epoch, "host": socket.gethostname()})


def attributes(callback: Any) -> dict[str, Any]:
    """What a deciding callback has found out, such as ``best`` and ``stopped_epoch``.

    What it was made with stays as it is: Keras turns the sign of ``min_delta`` once it knows the direction,
    and would turn it again in a callback that has the number but not the direction.
    """
    plain = (bool, int, float, str, type(None), np.number)
    made_with = inspect.signature(type(callback)).parameters
    return {
        key: value.item() if isinstance(value, np.number) else value
        for key, value in vars(callback).items()
        if isinstance(value, plain) and not key.startswith("_") and key not in made_with
    }


def _array_lists(callback: Any) -> dict[str, list[npt.NDArray[Any]]]:
    """The arrays that a deciding callback keeps, such as ``best_weights``."""
    return {
        key: [np.asarray(one) for one in value]
        for key, value in vars(callback).items()
        if isinstance(value, list) and value and all(hasattr(one, "dtype") for one in value)
    }


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
