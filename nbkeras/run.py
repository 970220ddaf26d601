"""Run: one training as its owner sees it. Knows neither IPython nor Spark."""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

Status = Literal["running", "finished", "stopped", "failed", "aborted"]
#: What the run waits for or does, in the order in which it happens.
Phase = Literal["preparing", "slots", "reading", "starting", "training", "validating", "returning", "done"]


@dataclass(frozen=True)
class Snapshot:
    """All that a display needs to draw a run, at one moment.

    Attributes:
        curves: name to one float per logged epoch, metrics that give arrays
            split into one curve per entry (``f1_score[2]``); NaN where an
            epoch has no value.
        last: of each curve the last value that was logged.
        epoch_numbers: the epochs of the curves' points, from 1.
        epoch: the epoch in work, from 1; 0 before the first.
        step, steps: batches done in this epoch and batches of an epoch.
        rows_read: rows that have reached the workers.
        rows_per_second: of training, over the last seconds; 0 when unknown.
        elapsed, remaining: seconds; remaining is None when unknown.
        partial: the epoch that a stop cut short, from 1, or None.
        notes: sentences for the user, each one line.
        stopping: whether a stop was asked for.
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
    elapsed: float
    remaining: float | None
    curves: dict[str, list[float]]
    last: dict[str, float]
    epoch_numbers: list[int]
    partial: int | None
    stopping: bool
    notes: tuple[str, ...]
    error: str | None


class Run:
    """One training: its history, phase and end, and the ways to stop it.

    Safe to read from any thread. ``nbkeras.fit`` makes it.

    Attributes:
        name: shown in the chart.
        model: the user's own model; holds the trained weights when done.
        epochs: the epochs asked for.
        workers: the number of workers.
        history: metric name to one value per epoch, as in
            ``keras.callbacks.History.history``.
        epoch_numbers: the epochs of the history's values, from 0 as in Keras.
        version: grows with every change, so that a display can skip a
            snapshot of what it has drawn already.
        done: set when the run has ended in any way.

    Example:
        >>> from nbkeras.run import Run
        >>> run = Run("digits", model=None, epochs=2, workers=1)
        >>> run.record_epoch(0, {"loss": 0.5})
        >>> run.history
        {'loss': [0.5]}
    """

    def __init__(self, name: str, model: Any, epochs: int, workers: int, *, background: bool = False) -> None:
        self.name = name
        self.model = model
        self.epochs = epochs
        self.workers = workers
        self.background = background
        self.history: dict[str, list[Any]] = {}
        self.epoch_numbers: list[int] = []
        self.partial: int | None = None
        self.notes: list[str] = []
        self.error: BaseException | None = None
        self.version = 0
        self.status: Status = "running"
        self.phase: Phase = "preparing"
        self.done = threading.Event()
        self.stopping = threading.Event()
        #: Work that must happen in the thread that waits (notebook callbacks).
        self.calls: queue.Queue[Callable[[], None]] = queue.Queue()
        self._lock = threading.Lock()
        self._aborting = False
        self._on_stop: Callable[[], None] = lambda: None
        self._on_abort: Callable[[], None] = lambda: None
        self._started = time.monotonic()
        self._ended: float | None = None
        self._trained_since: float | None = None
        self._epoch = self._step = self._steps = 0
        self._first_epoch = 0
        self._rows_read: dict[int, int] = {}
        self._rows_per_second = 0.0
        #: By column, so that a snapshot of 10,000 epochs copies a few lists.
        self._last: dict[str, float] = {}
        self._curves: dict[str, list[float]] = {}
        self._known: set[int] = set()
        self._diverged = False

    # -- what the owner does ------------------------------------------------

    def stop(self) -> None:
        """Stop after the batch in work; weights and history are kept."""
        if not self.done.is_set() and not self.stopping.is_set():
            self.stopping.set()
            self.version += 1
            self._on_stop()

    def abort(self) -> None:
        """Drop the training at once; the model keeps the weights it had before."""
        if not self.done.is_set():
            self._aborting = True
            self.stopping.set()
            self._on_abort()

    def wait(self, timeout: float | None = None, tick: Callable[[], None] | None = None) -> Run:
        """Wait for the end and return the run; raises what ended it, if an error did.

        Args:
            timeout: seconds; ``TimeoutError`` after them. None waits for the end.
            tick: called four times a second from this thread meanwhile.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self.done.is_set():
            if deadline is not None and time.monotonic() > deadline:
                raise TimeoutError(f"run {self.name!r} is still {self.phase} after {timeout} s")
            self._work(0.25)
            if tick is not None:
                tick()
        if self.error is not None:
            raise self.error
        return self

    def _work(self, seconds: float) -> None:
        """Do the calls that wait for this thread, for up to so many seconds."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and not self.done.is_set():
            try:
                call = self.calls.get(timeout=min(left, 0.05))
            except queue.Empty:
                continue
            call()

    # -- what the engine reports --------------------------------------------

    def connect(self, *, stop: Callable[[], None], abort: Callable[[], None]) -> None:
        """Say what a stop and an abort do."""
        self._on_stop, self._on_abort = stop, abort
        if self._aborting:
            abort()
        elif self.stopping.is_set():
            stop()

    def enter(self, phase: Phase) -> None:
        """Go on to a phase; a phase that lies behind is ignored."""
        with self._lock:
            if phase in ("training", "validating") and self._trained_since is None:
                self._trained_since = time.monotonic()
            self.phase = phase
            self.version += 1

    def note(self, sentence: str) -> None:
        """Keep one sentence for the user; a repeated one is kept once."""
        with self._lock:
            if sentence not in self.notes:
                self.notes.append(sentence)
                self.version += 1

    def record_rows(self, worker: int, rows: int) -> None:
        """Note how many rows a worker has received so far."""
        with self._lock:
            self._rows_read[worker] = rows
            self.version += 1

    def record_progress(self, epoch: int, step: int, steps: int, rows_per_second: float) -> None:
        """Note the batches done in an epoch (counted from 0)."""
        with self._lock:
            if epoch + 1 >= self._epoch:
                if not self._epoch:
                    self._first_epoch = epoch
                self._epoch, self._step, self._steps = epoch + 1, step, steps
                self._rows_per_second = rows_per_second or self._rows_per_second
                self.version += 1

    def record_epoch(self, epoch: int, logs: dict[str, Any], *, partial: bool = False) -> None:
        """Keep the logs of an epoch (counted from 0); one that is known is ignored."""
        with self._lock:
            if epoch in self._known:
                return
            self._known.add(epoch)
            self.epoch_numbers.append(epoch)
            for key, value in logs.items():
                self.history.setdefault(key, []).append(value)
            point, before = _split(logs), len(self.epoch_numbers) - 1
            self._last |= point
            for name in point:
                self._curves.setdefault(name, [math.nan] * before)
            for name, curve in self._curves.items():
                curve.append(point.get(name, math.nan))
            if partial:
                self.partial = epoch + 1
            self.version += 1
        if not math.isfinite(point.get("loss", 0.0)) and not self._diverged:
            self._diverged = True
            self.note(
                f"the loss is no number since epoch {epoch + 1}: try a smaller learning rate or clipnorm=1.0 "
                "in the optimizer, look for NaN and unknown classes in the data, or stop there with "
                "TerminateOnNaN()"
            )

    def end(self, status: Status, error: BaseException | None = None) -> None:
        """Close the run; only the first call counts."""
        with self._lock:
            if self.done.is_set():
                return
            self.status, self.error, self.phase = status, error, "done"
            self._ended = time.monotonic()
            self.version += 1
            self.done.set()

    # -- what displays read -------------------------------------------------

    def snapshot(self) -> Snapshot:
        """Everything a display needs, copied at one moment."""
        with self._lock:
            return Snapshot(
                name=self.name,
                status=self.status,
                phase=self.phase,
                workers=self.workers,
                background=self.background,
                epochs=self.epochs,
                epoch=self._epoch,
                step=self._step,
                steps=self._steps,
                rows_read=sum(self._rows_read.values()),
                rows_per_second=self._rows_per_second,
                elapsed=(self._ended or time.monotonic()) - self._started,
                remaining=self._remaining(),
                curves={name: curve.copy() for name, curve in self._curves.items()},
                last=dict(self._last),
                epoch_numbers=[number + 1 for number in self.epoch_numbers],
                partial=self.partial,
                stopping=self.stopping.is_set(),
                notes=tuple(self.notes),
                error=None if self.error is None else f"{type(self.error).__name__}: {self.error}",
            )

    def _remaining(self) -> float | None:
        if self._trained_since is None or not self._steps or self._ended is not None:
            return None
        done = self._epoch - 1 - self._first_epoch + self._step / self._steps
        if done <= 0:
            return None
        spent = time.monotonic() - self._trained_since
        return max(0.0, spent / done * (self.epochs - self._first_epoch - done))

    def __repr__(self) -> str:
        return f"<Run {self.name!r}: {self.status}, {len(self.epoch_numbers)} of {self.epochs} epochs>"


def _split(logs: dict[str, Any]) -> dict[str, float]:
    """One float per curve: an array metric gives one curve for each entry."""
    point: dict[str, float] = {}
    for key, value in logs.items():
        entries = value.tolist() if hasattr(value, "tolist") else value
        if isinstance(entries, (list, tuple)):
            point |= {f"{key}[{index}]": float(entry) for index, entry in enumerate(entries)}
        else:
            point[key] = float(entries)
    return point
