"""State of a run: the driver reports it, displays and listeners read it."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterable
from typing import Any

from nbkeras.run import calls
from nbkeras.run.curves import Curves
from nbkeras.run.kept import Kept
from nbkeras.run.progress import Phase, Progress
from nbkeras.run.snapshot import Snapshot, Status
from nbkeras.run.steering import Steering
from nbkeras.schema import Schema

#: Limit of different lines of workers' output that become notes.
MOST_HEARD = 40


class State:
    """History, phase, notes and end of one training; thread-safe.

    Attributes:
        name: shown in the chart.
        epochs: the requested epochs.
        workers: the number of workers.
        history: metric name to one value per epoch, as in
            ``keras.callbacks.History.history``.
        epoch_numbers: the epochs of the history's values, from 0 as in Keras.
        version: grows with every change, so that a display can skip a
            snapshot that it has drawn already.
        done: set when the run has ended in any way.
        stopping: set when a stop was requested.
        steering: the user's requests to the workers while they train.
        began: time of the start, in seconds since 1970.
        settings: of the training, by name; see :mod:`nbkeras.model.settings`.
        schema: the columns that it trains on; None where it trains on arrays.
        stream: where a training on a stream keeps its checkpoints, empty for nowhere; None where the data has
            an end.
        monitor: the metric by which an epoch is best; None where none was named.
        code: of the cell that trained it, as it was typed; None without a cell.
        folder: where it keeps its checkpoints; None for nowhere.
        reports: on the model as this run has left it, and comparisons with others, the newest last.
    """

    def __init__(self, name: str, epochs: int, workers: int, *, background: bool = False) -> None:
        self.name = name
        self.epochs: int = epochs
        self.workers = workers
        self.background = background
        self.began: float = time.time()
        self.settings: dict[str, Any] = {}
        self.schema: Schema | None = None
        self.stream: str | None = None
        self.monitor: str | None = None
        self.code: str | None = None
        self.folder: str | None = None
        self.reports: tuple[Kept, ...] = ()
        self._curves = Curves()
        self.history: dict[str, list[Any]] = self._curves.history
        self.epoch_numbers: list[int] = self._curves.epochs
        self.partial: int | None = None
        self.notes: list[str] = []
        self._heard: set[str] = set()
        self.error: BaseException | None = None
        self.version: int = 0
        self.phase: Phase = "preparing"
        self.done: threading.Event = threading.Event()
        self.stopping: threading.Event = threading.Event()
        self.steering: Steering = Steering()
        self._lock = threading.Lock()
        self._ended: Status | None = None
        self._progress = Progress()
        self._listeners: list[Any] = []
        self._rows_read: dict[int, int] = {}
        self._diverged = False

    @property
    def status(self) -> Status:
        """How the run has ended; before that whether it is running or paused."""
        return self._ended or ("paused" if self.phase == "paused" else "running")

    @property
    def place(self) -> tuple[int, int]:
        """The current epoch, from 1, and its finished batches; 0 before the first."""
        with self._lock:
            return self._progress.epoch, self._progress.step

    @property
    def pausing(self) -> threading.Event:
        """Set while a pause is requested."""
        return self.steering.pausing

    # -- what the driver reports ----------------------------------------------

    def listen(self, listeners: Iterable[Any]) -> None:
        """Add listeners (:class:`nbkeras.Listener`), and call their ``begun``."""
        more = [one for one in listeners if not any(one is other for other in self._listeners)]
        self._listeners = [*self._listeners, *more]
        calls.put(self, more, "begun")

    def _tell(self, method: str, *arguments: Any) -> None:
        calls.put(self, self._listeners, method, *arguments)

    def _moved(self) -> None:
        self.version += 1
        self._tell("progress")

    def keep(self, reports: Iterable[Kept]) -> None:
        """Have these reports, and no others."""
        self.reports = tuple(reports)
        self._moved()

    def enter(self, phase: Phase) -> None:
        """Enter a phase; a run that has ended does not change."""
        with self._lock:
            if not self.done.is_set():
                if phase != self.phase:
                    self._tell("phase", phase)
                self._progress.enter(phase)
                self.phase = phase
                self.version += 1

    def note(self, sentence: str) -> None:
        """Add a sentence for the user; a repeated one is added once."""
        with self._lock:
            if sentence not in self.notes:
                self._append(sentence)

    def _append(self, sentence: str) -> None:
        self.notes.append(sentence)
        self.version += 1
        self._tell("note", sentence)

    def hear(self, worker: int, line: str) -> None:
        """Note a line that a worker has printed, once for all workers and attempts."""
        with self._lock:
            if line in self._heard or len(self._heard) > MOST_HEARD:
                return
            self._heard.add(line)
            said = f"worker {worker}: {line}"
            rest = f"workers have said more than {MOST_HEARD} different lines: the rest is left out"
            self._append(said if len(self._heard) <= MOST_HEARD else rest)

    def restart(self, sentence: str) -> None:
        """Begin again, from the start or a checkpoint, and note why; the history stays."""
        with self._lock:
            self._append(sentence)
            self._rows_read.clear()
            self._progress.restart()
            self.phase = "slots"
            self._tell("phase", "slots")

    def go_on(self, epochs: int) -> None:
        """Go on with more rows, which make one more epoch.

        Args:
            epochs: as many as there are then.
        """
        with self._lock:
            self._rows_read.clear()
            self.epochs = epochs
        self.enter("preparing")

    def record_rows(self, worker: int, rows: int) -> None:
        """Record how many rows a worker has received so far."""
        with self._lock:
            self._rows_read[worker] = rows
            self._moved()

    def record_progress(
        self,
        epoch: int,
        step: int,
        steps: int,
        rows_per_second: float,
        learning_rate: float | None = None,
        loss: float | None = None,
    ) -> None:
        """Record the batches done in an epoch (counted from 0), and their mean loss on the first worker."""
        with self._lock:
            loss = None if epoch in self._curves else loss
            if self._progress.record(epoch, step, steps, rows_per_second, learning_rate, loss):
                self._moved()

    def record_learning_rate(self, number: int, before: float, rate: float, epoch: int, step: int) -> None:
        """Record and note the step (from 0) at which the workers have applied a learning rate set by hand."""
        self.steering.obeyed(number, epoch)
        since = f"learning rate {before:g} -> {rate:g} from epoch {epoch + 1}, step {step + 1} on"
        self.settings.setdefault("steered", []).append(since)
        self.note(since)

    def record_epoch(
        self,
        epoch: int,
        logs: dict[str, Any],
        measured: dict[str, float | None] | None = None,
        *,
        partial: bool = False,
    ) -> None:
        """Record the logs and measured values of an epoch (counted from 0); a repeated epoch is ignored."""
        with self._lock:
            if epoch in self._curves:
                return
            self._progress.end_epoch()
            self._curves.add(epoch, logs, measured or {})
            self._tell("epoch", epoch, dict(logs))
            loss = self._curves.of_metrics.get("loss", [0.0])[-1]
            if partial:
                self.partial = epoch + 1
            self.version += 1
        if not (math.isfinite(loss) or self._diverged) and "loss" in logs:
            self._diverged = True
            given = "TerminateOnNaN" in self.settings.get("callbacks", ())
            self.note(
                f"the loss is NaN or infinite since epoch {epoch + 1}: try a smaller learning rate or "
                "clipnorm=1.0 in the optimizer, and look for NaN and unknown classes in the data"
                f"{'' if given else '; TerminateOnNaN() in the callbacks stops there'}"
            )

    def end(self, status: Status, error: BaseException | None = None, seconds: float | None = None) -> None:
        """Close the run; only the first call counts.

        Args:
            status: how it has ended.
            error: the error that ended it.
            seconds: its duration; None for the time since it was created.
        """
        with self._lock:
            if self.done.is_set():
                return
            self._ended, self.error, self.phase = status, error, "done"
            self._progress.end(seconds)
            self.pausing.clear()
            self.version += 1
            self.done.set()
            self._tell("ended")

    # -- what displays read -------------------------------------------------

    def snapshot(self) -> Snapshot:
        """Copy everything that a display needs."""
        with self._lock:
            progress, curves = self._progress, self._curves
            return Snapshot(
                name=self.name,
                status=self.status,
                phase=self.phase,
                workers=self.workers,
                background=self.background,
                epochs=self.epochs,
                epoch=progress.epoch,
                step=progress.step,
                steps=progress.steps,
                rows_read=sum(self._rows_read.values()),
                rows_per_second=progress.rows_per_second(int(self.settings.get("batch_size", 0))),
                learning_rate=progress.learning_rate,
                losses=tuple(progress.losses),
                elapsed=progress.elapsed(),
                remaining=progress.remaining(self.epochs),
                curves={name: curve.copy() for name, curve in curves.of_metrics.items()},
                measured={
                    name: curve.copy()
                    for name, curve in curves.measured.items()
                    if name not in curves.of_metrics
                },
                last=dict(curves.last),
                epoch_numbers=[number + 1 for number in self.epoch_numbers],
                partial=self.partial,
                stopping=self.stopping.is_set(),
                pausing=self.pausing.is_set(),
                notes=tuple(self.notes),
                error=None if self.error is None else f"{type(self.error).__name__}: {self.error}",
            )

    def __repr__(self) -> str:
        return f"<Run {self.name!r}: {self.status}, {len(self.epoch_numbers)} of {self.epochs} epochs>"
