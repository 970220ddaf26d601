"""What runs where: Spark, its slots, and the versions in the notebook and on the executors."""

from __future__ import annotations

import os
import platform
import socket
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pyarrow as pa
from pyspark.sql import SparkSession

from nbkeras.engine import cluster, failures, warm

_PACKAGES = ("keras", "tensorflow", "pyarrow")
_SCHEMA = "host string, python string, packages string, server string"


def report(spark: SparkSession) -> str:
    """The state of the attached Spark in a few lines.

    Args:
        spark: the session; a small job asks its executors.

    Raises:
        ClusterError: the executors cannot answer.
    """
    cluster.ship(spark)
    slots = cluster.slots(spark)
    lines = [
        f"Spark {spark.version} at {spark.sparkContext.master}, {slots} slots",
        f"notebook: Python {platform.python_version()}, {_versions()}",
    ]
    number = max(1, slots)
    try:
        rows = spark.range(number, numPartitions=number).mapInArrow(_probe, _SCHEMA).distinct().collect()
    except Exception as error:
        raise failures.of_spark(error) from error
    lines += [
        f"executor on {row['host']}: Python {row['python']}, {row['packages']}; {row['server']}"
        for row in sorted(rows)
    ]
    return "\n".join(lines)


def _probe(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for _ in batches:
        pass
    values = [socket.gethostname(), platform.python_version(), _versions(), _server()]
    names = ["host", "python", "packages", "server"]
    yield pa.RecordBatch.from_arrays([pa.array([value]) for value in values], names=names)


def _versions() -> str:
    return ", ".join(f"{name} {_version(name)}" for name in _PACKAGES)


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        # The same module comes in builds of other names.
        return next(
            (
                one.version
                for one in metadata.distributions()
                if (one.name or "").replace("_", "-").startswith(f"{name}-")
            ),
            f"is missing in {sys.executable}",
        )


def _server() -> str:
    """Whether a server with Keras loaded waits for the next training."""
    waiting = list(Path(warm.private_directory()).glob(f"{os.getppid()}-*.sock"))
    return "a warm server waits" if waiting else "no warm server"
