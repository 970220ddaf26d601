"""DataFrames that look like Spark's without a Spark: with a schema, and rows where they are asked for."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from pyspark.ml.linalg import VectorUDT
from pyspark.sql import DataFrame
from pyspark.sql import types as T

KINDS = {
    "int": T.IntegerType(),
    "bigint": T.LongType(),
    "double": T.DoubleType(),
    "boolean": T.BooleanType(),
    "string": T.StringType(),
    "date": T.DateType(),
    "struct<x:int>": T.StructType().add("x", T.IntegerType()),
    "timestamp": T.TimestampType(),
    "binary": T.BinaryType(),
    "array<double>": T.ArrayType(T.DoubleType()),
    "array<boolean>": T.ArrayType(T.BooleanType()),
    "array<array<double>>": T.ArrayType(T.ArrayType(T.DoubleType())),
    "array<string>": T.ArrayType(T.StringType()),
    "vector": VectorUDT(),
}
#: Spark's types of what pandas holds.
_OF_PANDAS = {"f": "double", "i": "bigint", "b": "boolean"}


def _array(value):
    return "array<string>" if isinstance(value[0], str) else "array<double>"


class Table(DataFrame):
    """A DataFrame that has a schema and nothing else: what is refused by that needs no Spark.

    Its columns are as in ``a double, label int``.
    """

    sparkSession = SimpleNamespace(is_stopped=False)  # noqa: N815  # Spark's name

    def __new__(cls, *_):
        return object.__new__(cls)

    def __init__(self, columns):
        pairs = [one.rsplit(" ", 1) for one in columns.split(", ")]
        self.schema_ = T.StructType([T.StructField(name, KINDS[kind]) for name, kind in pairs])

    schema = property(lambda self: self.schema_)
    columns = property(lambda self: self.schema_.names)

    def __getattr__(self, name):
        raise AttributeError(name)

    def select(self, *_):
        pytest.fail("its columns fit")


class Frame(Table):
    """A small DataFrame with its rows, as far as the builder looks at them.

    Args:
        rows: tuples.
        columns: as in ``a double, label int``, or a schema.
    """

    def __init__(self, rows, columns):
        if isinstance(columns, str):
            super().__init__(columns)
        else:
            self.schema_ = columns
        self.rows = rows

    @classmethod
    def of(cls, frame):
        """What Spark would make of a pandas DataFrame."""
        first = frame.iloc[0]
        kinds = [
            _OF_PANDAS.get(frame[name].dtype.kind)
            or ("string" if isinstance(first[name], str) else _array(first[name]))
            for name in frame
        ]
        columns = ", ".join(f"{name} {kind}" for name, kind in zip(frame, kinds, strict=True))
        return cls([*frame.itertuples(index=False, name=None)], columns)

    def _with(self, rows):
        return type(self)(rows, self.schema_)

    def select(self, *names):
        names = names[0] if isinstance(names[0], list) else names
        places = [self.columns.index(name.strip("`")) for name in names]
        rows = [tuple(row[place] for place in places) for row in self.rows]
        return type(self)(rows, T.StructType([self.schema_.fields[place] for place in places]))

    def dropna(self):
        return self._with([row for row in self.rows if all(one is not None for one in row)])

    def distinct(self):
        return self._with([*dict.fromkeys(self.rows)])

    def limit(self, number):
        return self._with(self.rows[:number])

    def take(self, number):
        return self.rows[:number]

    def first(self):
        return self.rows[0] if self.rows else None

    def collect(self):
        return self.rows
