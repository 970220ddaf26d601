"""Queries of Structured Streaming, and what Spark logs of them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from pyspark.sql import SparkSession

#: What runs a query and logs a stack of forty lines where it ends by an error, by Spark's version.
_RUNS = (
    "org.apache.spark.sql.execution.streaming.runtime.MicroBatchExecution",
    "org.apache.spark.sql.execution.streaming.MicroBatchExecution",
)


@contextlib.contextmanager
def unlogged(spark: SparkSession) -> Iterator[None]:
    """Within the block Spark logs no error of a query: whoever has started it says it in a line.

    Args:
        spark: a session whose JVM this process has.
    """
    jvm: Any = spark._jvm  # noqa: SLF001  # PySpark has no other way to a logger
    log4j = jvm.org.apache.logging.log4j

    def set_level(level: Any) -> None:
        # Spark may have ended, or log by another library.
        with contextlib.suppress(Exception):
            for name in _RUNS:
                log4j.core.config.Configurator.setLevel(name, level)

    set_level(log4j.Level.OFF)
    try:
        yield
    finally:
        # None, which is ambiguous to Java here, would be that of its parent.
        set_level(log4j.LogManager.getRootLogger().getLevel())
