"""Prediction: the model's outputs for a DataFrame, for arrays, or for a dataset's batches."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from pyspark.sql import DataFrame, SparkSession

from nbkeras.data import frames, stream
from nbkeras.data.columns import distinct
from nbkeras.data.converted import converted
from nbkeras.data.images import reading
from nbkeras.data.preprocessing.cut import Cut, cut
from nbkeras.data.rows import inputs
from nbkeras.data.sample import build, first_batch, outputs
from nbkeras.data.signature import signature
from nbkeras.data.source import Source
from nbkeras.driver import checks, inference
from nbkeras.driver.columns import class_names
from nbkeras.driver.scoring import one_image, returned, scored
from nbkeras.errors import DataError, OptionError
from nbkeras.job import archive
from nbkeras.model import batch, exactness
from nbkeras.model.reader import kind_of
from nbkeras.run import registry
from nbkeras.schema import WORDS, Schema
from nbkeras.spark.session import attached


def predict(
    spark: SparkSession | None,
    model: Any,
    data: Any,
    *,
    features: Any,
    output: str,
    batch_size: int | None,
    steps: int | None,
    classes: bool | Sequence[str],
    backend: str,
) -> Any:
    """Compute the model's outputs for all rows.

    Args:
        spark: the session; None for the active one, or a new local one.
        model: a Keras model.
        data, features, output, batch_size, steps, classes: as in :func:`nbkeras.predict`.
        backend: as given.

    Raises:
        Aborted: an interrupt.
        DataError: the data does not fit the model.
        OptionError: an argument does not fit the data.
    """
    if reading.is_one(data):
        return one_image.predicted(model, data, features, classes)
    if kind_of(data) is not None:
        return _of_dataset(spark, model, data, steps, backend)
    if steps is not None:
        raise OptionError(
            f"steps={steps} is for a dataset, which comes in batches: call predict without steps"
        )
    return _of_rows(spark, model, data, features, output, batch_size, classes, backend)


def _of_rows(
    spark: SparkSession | None,
    model: Any,
    data: Any,
    features: Any,
    output: str,
    batch_size: int | None,
    classes: bool | Sequence[str],
    backend: str,
) -> Any:
    """The outputs for a DataFrame or for arrays."""
    data, known = frames.held(data), registry.schema(model)
    by_name = _takes_columns(model, data, known, named=bool(classes) or features is not None)
    if classes and not by_name:
        raise OptionError(f"classes={classes!r} names those of a DataFrame's rows: give a DataFrame")
    if not by_name and inference.is_few(data) and checks.is_own(backend):
        # What is wrong with them is better said by the checks below.
        with contextlib.suppress(Exception):
            return inference.here(model).predict(converted(data), batch_size=batch_size, verbose=0)
    spark = attached(spark)
    trained = cut(model)
    source = Source(spark, model, features, known)
    taken = returned.taken(spark, data, source) if by_name else None
    rows = source.rows(data if taken is None else taken.df, () if by_name else None, None)
    rows = rows.behind(trained.graph)
    source.say_guessed(rows)
    build(trained.model, rows)
    if reason := inference.predicts_by_batch(trained.model, lambda: first_batch(rows, 4)):
        if not by_name:
            print(f"Predicting in the notebook, in Keras' own batches: {reason}.")  # noqa: T201  # no Spark job
            return inference.here(model).predict(converted(data), batch_size=batch_size, verbose=0)
        exactness.require_any_batches(model)
        print(f"Predicting in batches as Spark makes them: {reason}.")  # noqa: T201  # no result shows it
    structure = outputs(trained.model, rows)
    sample = [keras.ops.convert_to_numpy(one) for one in keras.tree.flatten(structure)]
    plan = inference.plan_of(spark, rows.trained, backend, batch_size=batch_size)
    job = inference.job_of("predict", spark, plan, trained, rows)
    if taken is not None:
        names = output_names(model, output, structure)
        wanted = dict(zip(names, scored.outcomes(sample), strict=True))
        if classes:
            wanted |= class_names.outcomes(model, names, sample, known, classes)
        distinct(taken.names, [*wanted])
        found = scored.dataframe(job, taken.sent, inputs(taken.df, rows), wanted)
        return taken.back(found, [*wanted])
    arrays = scored.arrays(job, rows.df, sample)
    return keras.tree.pack_sequence_as(structure, arrays)


def _takes_columns(model: Any, data: Any, known: Schema | None, *, named: bool) -> bool:
    """Whether a model is given the columns of a DataFrame by their names, and not an array as in Keras.

    So it is where the model was trained by names, and where no array could be made of the columns.

    Args:
        model: a Keras model.
        data: any.
        known: the schema of its training by columns, if there was one.
        named: whether columns or classes are named.
    """
    if isinstance(data, DataFrame) or frames.is_pandas_on_spark(data):
        return True
    taken = signature(model)
    if isinstance(data, dict):
        # Keras takes a dict by the names of the inputs.
        inputs_named = any(set(data) == set(names) for names in taken.names)
        return frames.holds_columns(data) and not inputs_named and (known is not None or named)
    if not frames.is_frame(data):
        return False
    words = any(one.dtype == WORDS for one in taken.inputs)
    return known is not None or named or words or len(taken.inputs) > 1 or frames.holds_objects(data)


def _of_dataset(spark: SparkSession | None, model: Any, data: Any, steps: int | None, backend: str) -> Any:
    """The outputs for the batches of a dataset, which the workers take in turn."""
    stream.require_end(data, steps, "steps")
    dataset = stream.Dataset(data)
    if not dataset.is_sent:
        print(inference.HERE.format("predict", dataset.reason))  # noqa: T201  # no Spark job
    elif reason := exactness.whole_batches(model):
        print(f"Predicting in the notebook, in Keras' own batches: {reason}.")  # noqa: T201  # no Spark job
    elif not (checks.is_own(backend) and _is_few(dataset, steps)):
        spark = attached(spark)
        rows = stream.made(spark, 1, dataset)
        build(model, rows)
        plan = inference.plan_of(spark, rows.schema, backend, validation_steps=steps)
        job = inference.job_of("predict", spark, plan, Cut(model), batches=dataset.sent)
        found, reports = inference.collected(spark, job, stream.stand_ins(spark, plan.workers))
        outputs = _in_turn([archive.load_values(one)[0] for one in found])
        dataset.go_on(reports[0]["shuffles"])
        return outputs
    with dataset.read_here() as read:
        return inference.here(model).predict(read, steps=steps, verbose=0)


def _is_few(dataset: stream.Dataset, steps: int | None) -> bool:
    """Whether Keras predicts these batches here before a Spark job would."""
    length = dataset.reader.length if steps is None else steps
    if length is None or length > inference.FEW or not (first := dataset.first()):
        return False
    return length * batch.rows(first[0]) <= inference.FEW


def _in_turn(found: list[dict[str, Any]]) -> Any:
    """The outputs of all batches in their order: each worker has those of every so many batches.

    Raises:
        DataError: there is no batch.
    """
    if not found:
        raise DataError("the dataset has no batch to predict: it ends before the first one")
    ends = [np.cumsum(one["rows"]) for one in found]
    places = sorted((at, rank) for rank, one in enumerate(found) for at in range(len(one["rows"])))

    def joined(*arrays: Any) -> Any:
        starts = [end - one["rows"] for end, one in zip(ends, found, strict=True)]
        return np.concatenate([arrays[rank][starts[rank][at] : ends[rank][at]] for at, rank in places])

    return keras.tree.map_structure(joined, *[one["outputs"] for one in found])


def output_names(model: Any, output: str, structure: Any) -> list[str]:
    """Name the columns of a prediction by the keys of a dict, else by the model's output names."""
    names = class_names.of_outputs(model, structure)
    return [output] if len(names) == 1 else [f"{output}_{name}" for name in names]
