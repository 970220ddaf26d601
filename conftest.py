"""The Spark of the tests and of the examples in docstrings."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nbkeras import java

if TYPE_CHECKING:
    from standalone import Cluster


def pytest_addoption(parser: pytest.Parser) -> None:
    """Offer other Sparks than the local one."""
    parser.addoption(
        "--master",
        choices=("local", "standalone", "connect"),
        default="local",
        help="the Spark of the tests: in this process' JVM, a cluster on this machine, "
        "or such a cluster behind a Spark Connect server",
    )


def pytest_configure() -> None:
    """Give each of several test processes temporary files of its own: tests look at what is left there."""
    from jvm import SHORT_LIVED

    os.environ.setdefault("SPARK_SUBMIT_OPTS", " ".join(SHORT_LIVED))
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker is not None:
        folder = Path(tempfile.gettempdir()) / f"tests-{os.getuid()}-{worker}"
        folder.mkdir(mode=0o700, exist_ok=True)
        os.environ["TMPDIR"] = tempfile.tempdir = str(folder)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster on this machine, started when first asked for."""
    from standalone import Cluster

    with Cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture(scope="session")
def spark(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    """The tests' Spark: a local one with three slots, or a cluster of two executors with two slots each."""
    import pyspark
    from pyspark.sql import SparkSession

    if request.config.getoption("master") == "connect":
        from connectserver import ConnectServer
        from standalone import environment

        cluster = request.getfixturevalue("cluster")
        python = str(environment(tmp_path_factory.mktemp("executors")))
        folder = cluster.folder / "connect"
        folder.mkdir()
        with ConnectServer(folder, cluster.url, python, **{"spark.executor.memory": "512m"}) as server:
            session = SparkSession.builder.remote(server.url).getOrCreate()
            yield session
            session.stop()
        return
    java.ensure()
    # Workers would take the first python3 on PATH, which knows no pyarrow.
    os.environ["PYSPARK_PYTHON"] = sys.executable
    builder = (
        SparkSession.builder.master("local[3]")
        .appName("nbkeras tests")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.local.dir", str(tmp_path_factory.mktemp("spark")))
        .config("spark.sql.shuffle.partitions", "3")
        .config("spark.sql.warehouse.dir", str(tmp_path_factory.mktemp("warehouse")))
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
    )
    if request.config.getoption("master") == "standalone":
        from standalone import SETTINGS, environment

        os.environ["PYSPARK_PYTHON"] = str(environment(tmp_path_factory.mktemp("executors")))
        builder = builder.master(request.getfixturevalue("cluster").url)
        for key, value in SETTINGS.items():
            builder = builder.config(key, value)
    if pyspark.__version__.startswith("3."):
        # Without it, Spark takes no pandas DataFrame with arrays in it.
        builder = builder.config("spark.sql.execution.arrow.pyspark.enabled", "true")
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    yield session
    session.stop()


@pytest.fixture(autouse=True)
def _spark_of_examples(request: pytest.FixtureRequest) -> None:
    """Examples that train do so on the tests' Spark, not on one of their own."""
    if request.node.name.startswith("nbkeras.api."):
        request.getfixturevalue("spark")
