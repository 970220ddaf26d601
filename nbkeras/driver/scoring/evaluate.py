"""Evaluation: each worker evaluates its own rows, and the states of the metrics are added up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from pyspark.sql import DataFrame, SparkSession

from nbkeras.data import stream
from nbkeras.data.preprocessing.cut import Cut, cut
from nbkeras.data.rows import Rows, apart, in_order
from nbkeras.data.sample import build, build_metrics, first_batch
from nbkeras.data.source import Given, Source
from nbkeras.data.windows import starts
from nbkeras.driver import inference
from nbkeras.driver.columns import classes
from nbkeras.errors import DataError, OptionError
from nbkeras.job.job import Job
from nbkeras.model import additivity, exactness, state
from nbkeras.model.reader import kind_of
from nbkeras.run import registry
from nbkeras.run.curves import arrays
from nbkeras.spark.session import attached


def evaluate(
    spark: SparkSession | None,
    model: Any,
    given: Given,
    *,
    batch_size: int | None,
    steps: int | None,
    backend: str,
) -> dict[str, Any]:
    """Compute loss and metrics over all rows, by name.

    Args:
        spark: the session; None for the active one, or a new local one.
        model: compiled.
        given: the data.
        batch_size, steps: as in :func:`nbkeras.evaluate`.
        backend: of the workers.

    Raises:
        Aborted: an interrupt.
        DataError: the data does not fit the model, holds nulls or no rows.
        OptionError: an argument does not fit the data.
        TrainingError: an exception on a worker.
        WorkerLost: a worker was lost, and another one when it was done once more.
    """
    if kind_of(given.data) is None:
        return _of_rows(attached(spark), model, given, batch_size, steps, backend)
    dataset = stream.Dataset(given.data)
    if not dataset.is_sent:
        print(inference.HERE.format("evaluate", dataset.reason))  # noqa: T201  # no Spark job
        results: dict[str, Any] = inference.here(model).evaluate(
            given.data, steps=steps, verbose=0, return_dict=True
        )
        return results
    return _of_batches(attached(spark), model, given, dataset, steps, backend)


def _of_rows(
    spark: SparkSession, model: Any, given: Given, batch_size: int | None, steps: int | None, backend: str
) -> dict[str, Any]:
    if steps is not None:
        raise OptionError(
            f"steps={steps} is for a dataset, which comes in batches: call evaluate without steps"
        )
    trained = cut(model)
    known = registry.schema(model)
    source = Source(spark, model, given.features, known)
    rows = source.labelled(given.data, given.y, given.sample_weight, "test_step").behind(trained.graph)
    rows = classes.of_training(rows, known)
    source.say_guessed(rows)
    reason = _together(trained.model, rows)
    plan = inference.plan_of(spark, rows.trained, backend, alone=bool(reason), batch_size=batch_size)
    job = inference.job_of("evaluate", spark, plan, trained, rows)
    return _evaluated(spark, job, trained.model, in_order(rows) if reason else apart(rows, plan.workers))


def _of_batches(
    spark: SparkSession, model: Any, given: Given, dataset: stream.Dataset, steps: int | None, backend: str
) -> dict[str, Any]:
    stream.require_end(given.data, steps, "steps")
    rows = stream.made(spark, 1, dataset, given.y, given.sample_weight)
    reason = _together(model, rows)
    plan = inference.plan_of(spark, rows.schema, backend, alone=bool(reason), validation_steps=steps)
    job = inference.job_of("evaluate", spark, plan, Cut(model), batches=dataset.sent)
    return _evaluated(spark, job, model, stream.stand_ins(spark, plan.workers), dataset)


def _together(model: Any, rows: Rows) -> str:
    """Build the model; why one worker has to evaluate all rows."""
    build(model, rows)
    build_metrics(model, rows)
    if reason := coupled(model, lambda: first_batch(rows, 4)):
        print(f"Evaluating on one worker: {reason}.")  # noqa: T201  # says why it takes longer
    return reason


def _evaluated(
    spark: SparkSession, job: Job, model: Any, df: DataFrame, dataset: stream.Dataset | None = None
) -> dict[str, Any]:
    """Sum the metric states of the partitions, and never average results."""
    states, reports = inference.collected(spark, job, df)
    if not states:
        schema = job.plan.schema
        none = "the DataFrame has no rows to evaluate: give at least one"
        raise DataError(none if schema.windows is None else starts.none(schema))
    if dataset is not None:
        dataset.go_on(reports[0]["shuffles"])
    if not has_own_test_step(model):
        return summed(model, states)
    state.assign(model.metrics_variables, states[0])
    return arrays(reports[0]["logs"])


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


def summed(model: Any, states: list[bytes]) -> dict[str, Any]:
    """Compute the metrics of a model from states that are added up.

    Args:
        model: compiled and built, with its metrics.
        states: of each part of the rows, from :func:`nbkeras.model.state.pack`.
    """
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
