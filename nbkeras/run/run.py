"""Run: one training as its owner sees it. Knows neither IPython nor Spark."""

from __future__ import annotations

import math
import queue
import threading
import time
import weakref
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Protocol

from nbkeras.errors import ModelError, OptionError
from nbkeras.run import calls, steering
from nbkeras.run.curves import Curves
from nbkeras.run.progress import Phase, Progress
from nbkeras.run.snapshot import Snapshot, Status
from nbkeras.run.steering import Steering

#: Different lines that are noted of what workers say.
MOST_HEARD = 40
_calling: ContextVar[Run | None] = ContextVar("nbkeras_calling", default=None)


def calling() -> Run | None:
    """The run whose callback is at work in this thread, None outside of all.

    Example:
        >>> calling() is None
        True
    """
    return _calling.get()


class Weights(Protocol):
    """The weights that a run has ended with."""

    def load(self, model: Any) -> None:
        """Put them into a model.

        Raises:
            ModelError: it has other weights.
        """


class Run:
    """One training: its history, phase and end, and the ways to steer and to stop it.

    Safe to read and to steer from any thread: :meth:`pause`, :meth:`resume`,
    :meth:`set_learning_rate`, :meth:`stop`, :meth:`abort`. ``nbkeras.fit`` makes it.

    Attributes:
        name: shown in the chart.
        epochs: the epochs asked for.
        workers: the number of workers.
        history: metric name to one value per epoch, as in
            ``keras.callbacks.History.history``.
        epoch_numbers: the epochs of the history's values, from 0 as in Keras.
        version: grows with every change, so that a display can skip a
            snapshot of what it has drawn already.
        done: set when the run has ended in any way.
        stopping: set when a stop was asked for.
        steering: what the workers are asked for while they train.
        began: when, in seconds since 1970.
        settings: what was chosen for it, by name; see :mod:`nbkeras.model.settings`.
        code: of the cell that trained it, as it was typed; None where there was none.
        weights: that it has ended with; None where there are none, or no room to keep them.

    Example:
        >>> from nbkeras.run.run import Run
        >>> run = Run("digits", model=None, epochs=2, workers=1)
        >>> run.record_epoch(0, {"loss": 0.5})
        >>> run.history
        {'loss': [0.5]}
    """

    def __init__(self, name: str, model: Any, epochs: int, workers: int, *, background: bool = False) -> None:
        self.name = name
        self._model: Callable[[], Any] = lambda: model
        self.epochs = epochs
        self.workers = workers
        self.background = background
        self.began = time.time()
        self.settings: dict[str, Any] = {}
        self.code: str | None = None
        self.weights: Weights | None = None
        self._curves = Curves()
        self.history = self._curves.history
        self.epoch_numbers = self._curves.epochs
        self.partial: int | None = None
        self.notes: list[str] = []
        self._heard: set[str] = set()
        self.error: BaseException | None = None
        self.version = 0
        self.phase: Phase = "preparing"
        self.done = threading.Event()
        self.stopping = threading.Event()
        self.steering = Steering()
        #: Work that must happen in the thread that waits (notebook callbacks).
        self.calls: queue.Queue[Callable[[], None]] = queue.Queue()
        self._lock = threading.Lock()
        self._aborting = False
        self._ended: Status | None = None
        self._on_stop: Callable[[], None] = lambda: None
        self._on_abort: Callable[[], None] = lambda: None
        self._progress = Progress()
        self._listeners: list[Any] = []
        self._rows_read: dict[int, int] = {}
        self._diverged = False

    @property
    def model(self) -> Any:
        """The user's own model; holds the trained weights when done.

        None for a run that was read from a checkpoint, and for one that has let go of a model that nobody
        else holds.
        """
        return self._model()

    def let_go(self) -> None:
        """Keep weights and model no longer; a model that somebody else holds is there as before.

        Example:
            >>> from nbkeras.run.run import Run
            >>> run = Run("digits", model=set(), epochs=2, workers=1)
            >>> run.let_go()
            >>> run.model is None
            True
        """
        self.weights = None
        if self.model is not None:
            self._model = weakref.ref(self.model)

    @property
    def status(self) -> Status:
        """How it has ended; before that whether it is at work or stands still."""
        return self._ended or ("paused" if self.phase == "paused" else "running")

    @property
    def place(self) -> tuple[int, int]:
        """The epoch in work, from 1, and its batches that are done; 0 before the first."""
        with self._lock:
            return self._progress.epoch, self._progress.step

    # -- what the owner does ------------------------------------------------

    def stop(self) -> None:
        """Stop after the batch in work; weights and history are kept."""
        if not self.done.is_set() and not self.stopping.is_set():
            self.stopping.set()
            self.pausing.clear()
            self.version += 1
            self._on_stop()

    def abort(self) -> None:
        """Drop the training at once; the model keeps the weights it had before."""
        if not self.done.is_set():
            self._aborting = True
            self.stopping.set()
            self.pausing.clear()
            self._on_abort()

    @property
    def pausing(self) -> threading.Event:
        """Set from :meth:`pause` to :meth:`resume`."""
        return self.steering.pausing

    def pause(self) -> None:
        """Stand still after the batch in work, or before the first; the workers keep their Spark slots.

        Raises:
            OptionError: the workers cannot hear it.

        Example:
            >>> from nbkeras.run.run import Run
            >>> run = Run("digits", model=None, epochs=2, workers=1)
            >>> run.pause()
            >>> run.snapshot().pausing
            True
        """
        if not (self.done.is_set() or self.stopping.is_set() or self.pausing.is_set()):
            self.steering.require(f"{self.name} cannot pause")
            self.steering.pause(pausing=True)
            self.version += 1

    def resume(self) -> None:
        """Go on after a pause, where the training stood still."""
        if self.pausing.is_set():
            self.steering.pause(pausing=False)
            self.version += 1

    def set_learning_rate(self, rate: float) -> None:
        """Train with another learning rate from the next step on, all workers from the same.

        Raises:
            OptionError: it is no positive number, the run has ended, or the
                optimizer's learning rate follows a schedule.
        """
        if self.done.is_set():
            raise OptionError(
                f"{self.name} has ended: give the next training its learning rate, "
                "model.optimizer.learning_rate = …"
            )
        checked = steering.learning_rate(rate, self.model)
        self.steering.require(f"{self.name} cannot change its learning rate")
        self.steering.set_rate(checked)

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

    def load_weights(self, into: Any = None) -> None:
        """Put the weights that this run has ended with into a model; its optimizer stays as it is.

        A model that is trained again has the weights of its last run, and each run keeps its own.

        Args:
            into: a model with weights of the same shapes; None for the one that was trained.

        Raises:
            ModelError: the run has no weights, or the model has others.

        Example:
            >>> from nbkeras.run.run import Run
            >>> Run("digits", model=None, epochs=2, workers=1).load_weights()
            Traceback (most recent call last):
            nbkeras.errors.ModelError: run 'digits' is still at work: wait for its end with run.wait()
        """
        if not self.done.is_set():
            raise ModelError(f"run {self.name!r} is still at work: wait for its end with run.wait()")
        if self.weights is None:
            why = (
                "has failed: it has no weights"
                if self.status == "failed"
                else "was aborted: it has no weights"
                if self.status == "aborted"
                else "has no weights: run.notes says why"
                if any("weights" in note for note in self.notes)
                else "has no weights: it ended before the first step"
            )
            raise ModelError(f"run {self.name!r} {why}; choose another run of nbkeras.runs")
        model = self.model if into is None else into
        if model is None:
            raise ModelError(
                f"run {self.name!r} was read from a checkpoint and has no model here: build the model "
                f"(its code may show how), then nbkeras.runs[{self.name!r}].load_weights(model)"
            )
        self.weights.load(model)

    def _work(self, seconds: float) -> None:
        """Do the calls that wait for this thread, for up to so many seconds."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and not self.done.is_set():
            try:
                call = self.calls.get(timeout=min(left, 0.05))
            except queue.Empty:
                continue
            token = _calling.set(self)
            try:
                call()
            finally:
                _calling.reset(token)

    # -- what the driver reports ----------------------------------------------

    def connect(
        self,
        *,
        stop: Callable[[], None],
        abort: Callable[[], None],
        steer: Callable[[], None] = lambda: None,
    ) -> None:
        """Say what a stop and an abort do, and who tells the workers what :attr:`steering` holds."""
        self._on_stop, self._on_abort = stop, abort
        self.steering.connect(steer)
        if self._aborting:
            abort()
        elif self.stopping.is_set():
            stop()

    def listen(self, those: list[Any]) -> None:
        """Tell listeners (:class:`nbkeras.Listener`) what happens to this run, first that it has begun."""
        self._listeners = those
        self._tell("begun")

    def _tell(self, what: str, *given: Any) -> None:
        calls.call(self, self._listeners, what, *given)

    def enter(self, phase: Phase) -> None:
        """Go on to a phase; a run that has ended stays so."""
        with self._lock:
            if not self.done.is_set():
                if phase != self.phase:
                    self._tell("phase", phase)
                self._progress.enter(phase)
                self.phase = phase
                self.version += 1

    def note(self, sentence: str) -> None:
        """Keep one sentence for the user; a repeated one is kept once."""
        with self._lock:
            if sentence not in self.notes:
                self._append(sentence)

    def _append(self, sentence: str) -> None:
        self.notes.append(sentence)
        self.version += 1
        self._tell("note", sentence)

    def hear(self, worker: int, line: str) -> None:
        """Note what a worker has said: most of it the others say too, and in another attempt again."""
        with self._lock:
            if line in self._heard or len(self._heard) > MOST_HEARD:
                return
            self._heard.add(line)
            said = f"worker {worker}: {line}"
            rest = f"workers have said more than {MOST_HEARD} different lines: the rest is left out"
            self._append(said if len(self._heard) <= MOST_HEARD else rest)

    def restart(self, sentence: str) -> None:
        """Say why a training begins again, from the start or a checkpoint; its history stays."""
        with self._lock:
            self._append(sentence)
            self._rows_read.clear()
            self._progress.restart()
            self.phase = "slots"
            self._tell("phase", "slots")

    def record_rows(self, worker: int, rows: int) -> None:
        """Note how many rows a worker has received so far."""
        with self._lock:
            self._rows_read[worker] = rows
            self.version += 1

    def record_progress(
        self,
        epoch: int,
        step: int,
        steps: int,
        rows_per_second: float,
        learning_rate: float | None = None,
        loss: float | None = None,
    ) -> None:
        """Note the batches done in an epoch (counted from 0), and the mean loss of the first worker's."""
        with self._lock:
            loss = None if epoch in self._curves else loss
            if self._progress.record(epoch, step, steps, rows_per_second, learning_rate, loss):
                self.version += 1

    def record_learning_rate(self, number: int, before: float, rate: float, epoch: int, step: int) -> None:
        """Note the step (from 0) from which on the workers have a learning rate that was set by hand."""
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
        """Keep the logs of an epoch (counted from 0), and what it took; one that is known is ignored."""
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
            error: what ended it.
            seconds: that it took; None for those since it was made.
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
        """Everything a display needs, copied at one moment."""
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
