"""The exchange of series: their rows go to the workers of their windows, in the order of their time."""

from __future__ import annotations

from functools import reduce

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from nbkeras.data import places
from nbkeras.data.names import quoted
from nbkeras.data.windows.columns import fields
from nbkeras.schema import PREFIX, Schema, Windows

#: Columns of the user's keys and time, by which rows are sorted, beside those that are sent.
_SORTED = f"{PREFIX}by"
_PLACE = "place"


def sorters(windows: Windows) -> list[Column]:
    """Return the user's columns by which rows are sorted, under names of their own."""
    names = (*windows.key, windows.time)
    return [F.col(quoted(name)).alias(f"{_SORTED}{index}") for index, name in enumerate(names)]


def _names(windows: Windows) -> list[str]:
    return [f"{_SORTED}{index}" for index in range(len(windows.key) + 1)]


def in_order(df: DataFrame, windows: Windows, workers: int) -> DataFrame:
    """Return rows in the order of their series and time, each series in one of so many partitions.

    Args:
        df: with :func:`sorters`.
        windows: how its rows become windows.
        workers: number of partitions at most: a series without a key is one.
    """
    names = _names(windows)
    keys = names[:-1]
    whole = df.repartition(workers, *keys) if keys and workers > 1 else df.repartition(1)
    return whole.sortWithinPartitions(*names).drop(*names)


def exchanged(
    spark: SparkSession,
    train: tuple[DataFrame, Schema],
    validation: tuple[DataFrame, Schema] | None,
    *,
    workers: int,
    shuffle: bool,
) -> DataFrame:
    """Send series to one partition for each worker, in the order of their keys and times.

    With shuffling, a worker has whole series, chosen by the hashes of their keys. One series without a key
    is cut into a piece for each worker, and the rows at a border go to both sides. Without shuffling, where
    row i of a batch is worker i's modulo workers, all workers get all rows.

    Args:
        spark: the session.
        train, validation: rows with :func:`sorters`, and their schema.
        workers: number of partitions.
        shuffle: whether the windows are shuffled.
    """
    windows = train[1].windows
    assert windows is not None
    parts = [_placed(*train, workers, shuffle=shuffle)]
    if validation is not None:
        theirs = _placed(*validation, workers, shuffle=shuffle)
        parts = [
            parts[0].withColumn("validation", F.lit(False)),
            theirs.withColumn("validation", F.lit(True)),
        ]
    df = reduce(DataFrame.unionByName, parts)
    sent = df.repartition(1) if workers == 1 else places.sent(spark, df, F.col(_PLACE), workers)
    return sent.sortWithinPartitions(*_names(windows)).drop(_PLACE, *_names(windows))


def _placed(df: DataFrame, schema: Schema, workers: int, *, shuffle: bool) -> DataFrame:
    """Add the worker of each row; rows that several workers need are there for each."""
    windows = schema.windows
    assert windows is not None
    if workers == 1:
        return df.withColumn(_PLACE, F.lit(0))
    if not shuffle:
        return df.withColumn(_PLACE, F.explode(F.array(*map(F.lit, range(workers)))))
    if windows.key:
        keys = [one.name for one in fields(windows)[:-1]]
        return df.withColumn(_PLACE, F.pmod(F.xxhash64(*keys), F.lit(workers)).cast("int"))
    return _cut(df, schema, windows, workers)


def _cut(df: DataFrame, schema: Schema, windows: Windows, workers: int) -> DataFrame:
    """Cut one series into a piece for each worker, with as many windows in each."""
    # One task sorts them: no other way to number rows reads them only once.
    numbered = df.repartition(1).sortWithinPartitions(*_names(windows))
    position = F.monotonically_increasing_id()
    number = max(0, -(-(df.count() - schema.reach) // windows.stride))
    places_ = []
    for rank in range(workers):
        begin, end = (number * one // workers for one in (rank, rank + 1))
        if begin < end:
            first, last = begin * windows.stride, (end - 1) * windows.stride + schema.reach
            places_.append(F.when(F.col("position").between(first, last), F.lit(rank)))
    if not places_:
        return df.withColumn(_PLACE, F.lit(0))
    numbered = numbered.withColumn("position", position)
    return numbered.withColumn(_PLACE, F.explode(F.array_compact(F.array(*places_)))).drop("position")
