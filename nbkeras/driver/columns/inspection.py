"""Inspection: what one Spark job says of the columns of a DataFrame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame, Row, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from nbkeras.data import parts
from nbkeras.data.names import quoted
from nbkeras.driver import inference

#: Columns that are looked at beside each other.
_WIDE = 40


@dataclass(frozen=True)
class Inspected:
    """What is known of a column.

    Attributes:
        name: of it.
        field: of the schema: its type and its marks.
        distinct: about how many values it has.
        missing: rows without a value.
        rows: all rows.
        skew: of its numbers.
        length: average of its words.
        beside: the other columns: an input of such a name takes that one.
    """

    name: str
    field: T.StructField
    distinct: int
    missing: int
    rows: int
    skew: float
    length: float
    beside: frozenset[str]

    @property
    def dtype(self) -> T.DataType:
        """Its Spark type."""
        return self.field.dataType


def inspected(spark: SparkSession, df: DataFrame, names: Sequence[str]) -> list[Inspected]:
    """What one Spark job says of some columns.

    Args:
        spark: the session.
        df: the DataFrame.
        names: of its columns.

    Raises:
        Aborted: the user interrupted.
        ClusterError: what computes the columns fails.
    """
    look = _beside if len(names) <= _WIDE else _below
    found = inference.attended(spark, "adapt", lambda: look(df, names))
    beside = frozenset(df.columns)
    return [
        Inspected(
            name,
            df.schema[name],
            distinct=one["distinct"] or 0,
            missing=one["rows"] - one["known"],
            rows=one["rows"],
            skew=one["skew"] or 0.0,
            length=one["length"] or 0.0,
            beside=beside,
        )
        for name, one in zip(names, found, strict=True)
    ]


def _said(known: Column, number: Column, words: Column) -> Column:
    """What is said of one column.

    Args:
        known: its values, null where they are missing.
        number: the same as a number; null where they are none.
        words: the same as words; null where they are none.
    """
    return F.struct(
        F.count(F.lit(1)).alias("rows"),
        F.count(known).alias("known"),
        F.approx_count_distinct(known).alias("distinct"),
        F.skewness(number).alias("skew"),
        F.avg(F.length(words)).alias("length"),
    )


def _beside(df: DataFrame, names: Sequence[str]) -> list[Row]:
    """What is said of a few columns, each beside the others in one row."""
    row = df.select(*[_said(*_values(df, name)).alias(f"c{at}") for at, name in enumerate(names)]).first()
    return [] if row is None else list(row)


def _below(df: DataFrame, names: Sequence[str]) -> list[Row]:
    """What is said of many columns, one below the other: Spark takes minutes for them beside each other.

    As one text, for each call of a function of Spark's takes a millisecond.
    """
    rows = ", ".join(f"{at}, {_texts(df.schema[name])}" for at, name in enumerate(names))
    each = df.selectExpr(f"stack({len(names)}, {rows}) AS (at, known, number, words)")
    said = each.groupBy("at").agg(_said(F.col("known"), F.col("number"), F.col("words")).alias("said"))
    found = {row["at"]: row["said"] for row in said.collect()}
    empty = Row(rows=0, known=0, distinct=0, skew=None, length=None)
    return [found.get(at, empty) for at in range(len(names))]


def _texts(field: T.StructField) -> str:
    """The same as :func:`_values` in SQL, each value as a text."""
    own, dtype = f"`{field.name.replace('`', '``')}`", field.dataType
    number, words = "double(null)", "string(null)"
    if isinstance(dtype, (T.FloatType, T.DoubleType)):
        own = f"nanvl({own}, double(null))"
    if isinstance(dtype, T.NumericType):
        number = f"double({own})"
    if isinstance(dtype, T.StringType):
        words = own
    known = f"string({own})" if _is_counted(dtype) else f"if({own} IS NULL, null, '')"
    return f"{known}, {number}, {words}"


def _is_counted(dtype: T.DataType) -> bool:
    """Whether the values are counted; of arrays and files only whether they are there is of interest."""
    return isinstance(dtype, T.AtomicType) and not isinstance(dtype, T.BinaryType)


def _values(df: DataFrame, name: str) -> tuple[Column, Column, Column]:
    """The values of a column, null where they are missing, and the same as numbers and as words."""
    own, dtype, none = F.col(quoted(name)), df.schema[name].dataType, F.lit(None)
    known = F.when(~parts.is_missing(own, dtype), own)
    number, words = none.cast("double"), none.cast("string")
    if isinstance(dtype, T.NumericType):
        number = known.cast("double")
    if isinstance(dtype, T.StringType):
        words = known
    return known if _is_counted(dtype) else F.when(own.isNotNull(), F.lit("")), number, words
