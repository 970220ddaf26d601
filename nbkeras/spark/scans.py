"""Scans: files that one task reads as fast as all slots would, so that one worker needs no exchange."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import reduce
from typing import Any

from pyspark.sql import DataFrame, SparkSession

#: What costs less in a task than an exchange of its rows: nodes of Spark's plan, by how their names begin.
_CHEAP = (
    "ColumnarToRow",
    "Filter",
    "InputAdapter",
    "Project",
    "Scan orc",
    "Scan parquet",
    "WholeStageCodegen",
)
#: Bytes that one task reads for all slots, divided by their number: a costly column is computed in one too.
_MOST = 1 << 29
#: Spark's settings of the partitions of files, which it reads as it plans a query.
_LEAST_PARTITIONS, _PARTITION_BYTES = "spark.sql.files.minPartitionNum", "spark.sql.files.maxPartitionBytes"
_planning = threading.Lock()


def in_one_task(spark: SparkSession, parts: Sequence[DataFrame], slots: int) -> DataFrame | None:
    """Return the rows of all parts in one partition that no exchange fills; None where one is better.

    Their order is not that of the parts, whose files Spark cuts otherwise.

    Args:
        spark: a classic session.
        parts: DataFrames with the same columns.
        slots: tasks that can run at once.
    """
    with _one_partition(spark, _MOST // slots):
        scanned = [_scanned(spark, part) for part in parts]
    found = [one for one in scanned if one is not None]
    if len(found) < len(parts):
        return None
    # Older versions of Spark cannot put two partitions into one, in a barrier stage.
    joined = reduce(DataFrame.unionByName, [one.coalesce(1) for one in found])
    return joined if _rows(joined).getNumPartitions() == 1 else None


def _scanned(spark: SparkSession, df: DataFrame) -> DataFrame | None:
    """The DataFrame as Spark plans it now, if that is a cheap scan of one partition."""
    planned = df.select("*")
    plan = planned._jdf.queryExecution().executedPlan()  # noqa: SLF001  # PySpark shows no plan
    if not plan.subqueriesAll().isEmpty() or not all(name.startswith(_CHEAP) for name in _names(plan)):
        return None
    rows = _rows(planned)
    if rows.getNumPartitions() != 1:
        return None
    session: Any = spark._jsparkSession  # noqa: SLF001  # a DataFrame is planned again for each action
    return DataFrame(session.internalCreateDataFrame(rows, planned._jdf.schema(), False), spark)  # noqa: SLF001


def _rows(df: DataFrame) -> Any:
    """Java's RDD of a DataFrame."""
    return df._jdf.queryExecution().toRdd()  # noqa: SLF001  # in PySpark its rows are pickled


def _names(plan: Any) -> Iterator[str]:
    yield str(plan.nodeName())
    children = plan.children()
    for index in range(children.size()):
        yield from _names(children.apply(index))


@contextmanager
def _one_partition(spark: SparkSession, bytes_: int) -> Iterator[None]:
    """Within the block, let Spark plan one partition for files that are no larger."""
    wanted = {_LEAST_PARTITIONS: "1", _PARTITION_BYTES: str(bytes_)}
    with _planning:
        before: dict[str, Any] = {key: spark.conf.get(key, None) for key in wanted}
        try:
            for key, value in wanted.items():
                spark.conf.set(key, value)
            yield
        finally:
            for key, value in before.items():
                if value is None:
                    spark.conf.unset(key)
                else:
                    spark.conf.set(key, value)
