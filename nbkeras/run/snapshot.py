"""Snapshot: a run as it is at one moment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nbkeras.run.progress import Phase

Status = Literal["running", "paused", "finished", "stopped", "failed", "aborted"]


@dataclass(frozen=True)
class Snapshot:
    """All that a display needs to draw a run, at one moment.

    Attributes:
        curves: name to one float per logged epoch, metrics that give arrays
            split into one curve per entry (``f1_score[2]``); NaN where an
            epoch has no value.
        measured: likewise, of what the history has not: the learning rate of each epoch, and its seconds
            without pauses.
        last: of each curve the last value that was logged.
        epoch_numbers: the epochs of the curves' points, from 1.
        epoch: the epoch in work, from 1; 0 before the first.
        step, steps: batches done in this epoch and batches of an epoch.
        rows_read: rows that have reached the workers.
        rows_per_second: of training, over the last seconds, after the end over
            all of it; 0 when unknown.
        learning_rate: that the workers train with now; None when unknown.
        losses: of the epoch in work: the place, in epochs from 0, and the mean loss up to it, of the rows of
            the first worker.
        elapsed, remaining: seconds, in remaining none of a pause; None when unknown.
        partial: the epoch that a stop cut short, from 1, or None.
        notes: sentences for the user, each one line.
        stopping: whether a stop was asked for.
        pausing: whether a pause was asked for; the phase is "paused" when the workers stand still.
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
