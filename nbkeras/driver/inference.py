"""Inference: a model goes through rows, each partition on its own, no worker waits for another."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Literal
from weakref import WeakKeyDictionary

import keras
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from nbkeras import wait
from nbkeras.data.images import reading, unreadable
from nbkeras.data.preprocessing.cut import Cut
from nbkeras.data.rows import Rows
from nbkeras.data.shards import nulls_message
from nbkeras.driver import checks
from nbkeras.errors import Aborted, ClusterError, DataError, WorkerLost
from nbkeras.job import failures
from nbkeras.job.job import Job
from nbkeras.model import additivity, exactness, pickling
from nbkeras.plan import Plan
from nbkeras.schema import Schema
from nbkeras.spark import cluster, exceptions, preflight, protection, session
from nbkeras.spark.shared import Shared
from nbkeras.worker import task

#: Seconds that an action may take without a word.
_SILENT = 1.0
#: Rows of arrays that are predicted in this process: ``tests/benchmarks/small_predict.py`` measures it.
FEW = 1024
#: What is said where Keras computes in this process.
HERE = "{} runs in this process, since x is {}: give arrays or a DataFrame to compute on Spark"
#: Inference needs no event channel.
_NOWHERE = ("", 0)


def attended(
    spark: SparkSession,
    method: Literal["evaluate", "predict", "report", "adapt", "read", "compare"],
    action: Callable[[], Any],
) -> Any:
    """What an action of Spark gives; that it takes longer than a moment is said, and an interrupt ends it.

    It has a thread of its own, as Py4J logs its traceback where it is interrupted itself.
    """
    stage, given = cluster.task(spark, f"nbkeras: {method}"), Future[Any]()

    def work() -> None:
        try:
            given.set_result(stage.run(action))
        except BaseException as error:  # noqa: BLE001  # raised in the thread that waits
            given.set_exception(error)

    try:
        session.thread(spark, work, f"nbkeras {method}").start()
        with contextlib.suppress(TimeoutError):
            return given.result(_SILENT)
        with wait.shown(method):
            return given.result()
    except KeyboardInterrupt:
        stage.cancel()
        raise Aborted(f"{method} was interrupted; the model is as it was before") from None
    except ClusterError:
        raise
    except Exception as error:
        raise exceptions.translate(error, stopped=session.is_stopped(spark)) from error


def plan_of(spark: SparkSession, schema: Schema, backend: str, *, alone: bool = False, **sizes: Any) -> Plan:
    """Plan an evaluation or a prediction, on all slots.

    Args:
        spark: the session.
        schema: of the rows.
        backend: of the workers, as given.
        alone: whether one worker has to do it.
        sizes: of batches and their number, by the names of a plan.

    Raises:
        OptionError: the backend is none, or not where the workers are.
    """
    workers = 1 if alone else max(1, cluster.slots(spark))
    plan = Plan(schema, workers=workers, backend=checks.backend(backend), **sizes)
    cluster.require_backend(spark, plan.backend)
    cluster.ship(spark)
    return plan


def job_of(
    kind: Literal["evaluate", "predict", "report"],
    spark: SparkSession,
    plan: Plan,
    trained: Cut,
    rows: Rows | None = None,
    batches: Any = None,
) -> Job:
    """Make a job of a model.

    Args:
        kind: what is done.
        spark: the session.
        plan: how.
        trained: the part of the model behind its preprocessing.
        rows: of a DataFrame or of arrays.
        batches: as for :func:`nbkeras.model.pickling.contents`.
    """
    encrypted = protection.encrypts_disks(spark)
    data = pickling.contents(trained.model, [], batches=batches, left=trained.left)
    # A DataFrame is predicted when it is read; what reads batches ends here.
    lazy = kind == "predict" and batches is None
    cores, key = cluster.cores(spark), ""
    if lazy:
        digest = hashlib.sha256(data).digest()
        payload = _kept(spark, data, digest)
        key = hashlib.sha256(repr((digest, plan, cores, encrypted)).encode()).hexdigest()
    else:
        payload = cluster.share(spark, data)
    return Job(
        kind,
        plan,
        payload,
        _NOWHERE,
        b"",
        cores=cores,
        encrypted=encrypted,
        key=key,
        preprocessing=None if rows is None or rows.graph is None else rows.decoder,
    )


def collected(spark: SparkSession, job: Job, df: DataFrame) -> tuple[list[bytes], list[dict[str, Any]]]:
    """Collect what the trainers make of the partitions; try again if a worker is lost.

    Args:
        spark: the session.
        job: to evaluate, or to predict batches.
        df: the rows, or one for each worker where it reads batches.

    Returns:
        The bytes of each worker, by rank, and in any order their reports: what Keras has returned as ``logs``
        and where the ``shuffles`` of a dataset stand.

    Raises:
        Aborted: an interrupt.
        DataError: the rows hold nulls, or images that cannot be read.
        TrainingError: an exception on a worker.
        WorkerLost: a worker was lost, and another one when it was done once more.
    """
    plan, method = job.plan, job.kind
    assert method != "train"

    def work(batches: Any) -> Any:
        return task.infer(job, batches)

    def collect() -> list[Any]:
        preflight.require(spark, plan.backend, job.packages)
        with cluster.bounded_batches(spark, plan.schema.row_bytes):
            return df.coalesce(plan.workers).mapInArrow(work, task.RESULT).collect()

    try:
        return twice(spark, method, collect)
    finally:
        job.payload.forget()


def twice(
    spark: SparkSession, method: Literal["evaluate", "predict", "report"], collect: Callable[[], list[Any]]
) -> tuple[list[bytes], list[dict[str, Any]]]:
    """Sort the rows that tasks return, and have them returned once more if a worker is lost.

    Raises:
        NbkerasError: as :func:`collected`.
    """
    try:
        return _results(attended(spark, method, collect))
    except WorkerLost as lost:
        once_more = {"evaluate": "Evaluating", "predict": "Predicting", "report": "Reporting"}[method]
        print(f"{once_more} once more: {lost}")  # noqa: T201  # why it takes longer
        return _results(attended(spark, method, collect))


def _results(rows: list[Any]) -> tuple[list[bytes], list[dict[str, Any]]]:
    found: dict[int, bytes] = {}
    reports, nulls, unread = [], Counter[str](), []
    for row in rows:
        kind, data = row["kind"], bytes(row["data"])
        if kind == "failure":
            event = json.loads(data)
            raise failures.of_worker(failures.from_event(event), event["rank"], event["host"])
        if kind == "nulls":
            nulls.update(json.loads(data))
        if kind == "unreadable":
            unread.append(json.loads(data))
        if kind == "report":
            reports.append(json.loads(data))
        if kind == "bytes":
            found[row["rank"]] = found.get(row["rank"], b"") + data
    if nulls:
        raise DataError(nulls_message(nulls))
    _say_unreadable(unreadable.merged(unread))
    return [found[rank] for rank in sorted(found)], reports


def _say_unreadable(found: unreadable.Unreadable) -> None:
    """Print which files are left out.

    Raises:
        DataError: some must not be.
    """
    if unreadable.stops(found):
        raise DataError(unreadable.message(found))
    for sentence in unreadable.notes(found):
        print(f"{sentence[0].upper()}{sentence[1:]}.")  # noqa: T201  # no result shows it


#: The model that was sent last to predict with, by session, and its digest.
_sent: WeakKeyDictionary[Any, tuple[bytes, Shared]] = WeakKeyDictionary()


def _kept(spark: SparkSession, data: bytes, digest: bytes) -> Shared:
    """A model for predictions, which nobody says the end of: it is sent again only where it has changed."""
    before, payload = _sent.get(spark, (b"", None))
    if payload is None or digest != before:
        payload = cluster.share(spark, data)
        _sent[spark] = digest, payload
    return payload


def here(model: Any) -> Any:
    """Keras' own methods of a model, for what stays in this process: a cell's are replaced."""
    return super(keras.Model, model)


def predicts_by_batch(model: Any, batch: Callable[[], tuple[Any, ...]]) -> str:
    """Why what the model predicts for a row depends on the batch that it comes in; empty if it does not.

    Args:
        model: built.
        batch: gives some rows; called where not all layers are Keras' own.
    """
    if (reason := exactness.whole_batches(model)) or exactness.apart(model):
        return reason
    try:
        x = additivity.tensors(batch()[0])
    except DataError:
        return ""
    return exactness.COUPLED if additivity.couples(model, x) else ""


def is_few(data: Any) -> bool:
    """Whether this is one image, or arrays of so few rows: Keras predicts them before a Spark job would."""
    if reading.is_one(data):
        return True
    parts = keras.tree.flatten(data)
    return all(len(getattr(one, "shape", ())) > 0 and len(one) <= FEW for one in parts)


def arrow(df: DataFrame) -> Any:
    """Collect all rows as an Arrow table."""
    return df.toArrow() if hasattr(df, "toArrow") else pa.Table.from_pandas(df.toPandas())
