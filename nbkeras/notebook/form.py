"""The form: a network described by a few fields, and the design that they come to."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Protocol

from nbkeras.builder import frames, front, presets
from nbkeras.builder.design import FITTING, OPTIMIZERS, Design
from nbkeras.builder.given import in_spark, kind_of
from nbkeras.builder.table import Table, Task, task, values_of
from nbkeras.errors import OptionError

#: What the form offers, each with what is learnt.
TASKS: dict[str, Task | None] = {
    "as the label says": None,
    "two classes": "binary",
    "classes": "classes",
    "a number": "regression",
}
#: Columns that a form lists; of more they are written.
_LISTED = 40
#: All columns that would be ticked.
_ALL = "all"


class Fields(Protocol):
    """A form on the screen: each call draws a field and gives what stands in it."""

    def text(self, name: str, default: str) -> str:
        """A line of text."""

    def choice(self, name: str, options: Sequence[str], default: str) -> str:
        """One of several."""

    def choices(self, name: str, options: Sequence[str], default: Sequence[str]) -> list[str]:
        """Any of several."""


@dataclass(frozen=True)
class Answers:
    """What the form says.

    Attributes:
        design: the network and what it learns from.
        workers: as typed.
        train: whether the box is ticked.
    """

    design: Design
    workers: str
    train: bool


def ask(df: Any, name: str, fields: Fields) -> Answers:
    """Draw the form of a DataFrame and read it.

    Args:
        df: a DataFrame; this reads a few of its rows, and the values of the label.
        name: of its variable.
        fields: where the form is drawn.

    Raises:
        DataError: it has no two columns that a network could take.
        OptionError: a field holds what cannot be.
    """
    kind, df = kind_of(df), in_spark(df)
    table = Table.of(df, name)
    label = _label(fields, table)
    learn = fields.choice("Learn", list(TASKS), next(iter(TASKS)))
    others = table.features(label)
    proposed = cache(partial(frames.encodings, df))
    guessed = front.guessed(table, label, proposed)
    ticked = _ticked(fields, others, guessed)
    preset = fields.choice("Network", list(presets.PRESETS), front.fitting(table, guessed, proposed))
    layers = fields.text("Hidden layers", "64, 32")
    optimizer = fields.choice("Optimizer", list(OPTIMIZERS), OPTIMIZERS[0])
    rate = fields.text("Learning rate", "0.001")
    batch_size = fields.text("Batch size", "32")
    epochs = fields.text("Epochs", "10")
    workers = fields.text("Workers", "auto")
    train = bool(fields.choices("Train", ["Train"], []))
    # Only now that the form is whole on the screen may something be wrong with it.
    if label not in table.labels:
        raise OptionError(f"Label: {name} has no column {label!r} with one number or word a row")
    if strange := [column for column in ticked if column not in others]:
        raise OptionError(
            f"Features: {name} has no column {strange[0]!r} to learn from: write {_ALL}, or names with commas"
        )
    features = [column for column in others if column in set(ticked)]
    learns_itself = preset == presets.OWN
    if learn not in TASKS:
        raise OptionError(f"Learn: takes one of {', '.join(TASKS)}; got {learn!r}")
    if preset not in presets.PRESETS:
        raise OptionError(f"Network: takes one of {', '.join(presets.PRESETS)}; got {preset!r}")
    taken = front.taken(table, features, preset, proposed, learnt=learns_itself)
    if optimizer not in OPTIMIZERS:
        raise OptionError(f"Optimizer: takes one of {', '.join(OPTIMIZERS)}; got {optimizer!r}")
    learnt: Task = "input"
    outputs = math.prod(taken.shape)
    if not learns_itself:
        (column,) = table.chosen([label])
        learnt, outputs = task(values_of(df, label), label, TASKS[learn], column.holds == "words")
    answer = presets.last(learnt, outputs)
    sizes = _sizes(layers)  # only a dense network uses them, but errors in them are always reported
    made = presets.PRESETS[preset]
    make = partial(presets.mlp, units=sizes) if made is presets.mlp else made
    losses, metrics = FITTING[learnt]
    design = Design(
        name,
        None if learnt == "input" else label,
        tuple(features),
        make(taken.shape, answer),
        losses[0],
        metrics[:1],
        optimizer,
        learning_rate=_rate(rate),
        batch_size=count("Batch size", batch_size),
        epochs=count("Epochs", epochs),
        inputs=taken.inputs,
        depth=taken.depth,
        nulls=taken.nulls,
        kind=kind,
    )
    return Answers(design, workers, train)


def _label(fields: Fields, table: Table) -> str:
    guess = table.guess_label()
    if len(table.labels) <= _LISTED:
        return fields.choice("Label", table.labels, guess)
    return fields.text("Label", guess).strip()


def _ticked(fields: Fields, others: Sequence[str], guessed: Sequence[str]) -> Sequence[str]:
    if len(others) <= _LISTED:
        return fields.choices("Features", others, guessed)
    typed = fields.text("Features", _ALL).strip()
    return guessed if typed == _ALL else [one.strip() for one in typed.split(",") if one.strip()]


def count(name: str, typed: str, example: str = "10") -> int:
    """A whole number from 1 out of a field.

    Raises:
        OptionError: it is none.

    Example:
        >>> count("Epochs", " 10 ")
        10
    """
    if not typed.strip().isdecimal() or int(typed) < 1:
        raise OptionError(f"{name}: takes whole numbers from 1, such as {example}; got {typed!r}")
    return int(typed)


def _sizes(typed: str) -> tuple[int, ...]:
    return tuple(count("Hidden layers", one, "64, 32") for one in re.split(r"[,\s]+", typed.strip()) if one)


def _rate(typed: str) -> float:
    try:
        rate = float(typed)
    except ValueError:
        rate = 0.0
    if not 0 < rate < float("inf"):
        raise OptionError(f"Learning rate: takes a number above 0, such as 0.001; got {typed!r}")
    return rate
