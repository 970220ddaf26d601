"""Run: one training as its owner sees it. It depends on neither IPython nor Spark."""

from __future__ import annotations

import math
import queue
import time
import weakref
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Protocol

from nbkeras.errors import ModelError, OptionError
from nbkeras.run import steering
from nbkeras.run.state import State

_calling: ContextVar[Run | None] = ContextVar("nbkeras_calling", default=None)


def calling() -> Run | None:
    """Return the run whose callback is running in this thread, or None.

    Example:
        >>> calling() is None
        True
    """
    return _calling.get()


class Weights(Protocol):
    """The final weights of a run."""

    def load(self, model: Any) -> None:
        """Load them into a model.

        Raises:
            ModelError: the model's weights have other shapes.
        """


class Run(State):
    """One training: its history, phase and end, and methods to steer and to stop it.

    Safe to read and to steer from any thread: :meth:`pause`, :meth:`resume`,
    :meth:`set_learning_rate`, :meth:`stop`, :meth:`abort`. ``nbkeras.fit`` makes it.

    Its state, such as :attr:`history`, is documented in :class:`nbkeras.run.state.State`.

    Attributes:
        weights: the final weights; None where there are none, or no room to store them.
        aborting: whether the training is to be dropped; known before anything that a stop ends has ended.

    Example:
        >>> from nbkeras.run.run import Run
        >>> run = Run("digits", model=None, epochs=2, workers=1)
        >>> run.record_epoch(0, {"loss": 0.5})
        >>> run.history
        {'loss': [0.5]}
    """

    def __init__(self, name: str, model: Any, epochs: int, workers: int, *, background: bool = False) -> None:
        super().__init__(name, epochs, workers, background=background)
        self._model: Callable[[], Any] = lambda: model
        self.weights: Weights | None = None
        self._given: list[tuple[weakref.ref[Any], float]] = []
        #: Calls to make in the thread that waits for the run (the notebook's callbacks).
        self.calls: queue.Queue[Callable[[], None]] = queue.Queue()
        self.aborting: bool = False
        self._on_stop: Callable[[], None] = lambda: None
        self._on_abort: Callable[[], None] = lambda: None

    @property
    def model(self) -> Any:
        """The user's own model, with the trained weights when the run has ended.

        None for a run that was read from a checkpoint, and after :meth:`let_go` for a model that nothing
        else refers to.
        """
        return self._model()

    def let_go(self) -> None:
        """Release weights and model; a model that the user still refers to stays available.

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

    def stop(self) -> None:
        """Stop after the current batch; weights and history are kept."""
        if not self.done.is_set() and not self.stopping.is_set():
            self.stopping.set()
            self.pausing.clear()
            self._moved()
            self._on_stop()

    def abort(self) -> None:
        """Drop the training at once; the model keeps the weights it had before."""
        if not self.done.is_set():
            self.aborting = True
            self.stopping.set()
            self.pausing.clear()
            self._on_abort()

    def pause(self) -> None:
        """Pause after the current batch, or before the first; the workers keep their Spark slots.

        Raises:
            OptionError: the workers cannot receive it.

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
            self._moved()

    def resume(self) -> None:
        """Resume a paused training."""
        if self.pausing.is_set():
            self.steering.pause(pausing=False)
            self._moved()

    def set_learning_rate(self, rate: float) -> None:
        """Set the learning rate from the next step on, from the same step on all workers.

        Raises:
            OptionError: it is not a positive number, the run has ended, or the
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
        """Wait for the end and return the run; raise the error that ended it, if any.

        Args:
            timeout: seconds; ``TimeoutError`` after them. None waits for the end.
            tick: called four times a second from this thread while it waits.
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
        """Load the final weights of this run into a model; its optimizer does not change.

        A model that is trained again has the weights of its last run, and each run keeps its own weights.

        Args:
            into: a model with weights of the same shapes; None for the model that was trained.

        Raises:
            ModelError: the run has no weights, or the model's have other shapes.

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
        self._given.append((weakref.ref(model), time.time()))

    def knows(self, model: Any) -> bool:
        """Whether the run has trained this model, or the model has loaded its weights."""
        return self.since(model) > -math.inf

    def since(self, model: Any) -> float:
        """When the model got this run's weights last, in seconds since 1970; minus infinity for never.

        For the model that it has trained: when the run began.
        """
        times = [moment for given, moment in self._given if given() is model]
        return max([self.began] * (self.model is model) + times, default=-math.inf)

    def _work(self, seconds: float) -> None:
        """Make the calls that are queued for this thread, for up to so many seconds."""
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

    def connect(
        self,
        *,
        stop: Callable[[], None],
        abort: Callable[[], None],
        steer: Callable[[], None] = lambda: None,
    ) -> None:
        """Set the functions that stop, abort and send :attr:`steering` to the workers."""
        self._on_stop, self._on_abort = stop, abort
        self.steering.connect(steer)
        if self.aborting:
            abort()
        elif self.stopping.is_set():
            stop()
