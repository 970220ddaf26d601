"""The events of a training's workers in the notebook: to the run, the rendezvous, or the user's callbacks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from nbkeras.driver.training.producer import Producer
from nbkeras.driver.training.watchdog import BEFORE_WORKERS, Watchdog
from nbkeras.errors import NbkerasError
from nbkeras.job import failures
from nbkeras.job.rendezvous import Rendezvous
from nbkeras.model import state
from nbkeras.plan import Plan
from nbkeras.run.curves import arrays
from nbkeras.run.run import Run
from nbkeras.spark import cluster
from nbkeras.transport import messages
from nbkeras.transport.events import Answer
from nbkeras.transport.messages import Decision
from nbkeras.transport.wire import Event


class EpochEnd(Protocol):
    """What the notebook does at the end of an epoch; its answer goes to all workers."""

    def __call__(self, epoch: int, logs: dict[str, Any], weights: bytes, *, last: bool) -> Decision:
        """Run the callbacks; ``stop`` and ``learning_rate`` in the answer are obeyed."""


class Steps(Protocol):
    """What the notebook does with steps of the training or validation."""

    def __call__(self, event: messages.Batches) -> None:
        """Call the callbacks."""


class Inbox:
    """Handles the events of the workers of one stage, in the thread of the event server.

    Args:
        plan: of the training.
        run: takes phases, rows and epochs.
        stage: the Spark action.
        rendezvous: of the workers.
        watchdog: learns who has sent an event.
        epoch_end: called in the thread that waits for the run, when ``plan.asks``.
        steps: called there too.
        producers: give workers batches, by the number of their source.
        fail: called with what has ended the stage.

    Attributes:
        weights: those of the trained model, where they came as an event and not as rows.
        saved: the epoch of the last checkpoint, from 0, or None.
    """

    def __init__(
        self,
        plan: Plan,
        run: Run,
        stage: cluster.Task,
        rendezvous: Rendezvous,
        watchdog: Watchdog,
        epoch_end: EpochEnd,
        steps: Steps,
        producers: Mapping[int, Producer],
        fail: Callable[[NbkerasError], None],
    ) -> None:
        self._plan, self._run, self._stage = plan, run, stage
        self._rendezvous, self._watchdog, self._epoch_end, self._fail = rendezvous, watchdog, epoch_end, fail
        self._steps, self._producers = steps, producers
        self._read: set[str] = set()
        self.weights: bytes | None = None
        self.saved: int | None = None

    def take(self, peer: str, event: Event, blob: bytes, answer: Answer) -> None:
        """Handle an event, in the thread of the event server."""
        self._watchdog.came.add(peer)
        try:
            message = messages.event(event)
            handler = None if message is None else getattr(self, f"_on_{message['type']}", None)
            if handler is not None:
                handler(peer, message, blob, answer)
        except NbkerasError as error:
            self._fail(error)
        except Exception as error:  # noqa: BLE001  # the server's thread must go on
            self._fail(NbkerasError(f"an event of {peer} could not be handled: {error!r}"))

    def _on_farewell(self, peer: str, event: messages.Farewell, blob: bytes, answer: Answer) -> None:
        self._watchdog.left.add(peer)

    def _on_rows(self, peer: str, event: messages.Rows, blob: bytes, answer: Answer) -> None:
        if self._plan.schema.fields:  # a row that stands for batches is none of the user's
            self._run.record_rows(event["rank"], event["rows"])
        if event.get("all"):
            self._read.add(peer)
        if not self._rendezvous.begun:
            # A trainer that has all its rows may still import Keras.
            self._run.enter("starting" if len(self._read) == self._plan.workers else "reading")

    def _on_hello(self, peer: str, event: messages.Hello, blob: bytes, answer: Answer) -> None:
        if self._run.stopping.is_set() and not self._rendezvous.begun:
            # The stop may have come before Spark had the job.
            self._stage.cancel()
        if not self._rendezvous.begun and self._run.phase in BEFORE_WORKERS:
            self._run.enter("reading")
        self._rendezvous.hello(peer, event, answer)

    def _on_port(self, peer: str, event: messages.Port, blob: bytes, answer: Answer) -> None:
        self._rendezvous.port(peer, event, answer)

    def _on_ready(self, peer: str, event: messages.Ready, blob: bytes, answer: Answer) -> None:
        if self._run.stopping.is_set():
            self._stage.cancel()
            return
        self._rendezvous.ready(peer, event, answer)
        if self._rendezvous.complete:
            if self._plan.schema.fields:
                self._run.settings["rows"] = self._rendezvous.rows
            for sentence in self._rendezvous.notes:
                self._run.note(sentence)
            self._run.enter("starting")

    def _on_phase(self, peer: str, event: messages.Phase, blob: bytes, answer: Answer) -> None:
        self._run.enter(event["phase"])

    def _on_note(self, peer: str, event: messages.Note, blob: bytes, answer: Answer) -> None:
        self._run.note(event["sentence"])

    def _on_said(self, peer: str, event: messages.Said, blob: bytes, answer: Answer) -> None:
        self._run.hear(event["rank"], event["line"])

    def _on_progress(self, peer: str, event: messages.Progress, blob: bytes, answer: Answer) -> None:
        self._run.record_progress(
            event["epoch"],
            event["step"],
            event["steps"],
            event["rate"],
            event["learning_rate"],
            event["loss"],
        )

    def _on_learning_rate(self, peer: str, event: messages.LearningRate, blob: bytes, answer: Answer) -> None:
        self._run.record_learning_rate(
            event["number"], event["before"], event["rate"], event["epoch"], event["step"]
        )

    def _on_epoch(self, peer: str, event: messages.Epoch, blob: bytes, answer: Answer) -> None:
        epoch, logs = event["epoch"], arrays(event["logs"])
        if not event.get("ask"):
            self._run.record_epoch(epoch, logs, event["measured"])
            return

        def call() -> None:
            decision = self._decided(epoch, logs, event, blob)
            # Without an answer the workers wait until they are cancelled. As in Keras no callback ends then:
            # a BackupAndRestore would delete what it has saved.
            if decision is not None:
                answer(decision)

        self._run.calls.put(call)

    def _decided(
        self, epoch: int, logs: dict[str, Any], event: messages.Epoch, blob: bytes
    ) -> Decision | None:
        """What the notebook's callbacks decide at the end of an epoch; None where one has failed."""
        decision = None
        try:
            state.build(self._run.model, event["optimizers"])
            decision = self._epoch_end(epoch, logs, blob, last=bool(event.get("last")))
        except BaseException as error:  # noqa: BLE001
            # The user's own callback, whatever it raises: its traceback is the answer.
            self._fail(failures.of_notebook(error))
        self._run.record_epoch(epoch, logs, event["measured"])
        if decision is not None and "note" in decision:
            self._run.note(decision["note"])
        return decision

    def _on_batches(self, peer: str, event: messages.Batches, blob: bytes, answer: Answer) -> None:
        def call() -> None:
            try:
                self._steps(event)
            except BaseException as error:  # noqa: BLE001  # as at the end of an epoch
                self._fail(failures.of_notebook(error))

        self._run.calls.put(call)

    def _on_next(self, peer: str, event: messages.Next, blob: bytes, answer: Answer) -> None:
        self._producers[event["source"]].take(int(peer.rpartition("-")[2]), event, answer)

    def _on_source_epochs(self, peer: str, event: messages.SourceEpochs, blob: bytes, answer: Answer) -> None:
        self._producers[event["source"]].tell(event)

    def _on_saved(self, peer: str, event: messages.Saved, blob: bytes, answer: Answer) -> None:
        self.saved = event["epoch"]

    def _on_trained(self, peer: str, event: messages.Trained, blob: bytes, answer: Answer) -> None:
        self._rendezvous.trained(peer, answer)

    def _on_weights(self, peer: str, event: messages.Weights, blob: bytes, answer: Answer) -> None:
        self.weights = blob
        answer(messages.Done())

    def _on_failure(self, peer: str, event: messages.Failure, blob: bytes, answer: Answer) -> None:
        self._fail(failures.of_worker(failures.from_event(event), event["rank"], event["host"]))
