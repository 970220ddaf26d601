"""The form: a small network described by a few fields, and the Keras code that it stands for."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from nbkeras.errors import DataError, OptionError

Task = Literal["binary", "classes", "regression"]
#: What the form offers, each with what is learnt.
TASKS: dict[str, Task | None] = {
    "as the label says": None,
    "two classes": "binary",
    "classes": "classes",
    "a number": "regression",
}

_LABELS = ("label", "target", "class", "y")
_MOST_CLASSES = 100  # a label with higher numbers is a quantity
_LAST: dict[Task, tuple[str, str, str]] = {
    # The last layer's activation, the loss, the metric.
    "binary": ("sigmoid", "binary_crossentropy", "accuracy"),
    "classes": ("softmax", "sparse_categorical_crossentropy", "accuracy"),
    "regression": ("", "mse", "mae"),
}


class Fields(Protocol):
    """A form on the screen: each call draws a field and gives what stands in it."""

    def text(self, name: str, default: str) -> str:
        """A line of text."""

    def choice(self, name: str, options: Sequence[str], default: str) -> str:
        """One of several."""

    def choices(self, name: str, options: Sequence[str], default: Sequence[str]) -> list[str]:
        """Any of several."""


@dataclass(frozen=True)
class Column:
    """A column of a DataFrame that a network can take or learn.

    Attributes:
        name: of the column.
        size: numbers in one row of it; None where all rows are null.
    """

    name: str
    size: int | None


@dataclass(frozen=True)
class Answers:
    """What the form says.

    Attributes:
        data: name of the DataFrame's variable.
        label: its label column.
        features: its feature columns, in the order of the inputs.
        width: numbers in all features of a row.
        outputs: units of the last layer.
        task: what is learnt.
        layers: units of the hidden layers.
        learning_rate: of Adam.
        batch_size: rows of a step.
        epochs: how often to go over the rows.
        workers: as typed.
        train: whether the box is ticked.

    Example:
        >>> print(Answers("df", "y", ("a", "b"), 2, 1, "regression", (8,), 0.01, 32, 5).code())
        import keras
        <BLANKLINE>
        model = keras.Sequential(
            [
                keras.Input((2,)),
                keras.layers.Dense(8, activation="relu"),
                keras.layers.Dense(1),
            ]
        )
        model.compile(keras.optimizers.Adam(0.01), "mse", metrics=["mae"])
        history = model.fit(df.select("a", "b", "y"), y="y", batch_size=32, epochs=5)
    """

    data: str
    label: str
    features: tuple[str, ...]
    width: int
    outputs: int
    task: Task
    layers: tuple[int, ...]
    learning_rate: float
    batch_size: int
    epochs: int
    workers: str = "auto"
    train: bool = False

    def code(self) -> str:
        """The cell that builds and trains it."""
        activation, loss, metric = _LAST[self.task]
        hidden = [f'keras.layers.Dense({units}, activation="relu"),' for units in self.layers]
        last = f', activation="{activation}"' if activation else ""
        stack = [
            f"keras.Input(({self.width},)),",
            *hidden,
            f"keras.layers.Dense({self.outputs}{last}),",
        ]
        columns = ", ".join(_quoted(column(name)) for name in (*self.features, self.label))
        sizes = f"batch_size={self.batch_size}, epochs={self.epochs}"
        lines = [
            "import keras",
            "",
            "model = keras.Sequential(",
            "    [",
            *(f"        {line}" for line in stack),
            "    ]",
            ")",
            f'model.compile(keras.optimizers.Adam({self.learning_rate:g}), "{loss}", metrics=["{metric}"])',
            f"history = model.fit({self.data}.select({columns}), y={_quoted(self.label)}, {sizes})",
        ]
        return "\n".join(lines)


def ask(df: Any, name: str, fields: Fields) -> Answers:
    """Draw the form of a DataFrame and read it.

    Args:
        df: a Spark DataFrame; rows of it are looked at, and the label's values.
        name: of its variable.
        fields: where the form is drawn.

    Raises:
        DataError: it has no two columns of numbers.
        OptionError: a field holds what cannot be.
    """
    known = {column.name: column for column in columns(df)}
    single = [column.name for column in known.values() if column.size == 1]
    if len(known) < 2 or not single:
        raise DataError(
            f"{name} needs a label, one number a row, and a feature, numbers or an array of them; "
            f"its columns are: {', '.join(f'{column} {kind}' for column, kind in df.dtypes)}"
        )
    guess = next((one for one in single if one.lower() in _LABELS), single[-1])
    label = fields.choice("Label", single, guess)
    task = fields.choice("Learn", list(TASKS), next(iter(TASKS)))
    others = [column for column in known if column != label]
    # Single numbers, or one array: that is what a network with one input takes.
    usual = [column for column in others if column in single] or others[:1]
    ticked = set(fields.choices("Features", others, usual))
    layers = fields.text("Hidden layers", "64, 32")
    rate = fields.text("Learning rate", "0.001")
    batch_size = fields.text("Batch size", "32")
    epochs = fields.text("Epochs", "10")
    workers = fields.text("Workers", "auto")
    train = bool(fields.choices("Train", ["Train"], []))
    # Only now that the form is whole on the screen may something be wrong with it.
    if label not in single:
        raise OptionError(f"Label: {name} has no column {label!r} with one number a row")
    features = tuple(column for column in others if column in ticked)
    if not features:
        raise OptionError("Features: none is ticked, tick one at least")
    sizes = [known[column].size for column in features]
    if len(features) > 1 and any(size != 1 for size in sizes):
        raise OptionError("Features: take one column of arrays, or several of single numbers")
    if None in sizes:
        raise DataError(f"Features: {features[0]} is null in every row")
    if task not in TASKS:
        raise OptionError(f"Learn: takes one of {', '.join(TASKS)}; got {task!r}")
    learnt, outputs = _task(df, label, TASKS[task])
    return Answers(
        name,
        label,
        features,
        width=sum(size for size in sizes if size),
        outputs=outputs,
        task=learnt,
        layers=_sizes(layers),
        learning_rate=_rate(rate),
        batch_size=count("Batch size", batch_size),
        epochs=count("Epochs", epochs),
        workers=workers,
        train=train,
    )


def columns(df: Any) -> list[Column]:
    """The columns of numbers, arrays and vectors; one row of each of the latter tells how long it is."""
    from pyspark.sql import types as T

    found = []
    for one in df.schema.fields:
        kind = one.dataType
        if isinstance(kind, (T.NumericType, T.BooleanType)):
            found.append(Column(one.name, 1))
        elif kind.typeName() == "vectorudt" or (
            isinstance(kind, T.ArrayType) and isinstance(kind.elementType, T.NumericType)
        ):
            first = df.select(column(one.name)).dropna().first()
            found.append(Column(one.name, None if first is None else len(first[0])))
    return found


def column(name: str) -> str:
    """A column's name as ``df.select`` takes it.

    Example:
        >>> column("petal_width"), column("petal.width")
        ('petal_width', '`petal.width`')
    """
    return name if name.isidentifier() and name.isascii() else f"`{name.replace('`', '``')}`"


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


def _task(df: Any, label: str, chosen: Task | None) -> tuple[Task, int]:
    """What is learnt, and how many units the last layer has; the label's values tell what is not chosen."""
    distinct = df.select(column(label)).dropna().distinct().limit(_MOST_CLASSES + 1)
    values = sorted(float(row[0]) for row in distinct.collect())
    if not values:
        raise DataError(f"Label: {label} is null in every row, or there is none")
    are_classes = values[0] >= 0 and values[-1] < _MOST_CLASSES and all(map(float.is_integer, values))
    if chosen == "classes" and not are_classes:
        raise OptionError(
            f"Learn: classes are whole numbers from 0 to {_MOST_CLASSES - 1} here; "
            f"{label} has {', '.join(f'{value:g}' for value in values[:4])}…"
        )
    if chosen == "regression" or (chosen is None and not are_classes):
        return "regression", 1
    if chosen == "binary" or (chosen is None and values[-1] <= 1):
        return "binary", 1
    return "classes", max(2, int(values[-1]) + 1)


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


def _quoted(column: str) -> str:
    # What JSON writes, Python reads; in the quotes that formatted code has.
    return json.dumps(column, ensure_ascii=False)
