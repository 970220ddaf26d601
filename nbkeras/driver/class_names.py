"""Names of classes: a prediction gets the word of its class, and its probability."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from nbkeras.data.columns import distinct
from nbkeras.data.names import listed, quoted
from nbkeras.errors import DataError, OptionError
from nbkeras.schema import Field, Schema


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
        words = of_output(model, schema, place) if classes is True else tuple(classes)
        if not words:
            continue
        units = 1 if one.ndim < 2 else one.shape[-1]
        if len(words) != max(units, 2) or one.ndim > 2:
            raise DataError(
                f"there are {len(words)} classes ({listed(words[:8])}), and the output '{name}' has {units} "
                f"numbers for a row: give classes=[…] with {max(units, 2)} names"
            )
        distinct(df, (f"{name}_class", f"{name}_probability"))
        chosen, probability = _best(F.col(quoted(name)), words, units, logits=gives_logits(model, place))
        df = df.withColumns({f"{name}_class": chosen, f"{name}_probability": probability})
    if all(one not in df.columns for one in (f"{name}_class" for name in outputs)):
        raise OptionError(
            "the model was not trained on labels that are words in this notebook: give the names of its "
            "classes, in the order of their numbers, nbkeras.predict(…, classes=['…', '…'])"
        )
    return df


def of_output(model: Any, schema: Schema | None, place: int) -> tuple[str, ...]:
    """The classes of the labels of one output of a model; none where they are not words."""
    label = label_of(model, schema, place)
    return () if label is None else label.classes


def label_of(model: Any, schema: Schema | None, place: int) -> Field | None:
    """The field of the labels of one output of a model."""
    if schema is None or not schema.labels:
        return None
    names: Any = schema.y if schema.y is not None else (schema.labels[0].name,)
    name = of_place(model, names, place)
    return next((one for one in schema.labels if one.name == name), None)


def of_place(model: Any, given: Any, place: int) -> Any:
    """What is given for one output of a model: by name, in the order of the outputs, or for all."""
    if isinstance(given, dict):
        return next((given[key] for key in _keys(model, place) if key in given), None)
    if isinstance(given, (list, tuple)):
        return given[place] if place < len(given) else None
    return given


def of_outputs(model: Any, structure: Any) -> list[str]:
    """The names of a model's outputs: the keys of a dict, else those of the layers that make them."""
    paths = [path for path, _ in keras.tree.flatten_with_path(structure)]
    names = getattr(model, "output_names", None)
    if isinstance(structure, (list, tuple)) and names is not None and len(names) == len(paths):
        return list(names)
    return ["_".join(map(str, path)) for path in paths]


def _keys(model: Any, place: int) -> list[str]:
    """The names by which losses and labels may be given for an output."""
    outputs = getattr(model, "_outputs_struct", None)
    own = [path[0] for path, _ in keras.tree.flatten_with_path(outputs)] if isinstance(outputs, dict) else []
    return [keys[place] for keys in (own, getattr(model, "output_names", None) or []) if place < len(keys)]


def gives_logits(model: Any, place: int) -> bool:
    """Whether an output is trained by a loss that takes logits."""
    loss = of_place(model, getattr(model, "loss", None), place)
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
    # Spark 3.5 has a function of Python for numbers that are known before alone.
    place = F.call_function("array_position", value, most)
    chosen = F.get(F.array(*map(F.lit, words)), (place - 1).cast("int"))
    if not logits:
        return chosen, most.cast("double")
    total = F.aggregate(
        value, F.lit(0.0), lambda sofar, one: sofar + F.exp(one.cast("double") - most.cast("double"))
    )
    return chosen, 1 / total
