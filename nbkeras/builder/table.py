"""A DataFrame as a network may learn from it: its columns, and what a label asks for."""

from __future__ import annotations

import math
import re
import reprlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, Self

from nbkeras.data.names import quoted
from nbkeras.errors import DataError, OptionError
from nbkeras.spark import exceptions

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
#: Columns that identify or weight a row, and are no features.
_NUMBERS_OF_ROWS = re.compile(r"^(id|index|.*_id|weight|weights|sample_weight)$", re.IGNORECASE)
#: A label with higher numbers is a quantity.
_MOST_CLASSES = 100
#: Why a column is left out, by a part of the name of what it holds.
_REASONS = {
    "string": "words",
    "char": "words",
    "date": "times",
    "timestamp": "times",
    "interval": "times",
    "struct": "parts",
    "map": "parts",
    "binary": "bytes",
}
#: Rows in which arrays are looked for together; a column that is null in all of them is looked at alone.
_ROWS = 20


@dataclass(frozen=True)
class Column:
    """A column of a DataFrame.

    Attributes:
        name: the name of the column.
        kind: Spark's name of its type.
        shape: the shape of its value in one row; None if all rows are null.
        single: whether its value is a number; False for an array, even of one number.
        why: it is left out, ``words``, ``times``, ``parts``, ``bytes``, ``empty`` or ``other``; empty
            where a network may learn from it.
    """

    name: str
    kind: str
    shape: tuple[int, ...] | None
    single: bool = False
    why: str = ""

    @classmethod
    def of(cls, field: Any, shape: tuple[int, ...] | None) -> Self:
        """The column of a field of Spark's.

        Args:
            field: of a schema.
            shape: of the numbers in one row, where it holds some.
        """
        from nbkeras.data import kinds
        from nbkeras.data.kinds.array import innermost

        kind = kinds.of(field.dataType)
        why = "empty" if shape is not None and not math.prod(shape) else ""
        if kind is None:
            name = innermost(field.dataType).typeName()
            why = next((reason for part, reason in _REASONS.items() if part in name), "other")
        return cls(field.name, field.dataType.simpleString(), shape, kind is not None and kind.single, why)


@dataclass(frozen=True)
class Features:
    """What a network takes of some columns.

    Attributes:
        shape: of the numbers in one row, which stand one behind the other where there are several columns.
        inputs: columns that are an input each, with their numbers; empty where all are one input.
        depth: of a column that holds arrays, 2 where these hold arrays themselves.
    """

    shape: tuple[int, ...]
    inputs: tuple[tuple[str, int], ...] = ()
    depth: int = 1


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
            shapes = _shapes(df)
        table = cls(name, tuple(Column.of(one, shapes.get(one.name)) for one in df.schema.fields))
        if not table.labels or len([one for one in table.columns if not one.why]) < 2:
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
        return [one.name for one in self.columns if not one.why and one.name != label]

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

    def taken(self, features: Sequence[str], learnt: bool) -> Features:
        """What a network takes of some features.

        Args:
            features: names of columns.
            learnt: whether they are what is learnt, too.

        Raises:
            OptionError: there are none, or they do not go together.
            DataError: one is null in every row.
        """
        if not features:
            raise OptionError("Features: none is ticked, tick one at least")
        chosen = {one.name: one for one in self.columns if one.name in features}
        shapes = {}
        for name, one in chosen.items():
            if one.shape is None:
                raise DataError(f"Features: {name} is null in every row")
            shapes[name] = one.shape
        if len(shapes) == 1:
            (shape,) = shapes.values()
            return Features((math.prod(shape),) if learnt else shape, depth=len(shape))
        if nested := [name for name, shape in shapes.items() if len(shape) > 1]:
            raise OptionError(f"Features: {nested[0]} holds arrays of arrays: take it alone")
        sizes = {name: shape[0] for name, shape in shapes.items()}
        if all(one.single for one in chosen.values()):
            return Features((len(sizes),))
        if learnt:
            raise OptionError(
                "Features: to be learnt, take one column of arrays, or several of single numbers"
            )
        if wrong := [name for name in sizes if "/" in name]:
            raise OptionError(
                f"Features: {wrong[0]} is to be the name of an input of Keras, which has no / in it: "
                "rename the column"
            )
        return Features((sum(sizes.values()),), tuple(sizes.items()))


def values_of(df: Any, label: str) -> list[float]:
    """Values of a label, sorted: all that it has where it may be one of classes, else some. A job of Spark.

    Raises:
        ClusterError: its session was stopped, or what computes it fails.
        DataError: the label is null in every row.
    """
    with _asked(df):
        rows = df.select(quoted(label)).dropna().distinct().limit(_MOST_CLASSES + 1).collect()
    values = sorted(float(row[0]) for row in rows)
    if not values:
        raise DataError(f"Label: {label} is null in every row, or there is none")
    return values


def moments(df: Any, names: Sequence[str]) -> dict[str, tuple[float, float]]:
    """Mean and variance of numbers in columns, to six digits. A job of Spark, and one for each array.

    Raises:
        ClusterError: its session was stopped, or what computes it fails.
        DataError: a column is null in every row, or holds NaN or infinity.

    Example:
        >>> import nbkeras
        >>> df = nbkeras.local_spark().createDataFrame([(1.0, [[0, 4]]), (3.0, [[2, 2]])], ["a", "b"])
        >>> moments(df, ["a", "b"])
        {'a': (2.0, 1.0), 'b': (2.0, 2.0)}
    """
    from pyspark.sql import functions as F

    from nbkeras.data import columns, kinds

    with _asked(df):
        single = [name for name in names if (kind := kinds.of(df.schema[name].dataType)) and kind.single]
        together = [single] if single else []
        found: dict[str, tuple[Any, Any]] = {}
        for some in [*together, *([name] for name in names if name not in single)]:
            rows = df.select([columns.numbers(df, name).alias(f"c{at}") for at, name in enumerate(some)])
            wanted = [of(f"c{at}") for at in range(len(some)) for of in (F.avg, F.var_pop)]
            row = rows.agg(*wanted).first()
            found |= {name: (row[2 * at], row[2 * at + 1]) for at, name in enumerate(some)}
    for name, values in found.items():
        if None in values:
            raise DataError(f"Features: {name} is null in every row")
        if not all(map(math.isfinite, values)):
            raise DataError(f"Features: {name} holds NaN or infinity: df.dropna() leaves it out")
    return {name: (float(f"{found[name][0]:.6g}"), float(f"{found[name][1]:.6g}")) for name in names}


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
    """Report failures of Spark in the block as :func:`nbkeras.fit` does."""
    from nbkeras.data import source

    source.data_frame(df.sparkSession, df)  # which says that its session was stopped
    try:
        yield
    except Exception as error:
        raise exceptions.translate(error) from error


def _shapes(df: Any) -> dict[str, tuple[int, ...] | None]:
    """The shape of the numbers in a row, for each column that holds some."""
    from nbkeras.data import kinds

    held = {field.name: kind for field in df.schema.fields if (kind := kinds.of(field.dataType))}
    # A number's shape is known without a row.
    found: dict[str, tuple[int, ...] | None] = {n: one.shape(None) for n, one in held.items() if one.single}
    read = [name for name, kind in held.items() if not kind.single]
    rows = df.select([quoted(name) for name in read]).take(_ROWS) if read else []
    for index, name in enumerate(read):
        values = [row[index] for row in rows if row[index] is not None]
        first = values[0] if values else next(iter(df.select(quoted(name)).dropna().first() or ()), None)
        found[name] = None if first is None else held[name].shape(first)
    return found
