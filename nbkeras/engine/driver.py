"""The notebook's side of a training: submits the stage, hears the workers, lands the weights."""

from __future__ import annotations

import json
import secrets
import threading
import uuid
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from pyspark.sql import DataFrame, SparkSession

from nbkeras.engine import cluster, failures, shipping, state, task
from nbkeras.engine.events import Server
from nbkeras.engine.job import Job
from nbkeras.engine.spool import require_one_shape
from nbkeras.engine.wire import Event
from nbkeras.errors import Aborted, DataError, NbkerasError
from nbkeras.plan import Plan
from nbkeras.run import Run

Answer = Callable[[Event], None]
_NO_ROWS = "the DataFrame has no rows to train on: df.count() is 0, or validation_split took them all"


class EpochEnd(Protocol):
    """What the notebook does at the end of an epoch; its answer goes to all workers."""

    def __call__(self, epoch: int, logs: dict[str, Any], weights: bytes, *, last: bool) -> Event:
        """Run the callbacks; ``stop`` and ``learning_rate`` in the answer are obeyed."""


class Driver:
    """One training on Spark.

    Args:
        spark: the session.
        plan: of the training.
        df: its rows, from :func:`nbkeras.frames.rows.exchanged`.
        run: takes phases, rows and epochs, and ends with the training.
        deciders: callbacks that run on the workers.
        epoch_end: called in the thread that waits for the run, when ``plan.asks``.
    """

    def __init__(
        self,
        spark: SparkSession,
        plan: Plan,
        df: DataFrame,
        run: Run,
        deciders: list[Any],
        epoch_end: EpochEnd,
    ) -> None:
        self._spark, self._plan, self._df, self._run = spark, plan, df, run
        self._deciders, self._epoch_end = deciders, epoch_end
        self._secret = secrets.token_bytes(32)
        self._hellos: dict[str, tuple[Event, Answer]] = {}
        self._readies: dict[str, tuple[Event, Answer]] = {}
        self._trained: dict[str, Answer] = {}
        self._failure: NbkerasError | None = None
        self._aborted = False
        self._stage = cluster.Task(spark, f"nbkeras-{uuid.uuid4().hex}", f"nbkeras: {run.name}")
        self._server: Server

    def train(self) -> None:
        """Run to the end, in the thread that calls; the outcome is in the run."""
        try:
            variables = state.variables(self._run.model)
            blob_limit = state.size(variables) if self._plan.needs_weights else 0
            with Server(cluster.hosts(self._spark)[0], self._secret, self._hear, blob_limit) as server:
                self._server = server
                self._run.connect(stop=self._stop, abort=self._abort)
                payload = shipping.contents(self._run.model, self._deciders)
                rows = self._submit(payload)
                if self._aborted or self._failure is not None:
                    raise InterruptedError  # noqa: TRY301  # it ended by itself in the same moment
                self._run.enter("returning")
                self._land(rows, variables)
            self._run.end("stopped" if self._run.stopping.is_set() else "finished")
        except Exception as error:  # noqa: BLE001  # the run tells it to whoever waits
            self._end_early(error)

    def _submit(self, payload: bytes) -> list[Any]:
        address = (cluster.hosts(self._spark)[1], self._server.address[1])
        job = Job("train", self._plan, payload, address, self._secret, cluster.cores(self._spark))

        def work(batches: Any) -> Any:
            return task.train(job, batches)

        self._run.enter("slots")
        staged = self._df.mapInArrow(work, task.RESULT, barrier=True)
        if self._run.stopping.is_set():
            raise InterruptedError  # Spark cannot cancel a job that it does not have yet.
        with cluster.bounded_batches(self._spark, self._plan.structure.row_bytes):
            rows: list[Any] = self._stage.run(staged.collect)
        return rows

    def _end_early(self, error: Exception) -> None:
        if self._aborted:
            self._run.end(
                "aborted",
                Aborted(f"{self._run.name}: the training was dropped; the model is as it was before"),
            )
        elif self._failure is not None:
            self._run.end("failed", self._failure)
        elif self._run.stopping.is_set() and not isinstance(error, NbkerasError):
            self._run.end("stopped")
        elif isinstance(error, NbkerasError):
            self._run.end("failed", error)
        else:
            self._run.end("failed", failures.of_spark(error))

    # -- stop and abort --------------------------------------------------------

    def _stop(self) -> None:
        if len(self._readies) < self._plan.workers:
            # Nothing has been trained: there is nothing to keep.
            self._stage.cancel()
        else:
            self._server.control({"type": "stop"})

    def _abort(self) -> None:
        self._aborted = True
        self._stage.cancel()

    # -- what workers say (in the server's thread) ------------------------------

    def _hear(self, peer: str, event: Event, blob: bytes, answer: Answer) -> None:
        try:
            handler = getattr(self, f"_on_{event.get('type')}", None)
            if handler is not None:
                handler(peer, event, blob, answer)
        except Exception as error:  # noqa: BLE001  # the server's thread must go on
            self._fail(NbkerasError(f"an event of {peer} could not be handled: {error!r}"))

    def _fail(self, error: NbkerasError) -> None:
        if self._failure is None:
            self._failure = error
            # Not from this thread: it must go on hearing the workers.
            threading.Thread(target=self._stage.cancel, daemon=True).start()

    def _on_rows(self, peer: str, event: Event, blob: bytes, answer: Answer) -> None:
        if not self._readies:
            self._run.enter("reading")
        self._run.record_rows(int(event["rank"]), int(event["rows"]))

    def _on_hello(self, peer: str, event: Event, blob: bytes, answer: Answer) -> None:
        self._hellos[peer] = (event, answer)
        if self._run.stopping.is_set() and not self._readies:
            # The stop may have come before Spark had the job.
            self._stage.cancel()
        if not self._readies and self._run.phase == "slots":
            self._run.enter("reading")
        if len(self._hellos) == self._plan.workers:
            everyone = [self._hellos[f"trainer-{rank}"] for rank in range(self._plan.workers)]
            addresses = [f"{hello['host']}:{hello['port']}" for hello, _ in everyone]
            where = [hello["executor"] for hello, _ in everyone]
            for hello, reply in everyone:
                reply({"addresses": addresses, "neighbours": where.count(hello["executor"])})

    def _on_ready(self, peer: str, event: Event, blob: bytes, answer: Answer) -> None:
        self._readies[peer] = (event, answer)
        if len(self._readies) < self._plan.workers:
            return
        everyone = [self._readies[f"trainer-{rank}"] for rank in range(self._plan.workers)]
        events = [ready for ready, _ in everyone]
        wrong = self._wrong_data(events)
        if wrong is not None:
            self._fail(wrong)
            return
        layouts = [ready["layout"] for ready in events if ready["layout"]]
        if self._run.stopping.is_set():
            self._stage.cancel()
            return
        self._run.enter("starting")
        for _, reply in everyone:
            reply({"rows": [ready["rows"] for ready in events], "layout": layouts[0]})

    def _wrong_data(self, readies: list[Event]) -> DataError | None:
        nulls: dict[str, int] = {}
        for ready in readies:
            for name, number in ready["nulls"].items():
                nulls[name] = nulls.get(name, 0) + number
        if nulls:
            return DataError(task.nulls_message(nulls))
        if not sum(ready["rows"] for ready in readies):
            return DataError(_NO_ROWS)
        if self._plan.validates and not sum(ready["validation"] for ready in readies):
            return DataError("the validation data has no rows")
        layouts = [ready["layout"] for ready in readies if ready["layout"]]
        for layout in layouts[1:]:
            for one in self._plan.structure.fields:
                try:
                    require_one_shape(one, tuple(layouts[0][one.name][1]), tuple(layout[one.name][1]))
                except DataError as error:
                    return error
        if self._plan.workers > 1 and not all(ready["complete"] for ready in readies):
            return DataError(
                "the DataFrame gave its rows in another order when it was read again: "
                "cache it first (df.cache()) or sort it, so that shuffle=False has an order to keep"
            )
        return None

    def _on_phase(self, peer: str, event: Event, blob: bytes, answer: Answer) -> None:
        self._run.enter(event["phase"])

    def _on_progress(self, peer: str, event: Event, blob: bytes, answer: Answer) -> None:
        self._run.record_progress(event["epoch"], event["step"], event["steps"], event["rate"])

    def _on_epoch(self, peer: str, event: Event, blob: bytes, answer: Answer) -> None:
        epoch, logs = int(event["epoch"]), arrays(event["logs"])
        if not event.get("ask"):
            self._run.record_epoch(epoch, logs)
            return

        def call() -> None:
            try:
                told = self._epoch_end(epoch, logs, blob, last=bool(event.get("last")))
            except Exception as error:  # noqa: BLE001
                # The user's own callback: its traceback is the answer.
                self._fail(failures.of_callback(error))
                told = {"stop": True}
            self._run.record_epoch(epoch, logs)
            if "note" in told:
                self._run.note(told["note"])
            answer(told)

        self._run.calls.put(call)

    def _on_trained(self, peer: str, event: Event, blob: bytes, answer: Answer) -> None:
        self._trained[peer] = answer
        if len(self._trained) == self._plan.workers:
            for leave in self._trained.values():
                leave({})

    def _on_failure(self, peer: str, event: Event, blob: bytes, answer: Answer) -> None:
        self._fail(failures.of_worker(failures.from_event(event), int(event["rank"]), str(event["host"])))

    # -- the end -----------------------------------------------------------------

    def _land(self, rows: list[Any], variables: list[Any]) -> None:
        """Put the returned weights and what else was learned into the user's own objects."""
        if not rows:
            # Spark starts no task for a DataFrame that it knows to be empty.
            raise DataError(_NO_ROWS)
        report = json.loads(next(bytes(row["data"]) for row in rows if row["kind"] == "report"))
        for epoch, logs in report["epochs"]:
            self._run.record_epoch(epoch, arrays(logs))
        self._run.partial = None if report["partial"] is None else report["partial"] + 1
        state.assign(variables, b"".join(bytes(row["data"]) for row in rows if row["kind"] == "bytes"))
        for callback, attributes in zip(self._deciders, report["deciders"], strict=True):
            for key, value in attributes.items():
                setattr(callback, key, value)


def arrays(logs: dict[str, Any]) -> dict[str, Any]:
    """Logs from JSON: lists become arrays."""
    return {key: np.asarray(value) if isinstance(value, list) else value for key, value in logs.items()}
