"""Classes: labels that are words get numbers before a training."""

from __future__ import annotations

import numbers
from dataclasses import replace
from typing import Any

import keras
import numpy as np
from pyspark.sql import DataFrame, SparkSession

from nbkeras.data.kinds.classes import Classes
from nbkeras.data.names import listed
from nbkeras.data.rows import Rows
from nbkeras.driver import inference
from nbkeras.errors import DataError, OptionError
from nbkeras.plan import BALANCED
from nbkeras.schema import Field, Schema

#: More classes than this are no classes.
_MOST = 100_000
#: Losses to which a class of number 2 would be twice one of number 1.
_OF_AMOUNTS = (
    keras.losses.mean_squared_error,
    keras.losses.mean_absolute_error,
    keras.losses.mean_absolute_percentage_error,
    keras.losses.mean_squared_logarithmic_error,
    keras.losses.huber,
    keras.losses.log_cosh,
    keras.losses.poisson,
)
#: Times as many rows that a class has when another one is called rare.
_UNEVEN = 10


def numbered(
    spark: SparkSession, rows: Rows, known: Schema | None = None, *, goes_on: bool = False
) -> tuple[Rows, list[str]]:
    """Number the classes of labels that are words: as the training before, then in their sorted order.

    Returns:
        The rows, and notes of labels that have new or rare classes.

    Args:
        spark: the session.
        rows: of a DataFrame.
        known: the schema of the training, if there was one.
        goes_on: whether that training goes on, with whatever classes come.

    Raises:
        DataError: there are too many, or none.
    """
    before = {one.name: one.classes for one in (known.labels if known is not None else ())}
    fields, notes = [], []
    for one in rows.schema.fields:
        words, trained = one.classes, before.get(one.name, ())
        if one.kind == Classes.name:
            counts = _counts(spark, rows.df, one)
            # A folder of images has named its classes; others come in the order of their code points.
            words = (*words, *sorted(set(counts) - set(words)))
            if set(words) & set(trained) or (goes_on and trained):
                new = [word for word in words if word not in trained]
                words = (*trained, *new)
                notes += _new(one, new)
            notes += _uneven(one, counts)
        fields.append(replace(one, classes=words))
    return replace(rows, schema=replace(rows.schema, fields=tuple(fields))), notes


def of_training(rows: Rows, known: Schema | None) -> Rows:
    """Number the classes of labels that are words as in the training, to evaluate.

    Args:
        rows: of a DataFrame.
        known: the schema of the training, if there was one.

    Raises:
        OptionError: no training in this notebook knows the classes.
    """
    before = {one.name: one.classes for one in (known.labels if known is not None else ())}
    fields = []
    for one in rows.schema.fields:
        words = before.get(one.name, ()) or one.classes
        if one.kind == Classes.name and not words:
            raise OptionError(
                f"{one.title} is words, and the model was not trained on words in this notebook: "
                "load it with nbkeras.load_model, or give the numbers of the classes"
            )
        fields.append(replace(one, classes=words))
    return replace(rows, schema=replace(rows.schema, fields=tuple(fields)))


def require_alike(validation: Schema, train: Schema) -> None:
    """Check that labels to validate on are words where those to train on are.

    Raises:
        DataError: they are not.
    """
    kinds = {one.name: one.kind == Classes.name for one in train.labels}
    for one in validation.labels:
        if one.name in kinds and kinds[one.name] != (one.kind == Classes.name):
            have, had = ("words", "numbers") if one.kind == Classes.name else ("numbers", "words")
            raise DataError(
                f"{one.title} of validation_data is {have}, to train on it is {had}: give one kind"
            )


def require_fitting_loss(model: Any, schema: Schema) -> None:
    """Check that the loss of a model takes classes by their numbers, and as many as there are.

    Args:
        model: compiled.
        schema: of the rows.

    Raises:
        OptionError: it does not.
    """
    words = schema.labels[0].classes if len(schema.labels) == 1 and schema.y is None else ()
    if not words or not isinstance(model.loss, (str, keras.losses.Loss)):
        return
    loss = keras.losses.get(model.loss)
    function = getattr(loss, "fn", loss)
    if function is keras.losses.categorical_crossentropy:
        raise OptionError(
            f"{schema.labels[0].title} is words, which become the numbers of their classes, and the loss "
            "categorical_crossentropy takes arrays: compile with loss='sparse_categorical_crossentropy'"
        )
    if function in _OF_AMOUNTS and len(words) > 2:
        raise OptionError(
            f"{schema.labels[0].title} is words, which become the numbers of their {len(words)} classes, and "
            f"the loss {function.__name__} takes amounts: compile with loss='sparse_categorical_crossentropy'"
        )
    if function is keras.losses.binary_crossentropy and len(words) > 2:
        raise OptionError(
            f"{schema.labels[0].title} has {len(words)} classes ({listed(words[:8])}), and the loss "
            f"binary_crossentropy is for two: end the model with keras.layers.Dense({len(words)}, "
            "activation='softmax') and compile with loss='sparse_categorical_crossentropy'"
        )


def weights(spark: SparkSession, rows: Rows, class_weight: Any) -> dict[int, float] | None:
    """Class weights by the number of the class, from those that the user has given.

    Args:
        spark: the session.
        rows: to train on.
        class_weight: by number or word, or :data:`nbkeras.plan.BALANCED`.

    Raises:
        DataError: the labels are no classes.
        OptionError: a word is no class.
    """
    if not class_weight:
        return None
    (label,) = rows.schema.labels
    if class_weight == BALANCED:
        counts = _counts(spark, rows.df, label)
        total = sum(counts.values())
        class_weight = {key: total / (len(counts) * number) for key, number in counts.items()}
    strange = [one for one in class_weight if label.classes and one not in (*label.classes, *_numbers(label))]
    if strange:
        raise OptionError(
            f"class_weight names {strange[0]!r}, which is no class of {label.title}: "
            f"use {listed(label.classes[:8])}"
        )
    if words := [one for one in class_weight if not label.classes and isinstance(one, str)]:
        raise OptionError(f"class_weight names {words[0]!r}, and {label.title} is numbers: use these")
    if wrong := [one for one in class_weight.values() if not isinstance(one, numbers.Real)]:
        raise OptionError(f"class_weight holds {wrong[0]!r}: use a number for each class")
    places = {word: place for place, word in enumerate(label.classes)}
    return {places.get(key, key): float(value) for key, value in class_weight.items()}


def _numbers(label: Field) -> range:
    return range(len(label.classes))


def _counts(spark: SparkSession, df: DataFrame, field: Field) -> dict[Any, int]:
    """How many rows each class has, by its word or number."""
    grouped = df.select(field.name).dropna().groupBy(field.name).count().limit(_MOST + 1)
    table = inference.attended(spark, "adapt", lambda: inference.arrow(grouped))
    keys, numbers = (one.to_pylist() for one in table.columns)
    if keys and isinstance(keys[0], bytes):
        keys = [np.frombuffer(one, field.dtype).tolist() for one in keys]
        keys = [one[0] if len(one) == 1 else one for one in keys]
    if len(keys) > _MOST:
        raise DataError(
            f"label column {listed(field.sources)} holds more than {_MOST:,} different values, which are no "
            "classes: name another label, y='…'"
        )
    if any(isinstance(one, list) or (isinstance(one, float) and one != int(one)) for one in keys):
        raise DataError(
            f"{field.title} holds {keys[0]!r}, which is no class: class_weight={BALANCED!r} takes one class "
            "per row, as a whole number or a word"
        )
    return dict(zip(keys, numbers, strict=True))


def _new(field: Field, words: list[str]) -> list[str]:
    """A note where classes have come since the training before."""
    if not words:
        return []
    return [
        f"{field.title} has new classes, numbered behind those of the training before: {listed(words[:8])}"
    ]


def _uneven(field: Field, counts: dict[Any, int]) -> list[str]:
    """A note where the rarest class has far fewer rows than the most frequent one."""
    if not counts:
        return []
    rare, often = min(counts, key=counts.__getitem__), max(counts, key=counts.__getitem__)
    if counts[often] < _UNEVEN * counts[rare]:
        return []
    numbers = f"{counts[often]:,} rows of {often!r}, {counts[rare]:,} of {rare!r}"
    return [f"{field.title} is uneven: {numbers}; class_weight={BALANCED!r} lets all classes count alike"]
