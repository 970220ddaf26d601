"""Aggregate metrics over all workers, validate, and apply stop, pause and learning rate between steps."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from nbkeras.model import state
from nbkeras.model.state import Vector
from nbkeras.plan import Plan
from nbkeras.transport.channel import Channel
from nbkeras.transport.messages import Note, Phase, Progress
from nbkeras.worker.callbacks.live import Live
from nbkeras.worker.callbacks.totals import MOST, Totals, affordable, packed, unpacked
from nbkeras.worker.callbacks.validate import Check
from nbkeras.worker.collectives import Collective, Flag
from nbkeras.worker.data import Data
from nbkeras.worker.schedule import Ledger
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
        data: to train and to validate on.
        steering: applies the user's requests between two steps.
        live: the user's callbacks that are called within an epoch.
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
        data: Data,
        steering: Steering,
        live: Live,
        *,
        meets: bool,
    ) -> None:
        super().__init__()
        self._group, self._channel, self._plan, self._live = group, channel, plan, live
        self._totals = Totals(group, group.sum)
        self._steering, self._meets = steering, meets
        #: The learning rate by the steps since the one at which it was read.
        self._rate: Callable[[int], float | None] = lambda _: None
        self._rated = 0
        self._permute, self._steps = data.permute, data.steps
        self._validation, self._checked = data.validation, data.checked
        #: Batches to validate on; the rows to validate on are cut already.
        self._checks = plan.validation_steps if isinstance(data.checked, Ledger) else None
        self._rank = data.steps.rank
        self._told = self._told_rows = self._begun = 0.0
        #: Of the last step of this epoch, over all of its steps so far.
        self._logs: dict[str, Any] = {}
        #: What the last epoch took and trained with, by name.
        self.measured: dict[str, float | None] = {}
        #: The next step of the rows' round, that which began the epoch, and the epoch.
        self._next = self._first = self._epoch = 0
        #: Steps of the first epoch, for where they are not known before.
        self._length = 0
        #: The step at which the workers' weights were last the same.
        self._met = 0
        self._evaluate: Callable[..., Any]
        self.partial: int | None = None
        self.stopped: bool = False

    def on_train_begin(self, logs: Any = None) -> None:
        """Say that training starts."""
        self._evaluate = self.model.evaluate
        if self._group.size > 1:
            self._live.refuse(self.model)
        if self._rank == 0:
            self._channel.send(Phase(type="phase", phase="training"))
            batches, asked = self._steps.number, self._plan.steps_per_epoch
            if batches is not None and batches % self._expected():
                sentence = (
                    f"steps_per_epoch={asked} does not divide the {batches} batches of the rows: "
                    "as in Keras, the epoch that runs out of rows ends early"
                )
                self._channel.send(Note(type="note", sentence=sentence))
            if self._sums_steps and not affordable(self.model):
                sentence = (
                    f"the metrics have more than {MOST:,} numbers: {self._live.names} see logs of a batch "
                    "that are those of worker 0's part of it"
                )
                self._channel.send(Note(type="note", sentence=sentence))

    @property
    def _sums_steps(self) -> bool:
        """Whether the logs of each batch are summed over the workers."""
        return self._group.size > 1 and self._live.reads_batches

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Put the rows in the order of the epoch, unless it goes on in the round of the one before."""
        self._length = self._length or self._next - self._first
        self._epoch, self._first = epoch, self._steps.first(self._next)
        self._next = self._met = self._first
        if not self._first:
            self._permute(epoch)
        self._told = self._told_rows = 0.0
        self._logs = {}
        self._begun = self._steering.clock()

    def on_train_batch_begin(self, step: int, logs: Any = None) -> None:
        """Stop, stand still or take another learning rate with all the others, and tell the progress."""
        if self._group.seen(Flag.STOP, Flag.END):
            self.model.stop_training = True
        # What was requested between two epochs, or before the first one, is applied in the first step.
        if (begins := self._next == self._first) or self._group.seen(Flag.STEER):
            self._steer(begins=begins)
        if self._rank == 0 and (now := self._steering.clock()) >= self._told + PULSE:
            rows = self._done_rows()
            rate = (rows - self._told_rows) / (now - self._told) if self._told else 0.0
            self._told, self._told_rows = now, rows
            self._tell(rate)

    def on_train_batch_end(self, step: int, logs: dict[str, Any] | None = None) -> None:
        """Count the steps that one execution has made, and meet the others if they go apart in between."""
        self._next += self.model.steps_per_execution
        if self._steps.number is not None:
            self._next = min(self._next, self._steps.number)
        if logs is not None and self._sums_steps:
            logs.update(self._totals.so_far(self.model, logs, self._steps.share(self._next - 1)))
        self._logs = logs or {}
        if self._group.local and self._next - self._met >= self._plan.sync_every:
            state.synchronise(self.model)
            self._mean(self.model.trainable_variables, self._met, self._group.meet)
            self._met = self._next

    def _steer(self, *, begins: bool) -> None:
        """Apply the user's requests before the next step, with all other workers.

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
        # Read no more often than it is sent: a device may have to be waited for.
        loss = float(np.mean(state.plain(self._logs["loss"]))) if "loss" in self._logs else math.nan
        self._channel.progress(
            Progress(
                type="progress",
                epoch=self._epoch,
                step=self._next - self._first,
                steps=self._expected(),
                rate=rate,
                learning_rate=self._rate(self._next - self._rated),
                loss=loss if math.isfinite(loss) and self._expected() else None,
            )
        )

    def _done_rows(self) -> float:
        return float(self._steps.rows(self._first, self._next))

    def _expected(self) -> int:
        """Steps of the epoch, 0 if unknown: as Keras cuts them, it ends with the round of the rows."""
        at_once = self.model.steps_per_execution
        asked = self._plan.steps_per_epoch
        asked = None if asked is None else -(-asked // at_once) * at_once
        if self._steps.number is None:
            return asked or self._length
        left = self._steps.number - self._first
        return left if asked is None else min(left, asked)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Replace the local logs by those of all rows, with validation."""
        assert logs is not None
        if self._group.seen(Flag.STOP, Flag.END):
            self.model.stop_training = True
        # An epoch that nobody stops may have fewer steps than were expected.
        expected = self._expected()
        if self.model.stop_training and (not expected or self._next - self._first < expected):
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
            logs.update(self._totals.final(self.model, logs, self._steps.share(self._next - 1)))
        if not self._stopped() and self._validates(epoch):
            logs.update(self._validated())
        rate = self._rate(max(0, self._next - 1 - self._rated))
        self.measured = {"learning_rate": rate, "seconds_per_epoch": self._steering.clock() - self._begun}
        ordered = dict(sorted(logs.items()))
        logs.clear()
        logs.update(ordered)

    @property
    def ended(self) -> bool:
        """Whether a callback has decided that this epoch is the last; who has stopped may still go on."""
        return bool(self.model.stop_training) and not self._group.requested(Flag.STOP)

    def _stopped(self) -> bool:
        """Whether the user's stop has reached any worker, between steps: then the training ends here."""
        self.stopped = bool(self._group.agree([self._group.requested(Flag.STOP)])[0])
        if self.stopped:
            self.model.stop_training = True
        return self.stopped

    def _mean(self, variables: list[Any], first: int, add_up: Callable[[Vector], Vector]) -> None:
        """What workers hold becomes their mean, weighted by their rows in the steps since ``first``."""
        counts = self._steps.rows_of_each(first, self._next)
        if not counts.sum():
            return  # They have just met.
        share = counts[self._rank] / counts.sum()
        values = [state.value(one).astype(np.float64) for one in variables]
        total = add_up(packed([value * share for value in values]))
        for variable, value in zip(variables, unpacked(total, values), strict=True):
            variable.assign(value.astype(variable.dtype))

    def _validates(self, epoch: int) -> bool:
        frequency = self._plan.validation_freq
        if self._validation is None:
            return False
        if isinstance(frequency, int):
            return (epoch + 1) % frequency == 0
        return epoch + 1 in frequency

    def _validated(self) -> dict[str, Any]:
        if self._rank == 0:
            self._channel.send(Phase(type="phase", phase="validating"))
        check = Check(self._group, self._steering, self._live, self._checked, meets=self._meets)
        callbacks = check.before(self._live.in_tests, self.model)
        self._evaluate(self._validation, steps=self._checks, verbose=0, return_dict=True, callbacks=callbacks)
        if not self._meets:
            self._steering.alone()  # Behind the last epoch no step comes that would.
        if self._stopped():
            return {}  # Cut short: not all rows are in it.
        if self._rank == 0:
            self._channel.send(Phase(type="phase", phase="training"))
        return {f"val_{key}": state.plain(value) for key, value in check.logs.items()}
