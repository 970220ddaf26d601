"""What a report asks of a model: by its loss, its output, and the classes that it was trained on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import keras

from nbkeras.data.names import listed
from nbkeras.driver.columns import class_names
from nbkeras.errors import DataError, OptionError
from nbkeras.metrics.question import Question
from nbkeras.schema import Field, Schema

Task = Literal["classification", "labels", "regression"]
#: Losses of classes, by what is left of their names.
_CLASSES = ("sparse_categorical_crossentropy", "categorical_crossentropy", "categorical_focal_crossentropy")
_ADVICE = "give the model's loss from_logits=True, or its last layer a softmax or a sigmoid"
_YES_OR_NO = ("binary_crossentropy", "binary_focal_crossentropy")


@dataclass(frozen=True)
class Named:
    """A question, and the names of its classes, labels or amounts."""

    question: Question
    names: tuple[str, ...]


def of_model(
    model: Any,
    place: int,
    sample: Any,
    label: Field,
    schema: Schema | None,
    *,
    task: str | None,
    classes: Sequence[str] | None,
    threshold: float,
) -> Named:
    """What is asked of one output of a model.

    Args:
        model: built.
        place: of the output.
        sample: the output for one row.
        label: the field of its labels.
        schema: of the training, which knows the classes.
        task, classes, threshold: as in :func:`nbkeras.report`.

    Raises:
        DataError: the output is neither a number nor a vector a row, or there are other classes.
    """
    require_task(task)
    if sample.ndim > 2:  # rows and numbers
        raise DataError(
            f"the model gives an array of shape {sample.shape[1:]} for each row, and a report takes one "
            "number or one vector: predict, and report on a column of these"
        )
    units = 1 if sample.ndim == 1 else int(sample.shape[1])
    logits = class_names.gives_logits(model, place)
    chosen = task or task_of(model, place, units)
    trained = class_names.of_output(model, schema, place) or label.classes
    if trained and classes and tuple(classes) != trained:
        raise DataError(
            f"{label.title} is words, which the model was trained on as {listed(trained[:8])}: leave out "
            "classes="
        )
    found = named(
        chosen, units, tuple(classes or trained), logits=logits, threshold=threshold, title=label.title
    )
    return replace(found, question=replace(found.question, advice=_ADVICE))


def require_task(task: str | None) -> None:
    """Refuse what is no task.

    Raises:
        OptionError: it is none.
    """
    if task is not None and task not in get_args(Task):
        raise OptionError(f"task={task!r}: use {', '.join(map(repr, get_args(Task)))}, or leave it out")


def named(
    task: Any, units: int, known: tuple[str, ...], *, logits: bool, threshold: float, title: str
) -> Named:
    """Name the classes, labels or amounts of predictions.

    Args:
        task: as in :func:`nbkeras.report`.
        units: numbers of a prediction.
        known: names; empty for their numbers.
        logits, threshold, title: as in :class:`nbkeras.metrics.question.Question`.

    Raises:
        DataError: there are other names than numbers.
    """
    number = 2 if task == "classification" and units == 1 else units
    names = known or tuple(map(str, range(number)))
    if task != "regression" and len(names) != number:
        raise DataError(
            f"there are {len(names)} classes ({listed(names[:8])}), and the predictions have {units} numbers "
            f"a row: give classes=[…] with {number} names"
        )
    return Named(Question(task, number, logits=logits, threshold=threshold, title=title), names)


def task_of(model: Any, place: int, units: int) -> Task:
    """The task by the loss that an output is trained with, else by what makes the last layer's output."""
    loss = re.sub(r"(?<!^)(?=[A-Z])", "_", _loss_name(model, place)).lower()
    if loss in _CLASSES:
        return "classification"
    if loss in _YES_OR_NO:
        return "classification" if units == 1 else "labels"
    layers = getattr(model, "layers", None)
    last = layers[-1] if layers else None
    function = getattr(getattr(last, "activation", None), "__name__", type(last).__name__.lower())
    if function == "softmax":
        return "classification"
    if function == "sigmoid":
        return "classification" if units == 1 else "labels"
    return "regression"


def _loss_name(model: Any, place: int) -> str:
    """The name of the loss of an output; empty where the model is not compiled."""
    loss = class_names.of_place(model, getattr(model, "loss", None), place)
    if loss is None:
        return ""
    if isinstance(loss, str):
        return str(getattr(keras.losses.get(loss), "__name__", loss))
    if isinstance(loss, keras.losses.Loss):
        return type(loss).__name__
    return str(getattr(loss, "__name__", type(loss).__name__))
