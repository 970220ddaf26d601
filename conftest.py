"""The Spark of the tests and of the examples in docstrings."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from nbkeras.spark import java

if TYPE_CHECKING:
    from kernel import Notebook
    from standalone import Cluster


# jsonschema takes it where it is there; it builds a grammar of addresses for seconds, which no test looks at.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]  # that is how an import is refused

#: In this process' JVM; a cluster on this machine; such a cluster behind a Spark Connect server.
MASTERS = ("local", "standalone", "connect")
#: Where smoke tests run by default; in the soak on a cluster itself too, which the Connect server stands for.
SMOKE = ("local", "oldest", "connect")
#: That each executor of the tests' Spark on a cluster gets: for trainings that ask for some.
GPUS = {"spark.executor.resource.gpu.amount": "2"}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Offer other Sparks than the local one."""
    parser.addoption(
        "--master",
        action="append",
        choices=MASTERS,
        help="the Spark of the tests; given again, they run on one after the other",
    )
    parser.addoption(
        "--any-backend",
        default="torch",
        choices=("torch", "auto"),
        help="Keras backend of the workers where a test holds on any; auto: the notebook's",
    )


class _Failures:
    """Says at once what has failed: the report of a run of several processes comes at its end."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        reporter = self._config.pluginmanager.get_plugin("terminalreporter")
        if report.failed and reporter is not None:
            reason = getattr(getattr(report.longrepr, "reprcrash", None), "message", "").partition("\n")[0]
            reporter.write_line(f"\nFAILED in {report.when}: {report.nodeid} - {reason}")


def pytest_configure(config: pytest.Config) -> None:
    """Give each of several test processes temporary files of its own: tests look at what is left there."""
    import jvm

    config.pluginmanager.register(_Failures(config))

    os.environ.setdefault("SPARK_SUBMIT_OPTS", jvm.options())
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker is not None:
        folder = Path(tempfile.gettempdir()) / f"tests-{os.getuid()}-{worker}"
        folder.mkdir(mode=0o700, exist_ok=True)
        os.environ["TMPDIR"] = tempfile.tempdir = str(folder)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test of Spark on each kind that was asked for."""
    asked = metafunc.config.getoption("master") or []
    if "spark_master" in metafunc.fixturenames and len(asked) > 1:
        metafunc.parametrize("spark_master", asked, indirect=True, scope="session")


#: Folders of tests whose servers are dear: all of a folder run in one process, before the others.
_LONGEST = {"browser", "kernels", "zeppelin"}
#: Fixtures that start a Spark, a kernel, a browser, a server or a notebook.
_DEAR = {
    "browser",
    "chromium",
    "cluster",
    "connect_server",
    "elsewhere",
    "kernel",
    "notebook",
    "protected",
    "session",
    "spark",
    "zeppelin",
}


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    """Keep together in a process what shares a server, a browser or a Spark."""
    from xdist.scheduler import LoadScopeScheduling

    class Together(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            path = Path(nodeid.split("::", maxsplit=1)[0])
            return path.parent.name if path.parent.name in _LONGEST else str(path)

    return Together(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what is quick or rare, and leave out what cannot run on the kind of Spark that it would have."""
    # What takes longest begins first, or one of several processes would be left with it in the end. Then
    # come tests that wait until no model predicts any more: before others have predicted, none does.
    # Of several kinds of Spark, each keeps its tests together.
    [only, *further] = config.getoption("master") or ["local"]
    waits = [] if further else [one for one in items if "nothing_waits" in getattr(one, "fixturenames", ())]
    waiting = {item.path for item in waits}
    items.sort(key=lambda item: (item.path.parent.name not in _LONGEST, item.path not in waiting))
    for item in items:
        dear = _DEAR.intersection(getattr(item, "fixturenames", ()))
        if not dear and not any(map(item.get_closest_marker, ("cluster", "process", "soak"))):
            item.add_marker("quick")
    others = []
    for item in items:
        params = (
            item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
        )
        mark = item.get_closest_marker("on")
        if mark is not None and params.get("spark_master", only) not in mark.args:
            others.append(item)
        smoke = item.get_closest_marker("smoke")
        if smoke and _kind(params.get("spark_master", only)) not in (smoke.args or SMOKE):
            item.add_marker("soak")
    if others:
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item not in others]


def _kind(master: str) -> str:
    """The kind of Spark for smoke tests: the oldest one, if it is in front of the installed one, is local."""
    import pyspark

    return "oldest" if master == "local" and pyspark.__version__.startswith("3.") else master


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster on this machine, started when first asked for. Each Worker finds four GPUs, so to speak."""
    from standalone import Cluster

    folder = tmp_path_factory.mktemp("cluster")
    script = folder / "discover.sh"
    script.write_text('#!/bin/sh\necho \'{"name": "gpu", "addresses": ["5", "7", "11", "13"]}\'\n')
    script.chmod(0o755)
    found = {
        "spark.worker.resource.gpu.amount": "4",
        "spark.worker.resource.gpu.discoveryScript": str(script),
    }
    with Cluster(folder, settings=found) as running:
        yield running


@pytest.fixture(scope="session")
def notebook() -> Iterator[Notebook]:
    """A notebook for the scripts that start a Spark on the cluster."""
    from kernel import Notebook

    with Notebook() as running:
        yield running


@pytest.fixture(scope="session")
def spark_master(request: pytest.FixtureRequest) -> str:
    """The kind of Spark that the tests run on."""
    [only, *_] = request.config.getoption("master") or ["local"]
    return str(getattr(request, "param", only))


@pytest.fixture(scope="session")
def spark(
    request: pytest.FixtureRequest, spark_master: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[object]:
    """The tests' Spark: a local one with three slots, or a cluster of two executors with two slots each."""
    import pyspark
    from pyspark.sql import SparkSession

    from nbkeras import requirements
    from nbkeras.driver.training import warm

    if spark_master == "connect":
        from connectserver import ConnectServer
        from standalone import SETTINGS, environment

        cluster = request.getfixturevalue("cluster")
        python = str(environment(tmp_path_factory.mktemp("executors")))
        folder = cluster.folder / "connect"
        folder.mkdir()
        # There must be room for another application.
        of_executors = {
            key: value for key, value in SETTINGS.items() if key.startswith(("spark.executor", "spark.cores"))
        }
        settings = of_executors | GPUS
        with ConnectServer(folder, cluster.url, python, **settings) as server:
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
    if spark_master == "standalone":
        from standalone import SETTINGS, environment

        os.environ["PYSPARK_PYTHON"] = str(environment(tmp_path_factory.mktemp("executors")))
        builder = builder.master(request.getfixturevalue("cluster").url)
        for key, value in (SETTINGS | GPUS).items():
            builder = builder.config(key, value)
    if pyspark.__version__.startswith("3."):
        # Without it, Spark takes no pandas DataFrame with arrays in it.
        builder = builder.config("spark.sql.execution.arrow.pyspark.enabled", "true")
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    # Tests count the jobs of Spark: what gets ready beside them has tests of its own, and those of kernels.
    warm.begun[session.sparkContext] = {*requirements.BACKENDS}
    yield session
    session.stop()


@pytest.fixture(scope="module")
def any_backend(request: pytest.FixtureRequest) -> Iterator[None]:
    """Workers train with torch where the test does not say: it traces nothing before the first step.

    For tests of what there is around a training. A tiny one takes a third of the time that it takes with
    TensorFlow.
    """
    from nbkeras.driver import checks

    backend, chosen = checks.backend, request.config.getoption("any_backend")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checks, "backend", lambda asked: backend(chosen if asked == "auto" else asked))
        yield


@pytest.fixture(autouse=True)
def _spark_of_examples(request: pytest.FixtureRequest) -> None:
    """Examples that train or ask for a Spark have that of the tests: the first of a process stays."""
    examples = getattr(getattr(request.node, "dtest", None), "examples", ())
    asks = any("local_spark()" in one.source for one in examples)
    if asks or request.node.name.startswith("nbkeras.api."):
        request.getfixturevalue("spark")
