"""A DataFrame as a network may learn from it: its columns, and what a label asks for."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, Self

from nbkeras.data.names import quoted
from nbkeras.errors import DataError, OptionError
from nbkeras.spark import exceptions

#: ``input``: the features themselves, as an autoencoder learns them.
Task = Literal["binary", "classes", "regression", "input"]
#: What a column holds.
Holds = Literal["numbers", "words", "times", "images"]

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
#: More words than this are no classes here: each has a number in the last layer.
_MOST_WORDS = 10_000
#: Why a column is left out, by a part of the name of what it holds.
_REASONS = {
    "string": "words",
    "char": "words",
    "interval": "spans",
    "struct": "parts",
    "map": "parts",
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
        holds: ``numbers``, ``words``, ``times`` or ``images``; empty where it is left out.
        why: it is left out, ``words``, ``spans``, ``parts``, ``empty`` or ``other``; empty where a network
            may learn from it.
        whole: whether its value is a whole number.
    """

    name: str
    kind: str
    shape: tuple[int, ...] | None
    single: bool = False
    holds: Holds | Literal[""] = "numbers"
    why: str = ""
    whole: bool = False

    @classmethod
    def of(cls, field: Any, shape: tuple[int, ...] | None) -> Self:
        """The column of a field of Spark's.

        Args:
            field: of a schema.
            shape: of the numbers in one row, where it holds some.
        """
        from nbkeras.data import kinds
        from nbkeras.data.kinds.array import innermost
        from nbkeras.driver.columns.encoding import image_shape

        name, kind = field.dataType.simpleString(), kinds.of(field.dataType)
        if kind is not None:
            why = "empty" if shape is not None and not math.prod(shape) else ""
            whole = kind.single and kind.is_whole(field.dataType)
            return cls(field.name, name, shape, kind.single, "" if why else "numbers", why, whole)
        if holds := _held(field):
            return cls(field.name, name, image_shape(field) if holds == "images" else (1,), holds=holds)
        inner = innermost(field.dataType).typeName()
        why = next((reason for part, reason in _REASONS.items() if part in inner), "other")
        return cls(field.name, name, None, holds="", why=why)

    @property
    def learnable(self) -> bool:
        """Whether it may be the label: one number a row, or one word."""
        return self.single or self.holds == "words"


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
            DataError: it is no DataFrame, has no two columns that a network could take, or no label.
        """
        with asked(df):
            shapes = _shapes(df)
        table = cls(name, tuple(Column.of(one, shapes.get(one.name)) for one in df.schema.fields))
        if not table.labels or len([one for one in table.columns if not one.why]) < 2:
            raise DataError(
                f"{name} needs a label, one number or word a row, and a feature; "
                f"its columns are: {', '.join(f'{one.name} {one.kind}' for one in table.columns)}"
            )
        return table

    @property
    def labels(self) -> list[str]:
        """Columns that may be learnt: of one number or one word a row."""
        return [one.name for one in self.columns if one.learnable]

    def guess_label(self) -> str:
        """The label by its name, else the last column that may be one: of numbers, if there is such."""
        named = (one for one in self.labels if one.lower() in _LABELS)
        single = [one.name for one in self.columns if one.single]
        return next(named, (single or self.labels)[-1])

    def features(self, label: str) -> list[str]:
        """Columns that a network may learn from."""
        return [one.name for one in self.columns if not one.why and one.name != label]

    def chosen(self, names: Sequence[str]) -> list[Column]:
        """The columns of some names, in their order."""
        wanted = {*names}
        return [one for one in self.columns if one.name in wanted]

    def hint(self) -> str:
        """Why a column that is a label by its name cannot be one; empty where there is none."""
        for one in self.columns:
            if one.name.lower() in _LABELS and not one.learnable:
                return f"{one.name} is {one.kind}: a label is one number or one word a row"
        return ""

    def guess_features(self, label: str) -> list[str]:
        """An array by its name, or one column of images, or all but arrays that do not number the rows."""
        features = self.chosen(self.features(label))
        arrays = [one for one in features if one.holds == "numbers" and not one.single]
        images = [one for one in features if one.holds == "images"]
        for some in ([one for one in arrays if one.name.lower() in _ARRAYS], images):
            if some:
                return [some[0].name]
        rest = [one for one in features if one not in arrays and not _NUMBERS_OF_ROWS.match(one.name)]
        if arrays and not any(one.single for one in rest):
            rest = arrays[:1]
        return [one.name for one in rest or features[:1]]


def values_of(df: Any, label: str) -> list[float]:
    """Values of a label, sorted: all that it has where it may be one of classes, else some. A job of Spark.

    Words are the classes 0, 1, 2 and so on, as ``fit`` numbers them.

    Raises:
        ClusterError: its session was stopped, or what computes it fails.
        DataError: the label is null in every row, or holds too many words.
    """
    from pyspark.sql.types import StringType

    from nbkeras.data import marks

    words = isinstance(df.schema[label].dataType, StringType)
    most = _MOST_WORDS if words else _MOST_CLASSES
    with asked(df):
        rows = df.select(quoted(label)).dropna().distinct().limit(most + 1).collect()
    if words and len(rows) > most:
        raise DataError(
            f"Label: {label} holds more than {most:,} different words, which are no classes here: "
            "choose another column"
        )
    if not rows:
        raise DataError(f"Label: {label} is null in every row, or there is none")
    if words:
        # A folder of images has named its classes, also those without a file.
        known = marks.held(df.schema[label]).get("classes", ())
        return list(map(float, range(len({*known, *(row[0] for row in rows)}))))
    return sorted(float(row[0]) for row in rows)


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

    with asked(df):
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


def task(values: list[float], label: str, chosen: Task | None, words: bool = False) -> tuple[Task, int]:
    """What is learnt, and how many units the last layer has; the label's values tell what is not chosen.

    Args:
        values: of the label, from :func:`values_of`.
        label: its name.
        chosen: what is to be learnt, or None.
        words: whether the label holds words, which are classes.

    Raises:
        OptionError: its values are not what was chosen.
    """
    whole = all(map(float.is_integer, values))
    are_classes = words or (values[0] >= 0 and values[-1] < _MOST_CLASSES and whole)
    if chosen == "classes" and not are_classes:
        raise OptionError(
            f"classes are whole numbers from 0 to {_MOST_CLASSES - 1} here; {label} has {_some(values)}"
        )
    if chosen == "regression" and words:
        raise OptionError(f"{label} holds words, which are classes and no numbers: choose another label")
    if chosen == "binary" and not set(values) <= {0.0, 1.0}:
        has = f"{len(values)} words" if words else _some(values)
        raise OptionError(f"two classes are 0 and 1 here; {label} has {has}")
    if chosen == "regression" or (chosen is None and not are_classes):
        return "regression", 1
    if chosen == "binary" or (chosen is None and values[-1] <= 1):
        return "binary", 1
    return "classes", max(2, int(values[-1]) + 1)


def _some(values: list[float]) -> str:
    shown = ", ".join(f"{value:g}" for value in values[:4])
    return f"{shown}…" if len(values) > 4 else shown


def _held(field: Any) -> Holds | None:
    """What a column holds besides numbers that a network can take."""
    from pyspark.sql.types import StringType

    from nbkeras.data import marks, parts
    from nbkeras.data.image_columns import IMAGES
    from nbkeras.data.kinds.images import Images

    if Images().holds(field.dataType) or IMAGES in marks.held(field):
        return "images"
    if isinstance(field.dataType, StringType):
        return "words"
    return "times" if parts.is_time(field.dataType) else None


@contextmanager
def asked(df: Any) -> Iterator[None]:
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
