"""Progress: the position of a training, its speed, and the time that is left."""

from __future__ import annotations

import time
from typing import Literal

#: The phases of a run, in their order. "paused" may come between any two steps, "waiting" before the rows of
#: a stream.
Phase = Literal[
    "waiting",
    "preparing",
    "slots",
    "computing",
    "reading",
    "starting",
    "training",
    "paused",
    "validating",
    "returning",
    "done",
]


#: Limit of the losses kept of the current epoch: a chart has no room for more.
_MOST_LOSSES = 100


class Progress:
    """The position and the clock of one training, started now. Not thread-safe: its owner has a lock.

    Attributes:
        epoch: the current epoch, from 1; 0 before the first.
        step: batches done in this epoch.
        steps: batches of an epoch.
        learning_rate: that the workers train with now; None when unknown.
        losses: of the current epoch: pairs of position, in epochs from 0, and mean loss up to there.

    Example:
        >>> from nbkeras.run.progress import Progress
        >>> progress = Progress()
        >>> progress.enter("training")
        >>> progress.record(0, 5, 10, 640.0, None), progress.epoch, progress.step
        (True, 1, 5)
    """

    def __init__(self) -> None:
        self.epoch: int = 0
        self.step: int = 0
        self.steps: int = 0
        self.learning_rate: float | None = None
        self.losses: list[tuple[float, float]] = []
        self._first_epoch = 0
        self._rows_per_second = 0.0
        self._started = time.monotonic()
        self._ended: float | None = None
        self._trained_since: float | None = None
        self._paused_since: float | None = None
        #: Seconds and epochs up to the end of the first step, in which a backend compiles.
        self._first_step: tuple[float, float] | None = None

    def enter(self, phase: Phase) -> None:
        """Enter a phase; no estimate counts the time of a pause."""
        now = time.monotonic()
        if phase in ("training", "validating") and self._trained_since is None:
            self._trained_since = now
        if self._paused_since is not None and self._trained_since is not None:
            self._trained_since += now - self._paused_since
        self._paused_since = now if phase == "paused" else None

    def record(
        self,
        epoch: int,
        step: int,
        steps: int,
        rows_per_second: float,
        learning_rate: float | None,
        loss: float | None = None,
    ) -> bool:
        """Record the batches done in an epoch (from 0); return False for an earlier epoch."""
        if epoch + 1 < self.epoch:
            return False
        if loss is not None:
            self._record_loss(epoch + step / max(steps, 1), loss)
        if not self.epoch:
            self._first_epoch = epoch
        self.epoch, self.step, self.steps = epoch + 1, step, steps
        self._rows_per_second = rows_per_second or self._rows_per_second
        self.learning_rate = learning_rate
        if self._first_step is None and (done := self._epochs_done()) > 0:
            self._first_step = self._trained(), done
        return True

    def _record_loss(self, place: float, loss: float) -> None:
        begun = [one for one in self.losses if int(place - 1e-9) <= one[0] < place]
        # If there are too many, keep every other one.
        self.losses = [*(begun[::2] if len(begun) >= _MOST_LOSSES else begun), (place, loss)]

    def end_epoch(self) -> None:
        """Forget the losses within the epoch: it has ended, and its logs have the loss."""
        self.losses = []

    def restart(self) -> None:
        """Begin again, from the start or a checkpoint; the clock runs on."""
        self.losses = []
        self.epoch = self.step = self.steps = 0
        self._trained_since = self._paused_since = self._first_step = self.learning_rate = None

    def end(self, seconds: float | None) -> None:
        """Stop the clock, now or at the given seconds since its start."""
        self.losses = []
        self._ended = time.monotonic() if seconds is None else self._started + seconds

    def elapsed(self) -> float:
        """Return the seconds since the start, or the whole duration after the end."""
        return (self._ended or time.monotonic()) - self._started

    def remaining(self, epochs: int) -> float | None:
        """Estimate the seconds that are left, without pauses; None when unknown.

        The estimate uses the pace after the first step, which takes longer than any other.

        Args:
            epochs: of the training.
        """
        done = self._epochs_done()
        seconds, first = self._first_step or (0.0, done)
        if self._trained_since is None or self._ended is not None or done <= first:
            return None
        pace = (self._trained() - seconds) / (done - first)
        return max(0.0, pace * (epochs - self._first_epoch - done))

    def rows_per_second(self, batch_size: int) -> float:
        """Return the speed over the last seconds, after the end over the whole training; 0 when unknown."""
        if self._ended is None or self._trained_since is None:
            return self._rows_per_second
        rows = self._epochs_done() * self.steps * batch_size
        return rows / max(self._ended - self._trained_since, 1e-3) or self._rows_per_second

    def _trained(self) -> float:
        """Seconds since training began, or began again, without pauses."""
        if self._trained_since is None:
            return 0.0
        return (self._paused_since or time.monotonic()) - self._trained_since

    def _epochs_done(self) -> float:
        """Epochs since training began, or began again."""
        return self.epoch - 1 - self._first_epoch + self.step / self.steps if self.steps else 0.0
