"""Pause, or change the learning rate, between two steps, on all workers at the same step.

Every worker receives the request; rank 0 decides, and sets a flag that is summed
with the next gradients. Behind that step all workers sum what they know of the
request, so all of them act on it at the same place. While they pause they repeat
that sum a few times a second: a worker that is gone is missed at once, and no sum
is ever waited for longer than that.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Literal

from nbkeras.model import state
from nbkeras.transport.channel import Channel
from nbkeras.transport.messages import ControlEvent, LearningRate, Phase
from nbkeras.worker.collectives import Collective, Flag

#: Seconds between two meetings of workers that stand still.
MEET = 0.25
_Phase = Literal["training", "paused", "validating"]


class Requests:
    """A pause or a learning rate that the user has asked for, as this worker knows it; safe in any thread.

    Attributes:
        pausing: whether it is to stand still.

    Example:
        >>> from nbkeras.worker.steering import Requests
        >>> requests = Requests()
        >>> requests.take({"type": "learning_rate", "number": 1, "rate": 0.01})
        >>> requests.take_rate(), requests.take_rate()
        ((1, 0.01), None)
    """

    def __init__(self) -> None:
        self.pausing: bool = False
        self._rate: tuple[int, float] | None = None
        self._number = 0
        self._changed = threading.Event()

    def take(self, event: ControlEvent) -> None:
        """Take in a control event, which may come more than once."""
        if event["type"] == "pause":
            self.pausing = event["pausing"]
        elif event["type"] == "learning_rate" and event["number"] > self._number:
            self._number = event["number"]
            self._rate = self._number, float(event["rate"])
        self._changed.set()

    def take_rate(self) -> tuple[int, float] | None:
        """The learning rate that was set by hand and its number, once."""
        rate, self._rate = self._rate, None
        return rate

    def wait(self, seconds: float) -> None:
        """Wait for another event, for so long."""
        self._changed.wait(seconds)
        self._changed.clear()


class Steering:
    """Applies the user's requests on all workers at the same step.

    Args:
        group: the workers.
        channel: to the notebook.
        requests: of the user.
    """

    def __init__(self, group: Collective, channel: Channel, requests: Requests) -> None:
        self._group, self._channel, self._requests = group, channel, requests
        self._stood = 0.0
        self._since: float | None = None

    def clock(self) -> float:
        """Seconds of work: those in which the workers stood still are no part of them."""
        return time.monotonic() - self._stood

    def between_steps(self, model: Any, epoch: int, step: int, changed: Callable[[], None]) -> None:
        """Apply the user's requests before a step of training; all workers must come here.

        Args:
            model: in training.
            epoch: from 0.
            step: of the epoch, the next, from 0.
            changed: called in rank 0 when there is another learning rate.
        """

        def take(number: int, rate: float) -> None:
            if (before := _set_rate(model, rate)) is not None and self._group.rank == 0:
                self._channel.send(
                    LearningRate(
                        type="learning_rate",
                        number=number,
                        before=before,
                        rate=rate,
                        epoch=epoch,
                        step=step,
                    )
                )
                changed()

        if self._meet("training", take):
            model.stop_training = True

    def between_checks(self, model: Any) -> None:
        """Pause or stop if the user asks for it, before a step of validation; all workers must come here."""
        if self._meet("validating"):
            model.stop_evaluating = True

    def alone(self) -> None:
        """Pause if the user asks for it, where the workers do not meet.

        The others go on to the next sum and wait there for rank 0. If another worker paused after
        rank 0 last looked at its requests, rank 0 would wait for it, and nobody would say so.
        """
        while self._group.rank == 0 and self._requests.pausing and not self._group.requested(Flag.STOP):
            self._stand_still()
        self._go_on("validating")

    def _meet(self, phase: _Phase, take: Callable[[int, float], None] | None = None) -> bool:
        """Pause as long as rank 0 is asked to; whether the user asks for a stop.

        Args:
            phase: that goes on then.
            take: does with a learning rate and its number what is to be done;
                None leaves it for the next step of training.
        """
        requests, leads = self._requests, self._group.rank == 0
        while True:
            self._group.clear(Flag.STEER)  # What comes from now on asks for another meeting.
            given = requests.take_rate() if leads and take is not None else None
            ours = [self._group.requested(Flag.STOP), leads and requests.pausing, *(given or (0, 0.0))]
            stop, pausing, number, rate = self._group.agree([float(one) for one in ours])
            if number and take is not None:
                take(int(number), rate)
            if stop or not pausing:
                self._go_on(phase)
                return bool(stop)
            self._stand_still()

    def _stand_still(self) -> None:
        if self._since is None:
            self._since = time.monotonic()
            self._say("paused")
        self._requests.wait(MEET)

    def _go_on(self, phase: _Phase) -> None:
        if self._since is not None:
            self._stood += time.monotonic() - self._since
            self._since = None
            self._say(phase)

    def _say(self, phase: _Phase) -> None:
        if self._group.rank == 0:
            self._channel.send(Phase(type="phase", phase=phase))


def _set_rate(model: Any, rate: float) -> float | None:
    """Train with another learning rate; gives that of before, or None where a schedule sets it."""
    state.synchronise(model)
    before = state.learning_rate(model.optimizer)
    if before is not None:
        model.optimizer.learning_rate = rate
    return before
