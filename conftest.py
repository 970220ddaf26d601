"""The Spark of the tests and of the examples in docstrings."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest

from nbkeras import java


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    """A local Spark with three slots."""
    from pyspark.sql import SparkSession

    java.ensure()
    # Workers would take the first python3 on PATH, which knows no pyarrow.
    os.environ["PYSPARK_PYTHON"] = sys.executable
    session = (
        SparkSession.builder.master("local[3]")
        .appName("nbkeras tests")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.local.dir", str(tmp_path_factory.mktemp("spark")))
        .config("spark.sql.shuffle.partitions", "3")
        .config("spark.sql.warehouse.dir", str(tmp_path_factory.mktemp("warehouse")))
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .getOrCreate()
    )
    session.sparkContext.setLogLevel("ERROR")
    yield session
    session.stop()


@pytest.fixture(autouse=True)
def _spark_of_examples(request: pytest.FixtureRequest) -> None:
    """Examples that train do so on the tests' Spark, not on one of their own."""
    if request.node.name.startswith("nbkeras.api."):
        request.getfixturevalue("spark")
