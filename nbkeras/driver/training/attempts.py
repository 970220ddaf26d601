"""Run one training: submit it, submit it again if a worker is lost, load its weights into the model."""

from __future__ import annotations

import functools
import json
import threading
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from nbkeras.data.decoder import Decoder
from nbkeras.data.preprocessing.cut import Cut
from nbkeras.data.stream import Streams
from nbkeras.driver.training import best, weight_files
from nbkeras.driver.training.inbox import EpochEnd, Steps
from nbkeras.driver.training.producer import Producer
from nbkeras.driver.training.submission import Cancelled, Submission
from nbkeras.errors import Aborted, DataError, NbkerasError, OptionError, PortTaken, WorkerLost, one_line
from nbkeras.job import archive, failures
from nbkeras.job.checkpoint import Checkpoint
from nbkeras.job.rendezvous import NO_ROWS
from nbkeras.job.store import Store
from nbkeras.model import captured, pickling, randomness, state
from nbkeras.plan import Plan
from nbkeras.run.curves import arrays
from nbkeras.run.run import Run
from nbkeras.spark import cluster, dynamic_allocation, protection
from nbkeras.spark.shared import Shared
from nbkeras.transport.messages import Batches, Decision

#: How often a training begins again without having finished another epoch.
RESTARTS = 3
#: Seconds that Spark has to end what is dropped, before nobody waits for it any more.
_DROP_SECONDS = 5.0
#: Seconds that lost executors have to come back.
_SLOT_SECONDS = 120.0


class Driver:
    """One training on Spark.

    Args:
        spark: the session.
        plan: of the training.
        df: its rows, from :func:`nbkeras.data.rows.exchanged`.
        run: takes phases, rows and epochs, and ends with the training.
        callbacks: callbacks that run on the workers.
        epoch_end: called in the thread that waits for the run, when ``plan.asks``.
        steps: called there with steps of the training and validation, each once.
        resume: the checkpoint to go on from.
        streams: what the training reads in batches.
        trained: the part of the model that is trained; None for all of it.
        preprocessing: of the rows for that part; None where they are trained on as they arrive.
    """

    def __init__(
        self,
        spark: SparkSession,
        plan: Plan,
        df: DataFrame,
        run: Run,
        callbacks: list[Any],
        epoch_end: EpochEnd,
        steps: Steps,
        resume: Checkpoint | None = None,
        streams: Streams = Streams(None, None),  # noqa: B008  # frozen
        trained: Cut | None = None,
        preprocessing: Decoder | None = None,
    ) -> None:
        self._trained, self._preprocessing = trained or Cut(run.model), preprocessing
        self._spark, self._plan, self._df, self._run = spark, plan, df, run
        self._callbacks, self._notebook, self._resume = callbacks, epoch_end, resume
        self._streams, self._fed = streams, streams.fed
        self._producers = {
            number: Producer(reader, plan.workers, functools.partial(self._fail, str(reader.kind)))
            for number, reader in self._fed.items()
        }
        self._store = None if plan.checkpoint is None else Store(plan.checkpoint)
        self._told: dict[int, Decision] = {}
        self._steps, self._called = steps, (0, 0)
        self._submission: Submission | None = None
        self._landing = False
        # Of the cell's thread, which makes this object; `train` may run in another.
        self._common = randomness.Common()
        self._generator = self._common.state

    def train(self) -> None:
        """Run to the end, in the thread that calls; the outcome is in the run."""
        try:
            if self._resume is not None:
                self._resume.require_same_compiled(self._plan)
                self._resume.require_same_model(self._run.model, len(self._callbacks))
                self._recall(self._resume)
            self._run.connect(stop=self._stop, abort=self.abort, steer=self.steer)
            self.advance()
            for sentence in best.said(self._callbacks):
                self._run.note(sentence)
            self._keep()
            self._run.end("stopped" if self._run.stopping.is_set() else "finished")
        except Cancelled:
            self._end_cancelled()
        except NbkerasError as error:
            self._run.end("failed", error)
        except Exception as error:  # noqa: BLE001  # the run tells it to whoever waits
            self._run.end("failed", NbkerasError(f"nbkeras failed: {one_line(error)}"))
        finally:
            for one in self._producers.values():
                one.close()

    def advance(self) -> None:
        """Train, and give the user's model what was learned; the run goes on.

        Raises:
            NbkerasError: what a worker, or Spark, has come to.
            Cancelled: a stop before anything was trained, or an abort.
        """
        self._optimizers = state.optimizers(self._run.model)
        rows, weights = self._collected()
        self._land(rows, weights)

    def _fail(self, kind: str, error: Exception) -> None:
        """End the attempt where the notebook cannot read what feeds the workers."""
        if self._submission is not None:
            if not isinstance(error, NbkerasError):
                error = failures.of_notebook(error, kind)
            self._submission.fail(error)

    def _recall(self, begun: Checkpoint) -> None:
        """Take over the epochs that a checkpoint has behind it."""
        for epoch, logs in begun.epochs:
            self._run.record_epoch(epoch, arrays(logs))

    def _keep(self) -> None:
        """Keep the weights as this run's own: the user may train the same model again."""
        weight_files.keep(self._run, self._run.model, encrypted=protection.encrypts_disks(self._spark))

    def _stop(self) -> None:
        if self._submission is not None:
            self._submission.stop()

    def steer(self) -> None:
        """Tell the workers what the user wants of them."""
        if self._submission is not None:
            self._submission.steer()

    def abort(self) -> None:
        """End at once and keep nothing."""
        limit = threading.Timer(_DROP_SECONDS, self._give_up)
        limit.daemon = True
        limit.start()
        if self._submission is not None:
            self._submission.abort()

    def _give_up(self) -> None:
        """Give the cell back where Spark does not answer; what it is still at comes to nothing."""
        if not self._landing:
            self._drop(", though Spark has not answered yet")

    def _drop(self, more: str = "") -> None:
        dropped = f"{self._run.name}: the training was dropped{more}; the model is as it was before"
        self._run.end("aborted", Aborted(dropped))

    def _end_cancelled(self) -> None:
        if self._run.aborting:
            self._drop()
            return
        if self._resume is not None:
            # Stopped before it went on: what it would have gone on from is what there is.
            self._resume.restore(self._run.model, self._common)
            self._keep()
        elif self._run.history:
            self._run.note(
                "stopped before it had caught up: the weights were lost with a worker, and the model is as "
                "it was before; --checkpoint keeps them"
            )
        self._run.end("stopped")

    # -- submitting, and again when a worker is lost -----------------------------

    def _collected(self) -> tuple[list[Any], bytes | None]:
        """What rank 0 returns in the end, and the weights where they came beside it."""
        size = state.bound(self._run.model)
        # Once: in between, callbacks may give the user's model the weights of an epoch.
        batches = self._streams.for_workers(self._plan.workers)
        trained = self._trained
        contents = pickling.contents(trained.model, self._callbacks, self._generator, batches, trained.left)
        payload = cluster.share(self._spark, contents)
        try:
            return self._attempts(payload, size)
        finally:
            payload.forget()

    def _attempts(self, payload: Shared, size: int) -> tuple[list[Any], bytes | None]:
        restarts, again = 0, False
        while True:
            done = len(self._run.epoch_numbers)
            submission = self._submission = Submission(
                self._spark,
                self._plan,
                self._df,
                self._run,
                payload,
                self._resume,
                self._epoch_end,
                self._step,
                self._producers,
                size,
                again=again,
                preprocessing=self._preprocessing,
            )
            try:
                return submission.collect(), submission.weights
            except (WorkerLost, PortTaken) as error:
                restarts = 1 if len(self._run.epoch_numbers) > done else restarts + 1
                again = again or len(self._run.epoch_numbers) > 0
                self._begin_again(error, submission.saved, restarts)

    def _begin_again(self, error: NbkerasError, saved: int | None, restarts: int) -> None:
        if self._run.stopping.is_set():
            raise Cancelled from error
        if restarts > RESTARTS:
            rest = "" if saved is None else f"; add --resume to go on after epoch {saved + 1}"
            raise type(error)(f"{error}; given up after {RESTARTS} new attempts in the same epoch{rest}")
        if self._store is not None:
            self._resume = self._newest(self._store) or self._resume
        if self._resume is not None:
            self._recall(self._resume)  # who was lost may have kept an epoch, but not told it
        if saved is not None and (self._resume is None or self._resume.epoch < saved):
            self._run.note(
                f"the checkpoint of epoch {saved + 1} in {self._plan.checkpoint} cannot be seen from this "
                "notebook: name a place that all machines share"
            )
        since = "the start" if self._resume is None else f"the checkpoint of epoch {self._resume.epoch + 1}"
        self._run.restart(f"{error}; going on from {since}")
        for one in self._producers.values():
            one.restart()
        if any(one.kind == "generator" for one in self._fed.values()):
            self._run.note(
                "the generator goes on from where it is: what it has given is not trained on again"
            )
        if dynamic_allocation.is_on(self._spark):
            return  # The next stage asks for what it needs.
        cluster.require_slots(self._spark, self._plan.workers, _SLOT_SECONDS, self._run.stopping.is_set)

    def _newest(self, store: Store) -> Checkpoint | None:
        """The newest checkpoint of this training on these rows."""
        try:
            found = store.latest(self._plan.training)
        except OptionError as unreadable:
            self._run.note(f"{unreadable}; what was read of it before is gone on from")
            return None
        # Of a stream, an older one is of other rows, and the model holds what it has learned there.
        return found if found is not None and found.epoch >= self._plan.initial_epoch else None

    def _epoch_end(self, epoch: int, logs: dict[str, Any], weights: bytes, *, last: bool) -> Decision:
        """The callbacks' answer; an epoch that is trained again gets the same one, and calls nobody."""
        if epoch not in self._told:
            self._told[epoch] = self._notebook(epoch, logs, weights, last=last)
        return self._told[epoch]

    def _step(self, event: Batches) -> None:
        """Call the callbacks, but for steps that are trained again."""
        epoch, first, calls = event["epoch"], event["first"], event["calls"]
        begun, number = self._called
        done = number if epoch == begun else 0
        if epoch in self._told or epoch < begun or first + len(calls) <= done:
            return
        self._called = epoch, first + len(calls)
        self._steps({**event, "calls": calls[max(0, done - first) :]})

    # -- the end -----------------------------------------------------------------

    def _land(self, rows: list[Any], weights: bytes | None) -> None:
        """Put the returned weights and what else was learned into the user's own objects."""
        self._landing = True
        if self._run.aborting:
            raise Cancelled  # Nobody may have waited for them.
        self._run.enter("returning")
        if not rows:
            # Spark starts no task for a DataFrame that it knows to be empty.
            raise DataError(NO_ROWS)
        report = json.loads(next(bytes(row["data"]) for row in rows if row["kind"] == "report"))
        for epoch, logs in report["epochs"]:
            self._run.record_epoch(epoch, arrays(logs))
        self._run.partial = None if report["partial"] is None else report["partial"] + 1
        if weights is None:
            weights = _joined(rows, "bytes")
        model = self._run.model
        if state.optimizers(model) == self._optimizers:
            state.build(model, report["optimizers"])
            state.assign(state.variables(model), weights)
        else:
            # In the background; what the workers' optimizers have learned is of no use to another one.
            own = state.own(model)
            state.assign(own, weights[: state.size(own)])
            self._run.note("the model was compiled again in the meantime: its optimizer is as it was made")
        if report["generator"] != self._generator:
            self._common.state = report["generator"]
        if not self._streams.go_on(report["shuffles"]):
            self._run.note(
                "a shuffle has given too many orders to count: in this notebook it stays where it was"
            )
        changed = archive.load_values(_joined(rows, "callbacks"))
        for callback, values in zip(self._callbacks, changed, strict=True):
            captured.give(callback, values)


def _joined(rows: list[Any], kind: str) -> bytes:
    """The bytes that came in several rows."""
    return b"".join(bytes(row["data"]) for row in rows if row["kind"] == kind)
