"""Prediction: the model's outputs for a DataFrame, for arrays, or for a dataset's batches."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from pyspark.sql import SparkSession

from nbkeras.data import stream
from nbkeras.data.columns import distinct
from nbkeras.data.images import reading
from nbkeras.data.preprocessing.cut import Cut, cut
from nbkeras.data.rows import inputs
from nbkeras.data.sample import build, first_batch, outputs
from nbkeras.data.signature import signature
from nbkeras.data.source import Source, data_frame, holds_objects, in_pandas, is_frame, names_columns
from nbkeras.driver import checks, class_names, inference, one_image, predicted
from nbkeras.errors import DataError, OptionError
from nbkeras.job import archive
from nbkeras.model import batch, exactness
from nbkeras.model.reader import kind_of
from nbkeras.run import registry
from nbkeras.schema import WORDS
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
    # Arrays of words and numbers would be one array of objects.
    words = any(one.dtype == WORDS for one in signature(model).inputs)
    held = in_pandas(data)
    mixed = is_frame(data) and (bool(classes) or words or holds_objects(held))
    by_name = mixed or names_columns(data, ())
    if classes and not by_name:
        raise OptionError(f"classes={classes!r} names those of a DataFrame's rows: give a DataFrame")
    if not by_name and inference.is_few(data) and checks.is_own(backend):
        # What is wrong with them is better said by the checks below.
        with contextlib.suppress(Exception):
            return inference.here(model).predict(data, batch_size=batch_size, verbose=0)
    spark = attached(spark)
    trained = cut(model)
    source = Source(spark, model, features, registry.schema(model))
    data = data_frame(spark, held) if by_name else held
    rows = source.rows(data, () if by_name else None, None).behind(trained.graph)
    source.say_guessed(rows)
    build(trained.model, rows)
    if reason := inference.predicts_by_batch(trained.model, lambda: first_batch(rows, 4)):
        if not by_name:
            print(f"Predicting in the notebook, in Keras' own batches: {reason}.")  # noqa: T201  # no Spark job
            return inference.here(model).predict(data, batch_size=batch_size, verbose=0)
        exactness.require_any_batches(model)
        print(f"Predicting in batches as Spark makes them: {reason}.")  # noqa: T201  # no result shows it
    structure = outputs(trained.model, rows)
    sample = [keras.ops.convert_to_numpy(one) for one in keras.tree.flatten(structure)]
    plan = inference.plan_of(spark, rows.trained, backend, batch_size=batch_size)
    job = inference.job_of("predict", spark, plan, trained, rows)
    if by_name:
        names = output_names(model, output, structure)
        wanted = dict(zip(names, predicted.outcomes(sample), strict=True))
        if classes:
            wanted |= class_names.outcomes(model, names, sample, registry.schema(model), classes)
        distinct(data, [*wanted])
        return predicted.dataframe(job, data, inputs(data, rows), wanted)
    arrays = predicted.arrays(job, rows.df, sample)
    return keras.tree.pack_sequence_as(structure, arrays)


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
