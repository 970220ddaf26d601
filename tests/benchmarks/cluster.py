"""A cluster on this machine whose executors have one core each, for two workers."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pyspark.sql import SparkSession

sys.path.insert(0, str(Path(__file__).parents[1]))
from standalone import SETTINGS, Cluster

_ONE_CORE = {"spark.executor.cores": "1", "spark.cores.max": "2"}


@contextmanager
def spark() -> Iterator[SparkSession]:
    """A session on the cluster, which ends with the block."""
    os.environ["PYSPARK_PYTHON"] = sys.executable  # the executors' too
    with tempfile.TemporaryDirectory() as folder, Cluster(Path(folder)) as cluster:
        builder = SparkSession.builder.master(cluster.url).config("spark.local.dir", folder)
        for key, value in {**SETTINGS, **_ONE_CORE}.items():
            builder = builder.config(key, value)
        session = builder.getOrCreate()
        yield session
        session.stop()
