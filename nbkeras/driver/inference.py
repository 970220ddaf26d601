"""Evaluation and prediction: each partition on its own, no worker waits for another."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Literal
from weakref import WeakKeyDictionary

import keras
import numpy as np
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import types as T

from nbkeras import wait
from nbkeras.data.shards import nulls_message
from nbkeras.errors import Aborted, ClusterError, DataError, WorkerLost
from nbkeras.job import failures
from nbkeras.job.job import Job
from nbkeras.model import additivity, exactness, pickling, state
from nbkeras.plan import Plan
from nbkeras.run.curves import arrays
from nbkeras.schema import ORDER, PREFIX
from nbkeras.spark import cluster, exceptions, preflight, protection, session
from nbkeras.spark.shared import Shared
from nbkeras.worker import task

Shape = tuple[int, ...]
#: Seconds that an action may take without a word.
_SILENT = 1.0
#: Rows of arrays that are predicted in this process: ``tests/benchmarks/small_predict.py`` measures it.
FEW = 1024
#: Inference needs no event channel.
_NOWHERE = ("", 0)


def evaluate(spark: SparkSession, plan: Plan, model: Any, df: DataFrame) -> dict[str, Any]:
    """Loss and metrics over all rows, by name.

    Metric states of the partitions are summed; results are never averaged. Where a worker is lost, it is done
    once more.

    Args:
        spark: the session.
        plan: with the fields and the batch size.
        model: compiled and built.
        df: one column per field, and ``order``.

    Raises:
        Aborted: an interrupt.
        DataError: nulls, or no rows.
        TrainingError: an exception on a worker.
        WorkerLost: a worker was lost, and another one when it was done once more.
    """
    job = _job("evaluate", spark, plan, model)

    def work(batches: Any) -> Any:
        return task.evaluate(job, batches)

    def collect() -> list[Any]:
        preflight.require(spark, plan.backend)
        with cluster.bounded_batches(spark, plan.schema.row_bytes):
            return df.coalesce(plan.workers).mapInArrow(work, task.RESULT).collect()

    def results() -> tuple[list[bytes], list[dict[str, Any]]]:
        return _results(_attended(spark, "evaluate", collect))

    try:
        try:
            states, logs = results()
        except WorkerLost as lost:
            print(f"Evaluating once more: {lost}")  # noqa: T201  # why it takes longer
            states, logs = results()
    finally:
        job.payload.forget()
    summed = _summed(model, states)
    return logs[0] if has_own_test_step(model) else summed


def coupled(model: Any, batch: Callable[[], tuple[Any, ...]]) -> str:
    """Why rows have to be evaluated in Keras' own batches, in a sentence; none where they need not.

    Args:
        model: compiled and built, with its metrics.
        batch: gives some rows; called where the model, its loss or a metric is not all Keras' own.
    """
    own = f"{type(model).__name__} has its own test_step" if has_own_test_step(model) else ""
    if reason := exactness.whole_batches(model) or own:
        return reason
    compiled = model._compile_metrics  # noqa: SLF001
    measured = getattr(compiled, "metrics", ())
    rows_apart, known_loss = exactness.apart(model), _has_known_loss(model)
    known_metrics = all(map(_is_of_keras, measured))
    if rows_apart and known_loss and known_metrics:
        return ""
    x, y, weights = (*additivity.tensors(batch()), None, None)[:3]
    if not rows_apart and additivity.couples(model, x):
        return exactness.COUPLED
    divided = any(_divides_by_more(one, weights) for one in _losses(model))
    if not known_loss and (divided or not additivity.is_mean(model, x, y, weights)):
        return "the loss of some rows is not the mean of those of each row"
    if not known_metrics:
        whole, *singles = additivity.growths(compiled, y, model(x, training=False), weights)
        model.reset_metrics()
        for index, metric in enumerate(measured):
            if not any(additivity.follows(whole[index], [single[index] for single in singles])):
                return f"metric {metric.name!r} of some rows does not follow from those of each row"
    return ""


def has_own_test_step(model: Any) -> bool:
    """Whether what a model gives at an evaluation is what its own step returns."""
    return type(model).test_step is not keras.Model.test_step


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


#: Losses of Keras' own that take all rows as one, or compare them.
_COUPLED = (keras.losses.Dice, keras.losses.Tversky, keras.losses.Circle)


def _losses(model: Any) -> list[Any]:
    compiled = model._compile_loss  # noqa: SLF001
    # Where the model has a compute_loss of its own, Keras may never have built those of compile.
    return [one.loss for one in getattr(compiled, "_flat_losses", None) or ()]


def _has_known_loss(model: Any) -> bool:
    """Whether the loss is known to be a mean over rows: of Keras' own alone, and no step is masked."""
    if type(model).compute_loss is not keras.Model.compute_loss or exactness.masking(model):
        return False
    return all(
        _is_of_keras(one)
        and not isinstance(one, _COUPLED)
        and one.reduction in ("sum_over_batch_size", "mean", "none", None)
        and not _divides_by_more(one, None)
        for one in _losses(model)
    )


def _divides_by_more(loss: Any, weights: Any) -> bool:
    """Whether a loss is divided by what its batch holds, such as the sum of its weights."""
    weighed = weights is not None and getattr(loss, "reduction", "") == "mean_with_sample_weight"
    return weighed or getattr(loss, "ignore_class", None) is not None


def _is_of_keras(thing: Any) -> bool:
    """Whether a metric or loss is one of Keras' own, and no function of the user's that Keras has wrapped."""
    function = getattr(thing, "_fn", None) or getattr(thing, "fn", None)
    return all(one.__module__.startswith("keras.") for one in (type(thing), function) if one is not None)


def _attended(spark: SparkSession, method: Literal["evaluate", "predict"], action: Callable[[], Any]) -> Any:
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


def _job(kind: Literal["evaluate", "predict"], spark: SparkSession, plan: Plan, model: Any) -> Job:
    encrypted = protection.encrypts_disks(spark)
    data = pickling.contents(model, [])
    payload = cluster.share(spark, data) if kind == "evaluate" else _kept(spark, data)
    return Job(kind, plan, payload, _NOWHERE, b"", cores=cluster.cores(spark), encrypted=encrypted)


#: The model that was sent last to predict with, by session, and its digest.
_sent: WeakKeyDictionary[Any, tuple[bytes, Shared]] = WeakKeyDictionary()


def _kept(spark: SparkSession, data: bytes) -> Shared:
    """A model for predictions, which nobody says the end of: it is sent again only where it has changed."""
    digest = hashlib.sha256(data).digest()
    before, payload = _sent.get(spark, (b"", None))
    if payload is None or digest != before:
        payload = cluster.share(spark, data)
        _sent[spark] = digest, payload
    return payload


def _results(rows: list[Any]) -> tuple[list[bytes], list[dict[str, Any]]]:
    """The packed metric states of the partitions, and what Keras has returned there."""
    nulls: dict[str, int] = {}
    states: dict[int, bytes] = {}
    logs = []
    for row in rows:
        kind, data = row["kind"], bytes(row["data"])
        if kind == "failure":
            event = json.loads(data)
            raise failures.of_worker(failures.from_event(event), event["rank"], event["host"])
        if kind == "nulls":
            for name, number in json.loads(data).items():
                nulls[name] = nulls.get(name, 0) + number
        if kind == "report":
            logs.append(arrays(json.loads(data)["logs"]))
        if kind == "bytes":
            states[row["rank"]] = states.get(row["rank"], b"") + data
    if nulls:
        raise DataError(nulls_message(nulls))
    if not states:
        raise DataError("the DataFrame has no rows to evaluate: df.count() is 0")
    return list(states.values()), logs


def _summed(model: Any, states: list[bytes]) -> dict[str, Any]:
    """The model's metrics with the summed states."""
    variables = model.metrics_variables
    model.reset_metrics()
    begun = [state.value(one) for one in variables]
    total = [one.astype(np.float64) for one in begun]
    for packed in states:
        state.assign(variables, packed)
        for index, variable in enumerate(variables):
            total[index] += state.value(variable).astype(np.float64) - begun[index]
    for variable, value in zip(variables, total, strict=True):
        variable.assign(value.astype(variable.dtype))
    return {key: state.plain(value) for key, value in model.get_metrics_result().items()}


def is_few(data: Any) -> bool:
    """Whether these are arrays of so few rows that Keras predicts them here before a Spark job would."""
    parts = keras.tree.flatten(data)
    return all(len(getattr(one, "shape", ())) > 0 and len(one) <= FEW for one in parts)


def predict_dataframe(
    plan: Plan, model: Any, df: DataFrame, inputs: list[Column], names: list[str], shapes: list[Shape]
) -> DataFrame:
    """The DataFrame with the model's outputs as further columns, computed when it is read.

    Args:
        plan: with the fields of the model's inputs.
        model: built.
        df: the user's DataFrame.
        inputs: a column for each of those fields.
        names: of the columns for the outputs.
        shapes: of the outputs per row.
    """
    kept, columns = len(df.columns), [*df.columns, *names]
    job = _job("predict", df.sparkSession, plan, model)

    def work(batches: Any) -> Any:
        return task.predict(job, columns, batches)

    schema = T.StructType([*df.schema.fields])
    for name, shape in zip(names, shapes, strict=True):
        kind: T.DataType = T.FloatType()
        for _ in range(_rank(shape)):
            kind = T.ArrayType(kind)
        schema = schema.add(name, kind)
    # mapInArrow looks columns up by name: one with a dot in it would be taken for a field of a struct.
    plain = [
        *(f"kept{index}" for index in range(kept)),
        *(PREFIX + one.name for one in plan.schema.features),
    ]
    return df.select("*", *inputs).toDF(*plain).coalesce(plan.workers).mapInArrow(work, schema)


def predict_arrays(plan: Plan, model: Any, df: DataFrame, shapes: list[Shape]) -> list[Any]:
    """The model's outputs for numbered rows as arrays, in the rows' order.

    Args:
        plan: with the fields of the model's inputs.
        model: built.
        df: one column per field, and ``order``.
        shapes: of the outputs per row.

    Raises:
        Aborted: an interrupt.
        TrainingError: an exception on a worker.
    """
    names = [f"output{index}" for index in range(len(shapes))]
    inputs = [df[one.name].alias(PREFIX + one.name) for one in plan.schema.features]
    predicted = predict_dataframe(
        plan, model, df.select(ORDER, *[one.name for one in plan.schema.features]), inputs, names, shapes
    )
    table = _attended(df.sparkSession, "predict", lambda: _arrow(predicted.select(ORDER, *names)))
    positions = np.argsort(table.column(ORDER).to_numpy())
    return [_stacked(table.column(name), shape)[positions] for name, shape in zip(names, shapes, strict=True)]


def _rank(shape: Shape) -> int:
    """The depth of an output's array per row, 0 for a single number."""
    return 0 if shape in ((), (1,)) else len(shape)


def _arrow(df: DataFrame) -> Any:
    """All rows as an Arrow table."""
    import pyarrow as pa

    return df.toArrow() if hasattr(df, "toArrow") else pa.Table.from_pandas(df.toPandas())


def _stacked(column: Any, shape: Shape) -> Any:
    rows, values = len(column), column.combine_chunks()
    for _ in range(_rank(shape)):
        values = values.flatten()
    return values.to_numpy(zero_copy_only=False).reshape(rows, *shape)
