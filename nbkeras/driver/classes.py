"""Classes: labels that are words get numbers before a training, and predictions get the words back."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import keras
import numpy as np
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from nbkeras.data.columns import distinct
from nbkeras.data.kinds.classes import Classes
from nbkeras.data.names import listed, quoted
from nbkeras.data.rows import Rows
from nbkeras.driver import inference
from nbkeras.errors import DataError, OptionError
from nbkeras.plan import BALANCED
from nbkeras.schema import Field, Schema

#: More classes than this are no classes.
_MOST = 100_000
#: Times as many rows that a class has when another one is called rare.
_UNEVEN = 10


def numbered(spark: SparkSession, rows: Rows, known: Schema | None = None) -> tuple[Rows, list[str]]:
    """Number the classes of labels that are words: as the training before, then in their sorted order.

    Returns:
        The rows, and notes of labels that have new or rare classes.

    Args:
        spark: the session.
        rows: of a DataFrame.
        known: the schema of the training, if there was one.

    Raises:
        DataError: there are too many, or none.
    """
    before = {one.name: one.classes for one in (known.labels if known is not None else ())}
    fields, notes = [], []
    for one in rows.schema.fields:
        words = one.classes
        if one.kind == Classes.name and not words:
            counts, trained = _counts(spark, rows.df, one), before.get(one.name, ())
            # In the order of their code points.
            words, new = tuple(sorted(counts)), sorted(set(counts) - set(trained))
            if set(counts) & set(trained):
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
        words = one.classes or before.get(one.name, ())
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


def named(
    df: DataFrame, model: Any, outputs: Sequence[str], sample: list[Any], schema: Schema | None, classes: Any
) -> DataFrame:
    """Add the class and its probability to predictions.

    Args:
        df: with the predictions.
        model: that has made them.
        outputs: names of their columns.
        sample: the outputs for one row.
        schema: of the training, which knows the classes; None without one.
        classes: their names in order; True for those of the training.

    Raises:
        DataError: their number is not that of the outputs.
        OptionError: no training in this notebook knows the classes.
    """
    if classes is not True and not all(isinstance(one, str) for one in classes):
        raise OptionError(f"classes={classes!r}: use words, in the order of the numbers of their classes")
    for place, (name, one) in enumerate(zip(outputs, sample, strict=True)):
        words = _of_output(model, schema, place) if classes is True else tuple(classes)
        if not words:
            continue
        units = 1 if one.ndim < 2 else one.shape[-1]
        if len(words) != max(units, 2) or one.ndim > 2:
            raise DataError(
                f"there are {len(words)} classes ({listed(words[:8])}), and the output '{name}' has {units} "
                f"numbers for a row: give classes=[…] with {max(units, 2)} names"
            )
        distinct(df, (f"{name}_class", f"{name}_probability"))
        chosen, probability = _best(F.col(quoted(name)), words, units, logits=_gives_logits(model, place))
        df = df.withColumns({f"{name}_class": chosen, f"{name}_probability": probability})
    if all(one not in df.columns for one in (f"{name}_class" for name in outputs)):
        raise OptionError(
            "the model was not trained on labels that are words in this notebook: give the names of its "
            "classes, in the order of their numbers, nbkeras.predict(…, classes=['…', '…'])"
        )
    return df


def _of_output(model: Any, schema: Schema | None, place: int) -> tuple[str, ...]:
    """The classes of the labels of one output."""
    if schema is None or not schema.labels:
        return ()
    names: Any = schema.y if schema.y is not None else (schema.labels[0].name,)
    if isinstance(names, dict):
        name = next((names[key] for key in _keys(model, place) if key in names), None)
    else:
        name = names[place] if place < len(names) else None
    return next((one.classes for one in schema.labels if one.name == name), ())


def _keys(model: Any, place: int) -> list[str]:
    """The names by which losses and labels may be given for an output."""
    outputs = getattr(model, "_outputs_struct", None)
    own = [path[0] for path, _ in keras.tree.flatten_with_path(outputs)] if isinstance(outputs, dict) else []
    return [keys[place] for keys in (own, getattr(model, "output_names", None) or []) if place < len(keys)]


def _gives_logits(model: Any, place: int) -> bool:
    """Whether an output is trained by a loss that takes logits."""
    loss = getattr(model, "loss", None)
    if isinstance(loss, dict):
        loss = next((loss[key] for key in _keys(model, place) if key in loss), None)
    elif isinstance(loss, (list, tuple)):
        loss = loss[place] if place < len(loss) else None
    return bool(getattr(loss, "from_logits", False) or getattr(loss, "_fn_kwargs", {}).get("from_logits"))


def _best(value: Column, words: Sequence[str], units: int, *, logits: bool) -> tuple[Column, Column]:
    """The class of the highest probability, the first of equals, and that probability."""
    if units == 1:
        high = F.lit(1) / (F.lit(1) + F.exp(-value)) if logits else value.cast("double")
        # As Keras' BinaryAccuracy.
        second = high > 0.5
        chosen = F.when(second, words[1]).otherwise(words[0])
        return chosen, F.when(second, high).otherwise(1 - high)
    most = F.array_max(value)
    chosen = F.get(F.array(*map(F.lit, words)), (F.array_position(value, most) - 1).cast("int"))
    if not logits:
        return chosen, most.cast("double")
    total = F.aggregate(
        value, F.lit(0.0), lambda sofar, one: sofar + F.exp(one.cast("double") - most.cast("double"))
    )
    return chosen, 1 / total
