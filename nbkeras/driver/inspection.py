"""Inspection: what one Spark job says of the columns of a DataFrame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from nbkeras.data import parts
from nbkeras.data.names import quoted
from nbkeras.driver import inference


@dataclass(frozen=True)
class Inspected:
    """What is known of a column.

    Attributes:
        name: of it.
        dtype: its Spark type.
        distinct: about how many values it has.
        missing: rows without a value.
        rows: all rows.
        skew: of its numbers.
        length: average of its words.
        beside: the other columns: an input of such a name takes that one.
    """

    name: str
    dtype: T.DataType
    distinct: int
    missing: int
    rows: int
    skew: float
    length: float
    beside: frozenset[str]


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
    beside = frozenset(df.columns)
    wanted: list[Column] = [F.count(F.lit(1)).alias("rows")]
    for number, name in enumerate(names):
        own, dtype = F.col(quoted(name)), df.schema[name].dataType
        missing = parts.is_missing(own, dtype)
        wanted.append(F.count(F.when(missing, True)).alias(f"missing{number}"))
        if isinstance(dtype, T.AtomicType):
            wanted.append(F.approx_count_distinct(F.when(~missing, own)).alias(f"distinct{number}"))
        if isinstance(dtype, T.NumericType):
            wanted.append(F.skewness(F.when(~missing, own.cast("double"))).alias(f"skew{number}"))
        if isinstance(dtype, T.StringType):
            wanted.append(F.avg(F.length(own)).alias(f"length{number}"))
    job = df.select(*wanted)
    found = inference.attended(spark, "adapt", job.first).asDict()
    return [
        Inspected(
            name,
            df.schema[name].dataType,
            found.get(f"distinct{number}") or 0,
            found[f"missing{number}"],
            found["rows"],
            found.get(f"skew{number}") or 0.0,
            found.get(f"length{number}") or 0.0,
            beside,
        )
        for number, name in enumerate(names)
    ]
