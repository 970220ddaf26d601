"""Snapshot: the state of a run at one moment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nbkeras.run.progress import Phase

Status = Literal["running", "paused", "finished", "stopped", "failed", "aborted"]


@dataclass(frozen=True)
class Snapshot:
    """Everything that a display needs to draw a run.

    Attributes:
        curves: name to one float per logged epoch, metrics that give arrays
            split into one curve per entry (``f1_score[2]``); NaN where an
            epoch has no value.
        measured: likewise, for values that are not in the history: the learning rate of each epoch, and
            its seconds without pauses.
        last: curve name to its last logged value.
        epoch_numbers: the epochs of the curves' points, from 1.
        epoch: the current epoch, from 1; 0 before the first.
        step, steps: batches done in this epoch and batches of an epoch.
        rows_read: rows that the workers have received.
        rows_per_second: of training, over the last seconds, after the end over the
            whole training; 0 when unknown.
        learning_rate: that the workers train with now; None when unknown.
        losses: of the current epoch, for the rows of the first worker: pairs of position, in epochs from 0,
            and mean loss up to there.
        elapsed: seconds since the start.
        remaining: estimated seconds that are left, without pauses; None when unknown.
        partial: the epoch that a stop cut short, from 1, or None.
        notes: sentences for the user, each one line.
        stopping: whether a stop was requested.
        pausing: whether a pause was requested; the phase is "paused" once the workers have paused.
    """

    name: str
    status: Status
    phase: Phase
    workers: int
    background: bool
    epochs: int
    epoch: int
    step: int
    steps: int
    rows_read: int
    rows_per_second: float
    learning_rate: float | None
    losses: tuple[tuple[float, float], ...]
    elapsed: float
    remaining: float | None
    curves: dict[str, list[float]]
    measured: dict[str, list[float]]
    last: dict[str, float]
    epoch_numbers: list[int]
    partial: int | None
    stopping: bool
    pausing: bool
    notes: tuple[str, ...]
    error: str | None
