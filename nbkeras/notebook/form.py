"""The form: a small network described by a few fields, and the Keras code that it stands for."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from nbkeras.errors import DataError, OptionError

Task = Literal["binary", "classes", "regression"]

_LABELS = ("label", "target", "class", "y")
_MOST_CLASSES = 100  # a whole number with more values than these is a quantity
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
        size: numbers in one row of it.
        whole: whether they are whole numbers.
    """

    name: str
    size: int
    whole: bool


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
        columns = ", ".join(map(_quoted, (*self.features, self.label)))
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
        df: a Spark DataFrame; one row of it is looked at, and the values of a
            label of whole numbers.
        name: of its variable.
        fields: where the form is drawn.

    Raises:
        DataError: it has no two columns of numbers.
        OptionError: a field holds what cannot be.
    """
    known = {column.name: column for column in columns(df)}
    if len(known) < 2:
        raise DataError(
            f"{name} has {len(known)} columns of numbers, a label and a feature are needed; "
            f"its columns are: {', '.join(f'{column} {kind}' for column, kind in df.dtypes)}"
        )
    single = [column.name for column in known.values() if column.size == 1]
    if not single:
        raise DataError(f"{name} has no column with one number a row, which the label must be")
    guess = next((one for one in single if one.lower() in _LABELS), single[-1])
    label = fields.choice("Label", single, guess)
    others = [column for column in known if column != label]
    ticked = set(fields.choices("Features", others, others))
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
    if len(features) > 1 and any(known[column].size > 1 for column in features):
        raise OptionError("Features: take one column of arrays, or several of single numbers")
    task, outputs = _task(df, known[label])
    return Answers(
        name,
        label,
        features,
        width=sum(known[column].size for column in features),
        outputs=outputs,
        task=task,
        layers=_sizes(layers),
        learning_rate=_rate(rate),
        batch_size=count("Batch size", batch_size),
        epochs=count("Epochs", epochs),
        workers=workers,
        train=train,
    )


def columns(df: Any) -> list[Column]:
    """The columns of numbers, arrays and vectors; one row tells how long those are."""
    from pyspark.sql import types as T

    first: Any = None
    found = []
    for one in df.schema.fields:
        kind = one.dataType
        if isinstance(kind, (T.NumericType, T.BooleanType)):
            found.append(Column(one.name, 1, isinstance(kind, (T.IntegralType, T.BooleanType))))
        elif isinstance(kind, T.ArrayType) or kind.typeName() == "vectorudt":
            first = first or df.first()
            if first is not None and first[one.name] is not None:
                found.append(Column(one.name, len(first[one.name]), whole=False))
    return found


def count(name: str, typed: str) -> int:
    """A whole number from 1 out of a field.

    Raises:
        OptionError: it is none.

    Example:
        >>> count("Epochs", " 10 ")
        10
    """
    if not typed.strip().isdecimal() or int(typed) < 1:
        raise OptionError(f"{name}: takes a whole number from 1, such as 10; got {typed!r}")
    return int(typed)


def _task(df: Any, label: Column) -> tuple[Task, int]:
    if not label.whole:
        return "regression", 1
    distinct = df.select(label.name).distinct().dropna().limit(_MOST_CLASSES + 1)
    values = sorted(int(row[0]) for row in distinct.collect())
    if not values:
        raise DataError("the DataFrame has no rows")
    if values[0] < 0 or len(values) > _MOST_CLASSES:
        return "regression", 1
    return ("binary", 1) if values[-1] <= 1 else ("classes", values[-1] + 1)


def _sizes(typed: str) -> tuple[int, ...]:
    return tuple(count("Hidden layers", one) for one in re.split(r"[,\s]+", typed.strip()) if one)


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
