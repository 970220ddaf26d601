"""Places: rows go to the partition of the worker that is chosen for them."""

from __future__ import annotations

from typing import Any

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F


def sent(spark: SparkSession, df: DataFrame, place: Column, workers: int) -> DataFrame:
    """Send rows to partitions by number.

    Args:
        spark: the session.
        df: the rows.
        place: the number of each row's partition, from 0.
        workers: number of partitions.
    """
    keys = F.array(*[F.lit(key) for key in _keys(spark, workers)])
    return df.repartition(workers, F.get(keys, place.cast("int")))


def _keys(spark: SparkSession, partitions: int) -> list[int]:
    """Find, for each partition, a key that Spark's own hash partitioning sends there."""
    found: dict[int, int] = {}
    count = 16 * partitions
    while len(found) < partitions:
        query = f"SELECT transform(sequence(0, {count}), k -> pmod(hash(k), {partitions})) AS places"
        places: list[Any] = spark.sql(query).first()["places"]  # type: ignore[index]
        for key, place in enumerate(places):
            found.setdefault(place, key)
        count *= 4
    return [found[index] for index in range(partitions)]
