"""Micro-batches: a model trains on those of a stream, each once, and what is learned is kept with its number.

Spark gives a micro-batch again until its function has returned, under the same number. So the number lies in
the checkpoint that holds what was learned from it, in one file, and a micro-batch that comes again is left.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.streaming.query import StreamingQuery

from nbkeras.data import source
from nbkeras.driver.columns import adaptation
from nbkeras.driver.training import preparation, weight_files
from nbkeras.driver.training.attempts import Driver
from nbkeras.driver.training.callbacks import NotebookCallbacks
from nbkeras.driver.training.submission import Cancelled
from nbkeras.errors import Aborted, ClusterError, NbkerasError, OptionError, one_line
from nbkeras.job.checkpoint import Checkpoint
from nbkeras.job.store import Store
from nbkeras.model import randomness, settings
from nbkeras.plan import Plan
from nbkeras.run import registry
from nbkeras.run.curves import arrays
from nbkeras.run.run import Run
from nbkeras.schema import Schema
from nbkeras.spark import exceptions, protection, queries, session

#: Seconds after which the thread that trains looks whether the stream still runs, or is to end.
_LOOK_SECONDS = 0.1
#: Points of the curves that a checkpoint keeps.
_KEPT = 1000
#: The folder of Spark's own notes on a stream, within that of the checkpoints.
STREAM = "stream"


@dataclass(frozen=True)
class Given(source.Given):
    """The data of a training as the user gave it; see :func:`nbkeras.fit_stream`."""

    nulls: Any
    trigger: Mapping[str, Any] | None


class _NotTrained(Exception):
    """Tells Spark that a micro-batch is to come again."""


class MicroBatches:
    """Trains on the micro-batches of a stream, one after the other.

    Args:
        spark: the session.
        plan: of the training on each of them.
        run: of them all.
        given: the stream.
        begun: the checkpoint to go on from.
        shuffle: whether the rows of a micro-batch are visited in a random order.
    """

    def __init__(
        self,
        spark: SparkSession,
        plan: Plan,
        run: Run,
        given: Given,
        begun: Checkpoint | None,
        *,
        shuffle: bool,
    ) -> None:
        self._spark, self._plan, self._run, self._given = spark, plan, run, given
        self._begun, self._shuffle = begun, shuffle
        self._known = registry.schema(run.model) if begun is None else begun.schema
        self._store = None if plan.checkpoint is None else Store(plan.checkpoint)
        #: Of the cell's thread, which makes this object.
        self._common = randomness.Common()
        self._before: deque[tuple[int, dict[str, Any]]] = deque(maxlen=_KEPT)
        #: The number of the micro-batch that was trained on last, and the epochs that all have made.
        self._last, self._epochs = -1, 0
        self._handed: queue.Queue[tuple[DataFrame, int]] = queue.Queue()
        self._answers: queue.Queue[None] = queue.Queue()
        self._ended = threading.Event()
        self._driver: Driver | None = None
        #: Whether a micro-batch has come that has no rows: no checkpoint knows of it.
        self._empty = False

    def train(self) -> None:
        """Train until the stream ends, in the thread that calls; the outcome is in the run."""
        run = self._run
        self._common.share()
        try:
            self._connect()
            if self._begun is not None:
                self._go_on(self._begun)
            with queries.unlogged(self._spark):
                self._follow(self._started())
            weight_files.keep(run, run.model, encrypted=protection.encrypts_disks(self._spark))
            run.end("stopped" if run.stopping.is_set() else "finished")
        except Cancelled:
            what = f"{run.name}: the micro-batch in work was dropped; the model is as it was before it"
            run.end("aborted", Aborted(what)) if run.aborting else run.end("stopped")
        except NbkerasError as error:
            run.end("failed", error)
        except Exception as error:  # noqa: BLE001  # the run tells it to whoever waits
            of_spark = type(error).__module__.startswith(("py4j.", "pyspark."))
            run.end(
                "failed",
                self._translated(error) if of_spark else NbkerasError(f"nbkeras failed: {one_line(error)}"),
            )

    def _translated(self, error: Exception) -> NbkerasError:
        return exceptions.translate(error, stopped=session.is_stopped(self._spark))

    def _go_on(self, begun: Checkpoint) -> None:
        """Give the model what a checkpoint holds."""
        if "stream" not in begun.about:
            raise OptionError(
                f"{self._plan.checkpoint} holds a training of nbkeras.fit: name another place for a stream"
            )
        begun.require_same_compiled(replace(self._plan, about={"settings": self._run.settings}))
        begun.require_same_model(self._run.model, 0)
        adaptation.give_back(self._run.model, begun.about["stream"]["learned"])
        begun.restore(self._run.model, self._common)
        for epoch, logs in begun.epochs:
            self._run.record_epoch(epoch, arrays(logs))
        self._before.extend(begun.epochs)
        self._last, self._epochs = begun.about["stream"]["batch"], begun.epoch + 1
        self._run.epochs = self._epochs

    # -- the stream ----------------------------------------------------------------

    def _started(self) -> StreamingQuery:
        """The query that hands over the micro-batches."""
        writer = self._given.data.writeStream.foreachBatch(self._hand)
        if self._plan.checkpoint is not None:
            writer = writer.option("checkpointLocation", f"{self._plan.checkpoint}/{STREAM}")
        try:
            if self._given.trigger:
                writer = writer.trigger(**self._given.trigger)
            return writer.start()  # type: ignore[no-any-return]
        except Exception as error:
            raise self._translated(error) from error

    def _hand(self, batch: DataFrame, number: int) -> None:
        """Hand over a micro-batch, in Spark's thread, which goes on when this returns."""
        self._handed.put((batch, number))
        while not self._ended.is_set():
            with suppress(queue.Empty):
                self._answers.get(timeout=_LOOK_SECONDS)
                return
        raise _NotTrained(
            f"micro-batch {number} is not trained on: it comes again when the stream is started"
        )

    def _follow(self, query: StreamingQuery) -> None:
        """Train on what the query hands over, until it has ended."""
        try:
            while not self._run.stopping.is_set():
                self._run.enter("waiting")
                try:
                    batch, number = self._handed.get(timeout=_LOOK_SECONDS)
                except queue.Empty:
                    # Of a Spark that was stopped, a query says that it is active.
                    if session.is_stopped(self._spark) or not query.isActive:
                        break
                    continue
                self._take(batch, number, str(query.id))
                self._answers.put(None)
        finally:
            self._ended.set()
            failed: Exception | None = None
            if session.is_stopped(self._spark):
                failed = ClusterError(
                    "Spark was stopped: make a new session, and call fit_stream again, which goes on from "
                    "its checkpoint="
                )
            else:
                failed = query.exception()
                if query.isActive:
                    query.stop()
        if failed is not None and not self._run.stopping.is_set():
            raise self._translated(failed)

    # -- one micro-batch -------------------------------------------------------------

    def _take(self, batch: DataFrame, number: int, query: str) -> None:
        """Train on a micro-batch, unless the checkpoint was trained on it already."""
        if self._begun is not None:
            self._require_same(self._begun, number, query)
        elif not self._epochs and number and not self._empty and self._store is not None:
            self._run.note(
                f"the stream in {self._plan.checkpoint} goes on at micro-batch {number}, and no checkpoint "
                "has those before, which were empty or are lost: the model begins as it is"
            )
        if number <= self._last:
            return
        # A source is read again for each job: what it gives may be another thing then.
        batch.persist()
        try:
            if batch.isEmpty():
                self._empty = True
            else:
                self._train(batch, number, query)
        finally:
            batch.unpersist()

    def _require_same(self, begun: Checkpoint, number: int, query: str) -> None:
        """Make sure that a stream goes on where the checkpoint ends."""
        trained = begun.about["stream"]
        if trained["query"] != query or number < trained["batch"]:
            raise OptionError(
                f"the stream in {self._plan.checkpoint} is not that of the checkpoint, which was trained up "
                f"to micro-batch {trained['batch']}: it has begun again, at {number}; name another place"
            )

    def _train(self, batch: DataFrame, number: int, query: str) -> None:
        run, epoch, spark = self._run, self._epochs, batch.sparkSession
        run.go_on(epoch + 1)
        plan = replace(self._plan, epochs=epoch + 1, initial_epoch=epoch, before=tuple(self._before))
        known = run.schema or self._known
        own = source.Source(spark, run.model, self._given.features, known)
        rows = own.labelled(batch, self._given.y, self._given.sample_weight, "train_step")
        if self._begun is not None:
            self._require_same_columns(self._begun, rows.schema)
        goes_on = run.schema is not None or self._begun is not None
        data = preparation.Data(rows, known=known, nulls=self._given.nulls, goes_on=goes_on)
        run.settings |= settings.of(run.model, plan, rows.schema)
        silent = NotebookCallbacks([], run.model, {"epochs": plan.epochs, "verbose": 0, "steps": None})
        made = preparation.prepared(spark, plan, run, data, silent, shuffle=self._shuffle)
        learned = adaptation.learned_by(run.model)
        about = made.plan.about | {"stream": {"query": query, "batch": number, "learned": learned}}
        self._driver = Driver(
            spark,
            replace(made.plan, about=about),
            made.df,
            run,
            [],
            silent.epoch_end,
            silent.steps,
            trained=made.trained,
            preprocessing=made.decoder,
        )
        self._connect()
        try:
            self._driver.advance()
        finally:
            self._driver = None
        self._require_kept(number, epoch)
        self._last, self._epochs = number, epoch + 1
        self._before.append((epoch, _logs(run)))

    def _require_same_columns(self, begun: Checkpoint, schema: Schema) -> None:
        """Make sure that a stream goes on with the columns that the checkpoint was trained on."""
        before = begun.schema
        if before is None:
            return
        for title, names, trained in (
            ("features", schema.columns, before.columns),
            ("y", schema.targets, before.targets),
        ):
            if names != trained:
                raise OptionError(
                    f"{title} {list(names)} now, {list(trained)} in the checkpoint in "
                    f"{self._plan.checkpoint}: give the same, or another place for a new training"
                )

    def _require_kept(self, number: int, epoch: int) -> None:
        """Make sure that what was learned is kept, before Spark notes that the rows are done with.

        Raises:
            ClusterError: it is not.
        """
        if self._store is None:
            return
        kept = self._store.latest(self._plan.training)
        if kept is None or kept.epoch != epoch:
            raise ClusterError(
                f"what micro-batch {number} has taught could not be kept in {self._plan.checkpoint}: the "
                "stream has ended before it; make room there, and start it again"
            )

    # -- the user's wishes -------------------------------------------------------------

    def _connect(self) -> None:
        """Let the user end the micro-batch in work; a stop waits for its end."""
        steer = (lambda: None) if self._driver is None else self._driver.steer
        self._run.connect(stop=lambda: None, abort=self._abort, steer=steer)

    def _abort(self) -> None:
        if self._driver is not None:
            self._driver.abort()


def _logs(run: Run) -> dict[str, Any]:
    """The logs of the last epoch, ready for JSON."""
    return {name: np.asarray(values[-1]).tolist() for name, values in run.history.items()}
