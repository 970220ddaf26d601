"""Names of classes: a prediction gets the word of its class, and its probability."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from nbkeras.data.names import listed
from nbkeras.errors import DataError, OptionError
from nbkeras.job.outcome import Outcome
from nbkeras.schema import Field, Schema


def outcomes(
    model: Any, outputs: Sequence[str], sample: list[Any], schema: Schema | None, classes: Any
) -> dict[str, Outcome]:
    """The class and its probability of each output that gives classes, by the names of their columns.

    Args:
        model: that predicts.
        outputs: their names.
        sample: the outputs for one row.
        schema: of the training, which knows the classes; None without one.
        classes: their names in order; True for those of the training.

    Raises:
        DataError: their number is not that of the outputs.
        OptionError: no training in this notebook knows the classes.
    """
    if classes is not True and not all(isinstance(one, str) for one in classes):
        raise OptionError(f"classes={classes!r}: use words, in the order of the numbers of their classes")
    found = {}
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
        logits = gives_logits(model, place)
        for gives in ("class", "probability"):
            found[f"{name}_{gives}"] = Outcome(place, gives, words=words, logits=logits)
    if not found:
        raise OptionError(
            "the model was not trained on labels that are words in this notebook: give the names of its "
            "classes, in the order of their numbers, classes=['…', '…']"
        )
    return found


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
