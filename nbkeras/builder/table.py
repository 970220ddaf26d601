"""A DataFrame as a network may learn from it: its columns, and what a label asks for."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, Self

from nbkeras.errors import DataError, OptionError

#: ``input``: the features themselves, as an autoencoder learns them.
Task = Literal["binary", "classes", "regression", "input"]

_LABELS = (
    "label",
    "labels",
    "target",
    "class",
    "y",
    "outcome",
    "species",
    "diagnosis",
    "survived",
    "price",
)
_ARRAYS = ("features", "x", "inputs", "image", "images", "pixels")
#: What names a row or weighs it, and says nothing of it.
_NUMBERS_OF_ROWS = re.compile(r"^(id|index|.*_id|weight|weights|sample_weight)$", re.IGNORECASE)
#: A label with higher numbers is a quantity.
_MOST_CLASSES = 100
#: Rows in which arrays are looked for together; a column that is null in all of them is looked at alone.
_ROWS = 20


@dataclass(frozen=True)
class Column:
    """A column of a DataFrame.

    Attributes:
        name: of the column.
        kind: Spark's name of its type.
        size: numbers in one row of it; 0 where it holds no numbers, None where all rows are null.
        single: whether it is a number itself, and not an array, which may be of one number too.
    """

    name: str
    kind: str
    size: int | None
    single: bool


@dataclass(frozen=True)
class Table:
    """A DataFrame by the name of its variable.

    Attributes:
        name: of the variable.
        columns: in their order.
    """

    name: str
    columns: tuple[Column, ...]

    @classmethod
    def of(cls, df: Any, name: str) -> Self:
        """The table of a DataFrame; some rows tell how long its arrays are.

        Raises:
            ClusterError: its session was stopped, or what computes it fails.
            DataError: it is no DataFrame of Spark, has no two columns of numbers, or no label.
        """
        require_frame(df)
        with _asked(df):
            sizes = _sizes(df)
        table = cls(
            name,
            tuple(
                Column(
                    one.name, one.dataType.simpleString(), sizes.get(one.name, 0), _is_single(one.dataType)
                )
                for one in df.schema.fields
            ),
        )
        if not table.labels or len([one for one in table.columns if one.size != 0]) < 2:
            raise DataError(
                f"{name} needs a label, one number a row, and a feature, numbers or an array of them; "
                f"its columns are: {', '.join(f'{one.name} {one.kind}' for one in table.columns)}"
            )
        return table

    @property
    def labels(self) -> list[str]:
        """Columns that may be learnt: of one number a row."""
        return [one.name for one in self.columns if one.single]

    def guess_label(self) -> str:
        """The label by its name, else the last column that may be one."""
        return next((one for one in self.labels if one.lower() in _LABELS), self.labels[-1])

    def features(self, label: str) -> list[str]:
        """Columns that a network may learn from."""
        return [one.name for one in self.columns if one.size != 0 and one.name != label]

    def hint(self) -> str:
        """Why a column that is a label by its name cannot be one; empty where there is none."""
        for one in self.columns:
            if one.name.lower() in _LABELS and not one.single:
                return (
                    f"{one.name} is {one.kind}: a label is one number a row "
                    "(StringIndexer of pyspark.ml makes numbers of words)"
                )
        return ""

    def guess_features(self, label: str) -> list[str]:
        """Single numbers, or one array: that is what a network with one input takes."""
        features, numbers = self.features(label), set(self.labels)
        arrays = [one for one in features if one not in numbers]
        if named := [one for one in arrays if one.lower() in _ARRAYS]:
            return named[:1]
        single = [one for one in features if one in numbers and not _NUMBERS_OF_ROWS.match(one)]
        return single or arrays[:1] or features[:1]

    def width(self, features: list[str]) -> int:
        """Numbers in some features of a row.

        Raises:
            OptionError: there are none, or they do not go together.
            DataError: one is null in every row.
        """
        if not features:
            raise OptionError("Features: none is ticked, tick one at least")
        chosen = [one for one in self.columns if one.name in features]
        if len(features) > 1 and not all(one.single for one in chosen):
            raise OptionError("Features: take one column of arrays, or several of single numbers")
        if empty := [one.name for one in chosen if one.size is None]:
            raise DataError(f"Features: {empty[0]} is null in every row")
        return sum(one.size or 0 for one in chosen)


def values_of(df: Any, label: str) -> list[float]:
    """Values of a label, sorted: all that it has where it may be one of classes, else some. A job of Spark.

    Raises:
        ClusterError: its session was stopped, or what computes it fails.
        DataError: the label is null in every row.
    """
    with _asked(df):
        rows = df.select(column(label)).dropna().distinct().limit(_MOST_CLASSES + 1).collect()
    values = sorted(float(row[0]) for row in rows)
    if not values:
        raise DataError(f"Label: {label} is null in every row, or there is none")
    return values


def task(values: list[float], label: str, chosen: Task | None) -> tuple[Task, int]:
    """What is learnt, and how many units the last layer has; the label's values tell what is not chosen.

    Args:
        values: of the label, from :func:`values_of`.
        label: its name.
        chosen: what is to be learnt, or None.

    Raises:
        OptionError: its values are not what was chosen.
    """
    are_classes = values[0] >= 0 and values[-1] < _MOST_CLASSES and all(map(float.is_integer, values))
    if chosen == "classes" and not are_classes:
        raise OptionError(
            f"classes are whole numbers from 0 to {_MOST_CLASSES - 1} here; {label} has {_some(values)}"
        )
    if chosen == "binary" and not set(values) <= {0.0, 1.0}:
        raise OptionError(f"two classes are 0 and 1 here; {label} has {_some(values)}")
    if chosen == "regression" or (chosen is None and not are_classes):
        return "regression", 1
    if chosen == "binary" or (chosen is None and values[-1] <= 1):
        return "binary", 1
    return "classes", max(2, int(values[-1]) + 1)


def _some(values: list[float]) -> str:
    shown = ", ".join(f"{value:g}" for value in values[:4])
    return f"{shown}…" if len(values) > 4 else shown


def column(name: str) -> str:
    """A column's name as ``df.select`` takes it.

    Example:
        >>> column("petal_width"), column("petal.width")
        ('petal_width', '`petal.width`')
    """
    return name if name.isidentifier() and name.isascii() else f"`{name.replace('`', '``')}`"


def require_frame(data: Any) -> None:
    """Say what is no DataFrame of Spark.

    Raises:
        DataError: this is none.

    Example:
        >>> require_frame(3)
        Traceback (most recent call last):
        nbkeras.errors.DataError: the data is 3, a int: give a Spark DataFrame, as df = ...
    """
    from pyspark.sql import DataFrame

    if not isinstance(data, DataFrame):
        given = "a pandas DataFrame" if hasattr(data, "iloc") else f"{_short(data)}, a {type(data).__name__}"
        raise DataError(f"the data is {given}: give a Spark DataFrame, as df = spark.createDataFrame(…)")


def _short(data: Any) -> str:
    """Data of any kind in one line of bounded length."""
    return " ".join(reprlib.repr(data).split())


@contextmanager
def _asked(df: Any) -> Iterator[None]:
    """Spark at work on a DataFrame: what it fails of is told as :func:`nbkeras.fit` tells it."""
    from nbkeras.engine import failures
    from nbkeras.frames import source

    source.data_frame(df.sparkSession, df)  # which says that its session was stopped
    try:
        yield
    except Exception as error:
        raise failures.of_spark(error) from error


def _is_single(kind: Any) -> bool:
    from pyspark.sql import types as T

    return isinstance(kind, (T.NumericType, T.BooleanType))


def _sizes(df: Any) -> dict[str, int | None]:
    """Numbers in a row of each column that holds some."""
    from pyspark.sql import types as T

    found: dict[str, int | None] = {}
    arrays = []
    for one in df.schema.fields:
        kind = one.dataType
        if _is_single(kind):
            found[one.name] = 1
        elif kind.typeName() == "vectorudt" or (
            isinstance(kind, T.ArrayType) and isinstance(kind.elementType, T.NumericType)
        ):
            arrays.append(one.name)
    rows = df.select([column(name) for name in arrays]).take(_ROWS) if arrays else []
    for index, name in enumerate(arrays):
        values = [row[index] for row in rows if row[index] is not None]
        first = values[0] if values else next(iter(df.select(column(name)).dropna().first() or ()), None)
        found[name] = None if first is None else len(first)
    return found
