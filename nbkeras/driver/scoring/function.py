"""A model as a function of columns, for SQL and for DataFrames."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import keras
import pyarrow as pa
from pyspark.sql import Column, SparkSession

from nbkeras.data import sample
from nbkeras.data.arguments import Arguments
from nbkeras.data.kinds.array import Array
from nbkeras.data.kinds.text import Text
from nbkeras.data.names import listed
from nbkeras.data.preprocessing.cut import cut
from nbkeras.data.rows import Rows
from nbkeras.data.signature import Input, Signature, signature
from nbkeras.driver import inference
from nbkeras.driver.columns import class_names
from nbkeras.driver.scoring import scored
from nbkeras.driver.scoring.predict import output_names
from nbkeras.errors import ModelError, OptionError
from nbkeras.job.outcome import Outcome
from nbkeras.model import exactness
from nbkeras.run import registry
from nbkeras.schema import WORDS, Field, Schema
from nbkeras.spark.session import attached
from nbkeras.worker import predict

#: What a function can give.
OUTPUTS = ("prediction", "class", "probability", "both")


def function(
    spark: SparkSession | None,
    model: Any,
    name: str | None,
    *,
    output: str,
    features: Sequence[str] | None,
    classes: Sequence[str] | None,
    batch_size: int | None,
    backend: str,
) -> Callable[..., Column]:
    """Make a model a function of columns.

    Args:
        spark: the session; None for the active one, or a new local one.
        model, name, output, features, classes, batch_size, backend: as in :func:`nbkeras.function`.

    Raises:
        DataError: the classes are of another number than the outputs.
        ModelError: the model does not say what it takes, or needs more than a row.
        OptionError: an argument has an invalid value.
    """
    title = "the function" if name is None else name
    if name is not None and not str(name).isidentifier():
        raise OptionError(f"name={name!r}: use a name of letters, digits and _ for SQL, such as 'score'")
    if output not in OUTPUTS:
        raise OptionError(f"output={output!r}: use one of {listed(OUTPUTS)}")
    spark = attached(spark)
    known = registry.schema(model)
    fields, names = _fields(model, known)
    arguments = Arguments(title, fields, *_ordered(names, features))
    trained = cut(model)
    # No row is read: those that stand in are made of what the model takes.
    rows = Rows(spark.range(0), Schema(fields, signature(model).nested)).behind(trained.graph)
    _require_rows(trained.model, rows)
    plan = inference.plan_of(spark, rows.trained, backend, batch_size=batch_size)
    wanted = _wanted(model, trained.model, rows, known, output, classes)
    job = inference.job_of("predict", spark, plan, trained, rows)

    def work(batches: Iterator[pa.Array]) -> Iterator[pa.Array]:
        tuples = (one if isinstance(one, tuple) else (one,) for one in batches)
        return predict.alone(job, wanted, map(arguments.columns, tuples))

    made = scored.function(spark, work, scored.spark_type(wanted), streams=True)
    if name is not None:
        spark.udf.register(name, made)

    @functools.wraps(made, assigned=(), updated=())
    def score(*columns: Column | str) -> Column:
        arguments.require(len(columns))
        found: Column = made(*columns)
        return found

    score.__name__ = name or "score"
    score.__doc__ = f"What {model.name} predicts for {listed(arguments.names)}: {output}."
    return score


def _fields(model: Any, known: Schema | None) -> tuple[tuple[Field, ...], tuple[str, ...]]:
    """The fields of the model's inputs, and the names of the arguments.

    Raises:
        ModelError: the model does not say what it takes, or takes windows of rows.
    """
    if known is not None and known.windows is not None:
        raise ModelError(
            "the model takes windows of rows that follow each other, and a function of columns is given one "
            "row: use nbkeras.predict(model, df)"
        )
    if padded := [one.sources[0] for one in (known.features if known else ()) if one.padding is not None]:
        raise ModelError(
            f"the model was trained on sequences that are padded ({listed(padded)}), and a function of "
            "columns pads none: use nbkeras.predict(model, df)"
        )
    if known is not None:
        fields = tuple(_sent(one) for one in known.features)
    else:
        taken: Signature = signature(model)
        fields = tuple(_field(f"x{place}", one) for place, one in enumerate(taken.inputs))
    if any(one.shape is None or one.dtype is None for one in fields):
        raise ModelError(
            "the model does not say which shapes it takes: begin it with keras.Input, or train it first"
        )
    return fields, tuple(name for one in fields for name in one.sources)


def _sent(one: Field) -> Field:
    """A field of a training, in the encoding of arguments, whose types are not known yet."""
    if one.image is not None:
        return one
    return replace(one, kind=Text.name if one.dtype == WORDS else Array.name)


def _field(name: str, one: Input) -> Field:
    source = one.key or one.name
    kind = Text.name if one.dtype == WORDS else Array.name
    return Field(name, (source,), f"model input '{source}'", one.dtype, one.shape, kind)


def _ordered(
    names: tuple[str, ...], features: Sequence[str] | None
) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """The names of the arguments in the order that is asked for, and the place of each of the model's.

    Raises:
        OptionError: they are other names.
    """
    if features is None:
        return names, ()
    given = (features,) if isinstance(features, str) else tuple(features)
    if len(names) == 1:
        return given, ()  # Names of the numbers of the only input.
    if sorted(given) != sorted(names):
        raise OptionError(f"features={[*given]!r}: name each of {listed(names)} once, in your order")
    return given, tuple(given.index(name) for name in names)


def _require_rows(model: Any, rows: Rows) -> None:
    """Refuse a model that is not built, or needs more than a row; say where rows depend on their batch.

    Raises:
        ModelError: it is not built, or takes batches of Keras' own.
    """
    if not model.built:
        raise ModelError("the model is not built: begin it with keras.Input, or train it first")
    if reason := inference.predicts_by_batch(model, lambda: sample.stand_ins(rows, 4)):
        exactness.require_any_batches(model)
        print(f"Predicting in batches as Spark makes them: {reason}.")  # noqa: T201  # no result shows it


def _wanted(
    model: Any, trained: Any, rows: Rows, known: Schema | None, output: str, classes: Sequence[str] | None
) -> Mapping[str, Outcome]:
    """What the function gives, by the names in its struct."""
    structure = sample.outputs(trained, rows)
    arrays = [keras.ops.convert_to_numpy(one) for one in keras.tree.flatten(structure)]
    names = output_names(model, "prediction", structure)
    if output == "prediction":
        if classes is not None:
            raise OptionError(
                f"classes={classes!r} names what output='class', 'probability' or 'both' gives: say which"
            )
        return dict(zip(names, scored.outcomes(arrays), strict=True))
    found = class_names.outcomes(model, names, arrays, known, True if classes is None else classes)
    found = {key: one for key, one in found.items() if output in ("both", one.gives)}
    # Without several outputs, their name says nothing.
    return {key.removeprefix("prediction_"): one for key, one in found.items()}
