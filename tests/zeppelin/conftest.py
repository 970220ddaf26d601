from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path

import fetched
import pyspark
import pytest
from waiting import LIMIT
from zeppelin import assemble
from zeppelin.server import Zeppelin

from nbkeras.spark import java

ROOT = Path(__file__).parents[2]
EDITION = pytest.StashKey[str]()

# Zeppelin before 0.11 looks for a package by the name it had long ago.
PYTHON = f"""#!/bin/sh
case "$*" in
    "-m pip freeze") "{sys.executable}" "$@" | sed s/^jupyter_client/jupyter-client/ ;;
    *) exec "{sys.executable}" "$@" ;;
esac
"""

PROPERTIES = {
    "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}",
    "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "python",  # Zeppelin's own stubs are of 2020
    "zeppelin.IPythonInterpreter.precode": "%load_ext nbkeras",
    "zeppelin.IPySparkInterpreter.precode": "%load_ext nbkeras",
    "zeppelin.python.gatewayserver_address": "127.0.0.1",
    "zeppelin.jupyter.kernel.launch.timeout": f"{1000 * LIMIT:.0f}",  # ms; else 30 s, which may be too few
}

SPARK = {
    "SPARK_LOCAL_IP": "127.0.0.1",
    "PYSPARK_PYTHON": sys.executable,
    "spark.master": "local[2]",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.ui.enabled": "false",
    "zeppelin.spark.enableSupportedVersionCheck": "false",  # Zeppelin 0.10 knows no Spark after 3.2
    "zeppelin.spark.scala.version": "2.12",  # so that it takes the class that compile_spark makes
    "zeppelin.spark.useHiveContext": "false",
    "zeppelin.spark.concurrentSQL": "false",
}


@pytest.fixture(scope="session")
def zeppelin(request, tmp_path_factory):
    """A server whose kernels know nbkeras."""
    java.ensure()
    home = fetched.zeppelin()
    request.config.stash[EDITION] = assemble.describe(home)
    root = tmp_path_factory.mktemp("zeppelin")
    python = root / "python"
    python.write_text(PYTHON)
    python.chmod(0o755)
    with Zeppelin(home, root).served() as zeppelin:
        zeppelin.configure("python", PROPERTIES | {"zeppelin.python": str(python)})
        if (home / "interpreter" / "spark").is_dir():
            own = {"PYSPARK_DRIVER_PYTHON": str(python), "SPARK_HOME": str(Path(pyspark.__file__).parent)}
            zeppelin.configure("spark", PROPERTIES | SPARK | own)
        yield zeppelin


@pytest.fixture(scope="session")
def plain(zeppelin):
    """The name of an interpreter that is no IPython."""
    zeppelin.add_interpreter("plain", "python", {"zeppelin.python.useIPython": "false"})
    return "plain"


@pytest.fixture(scope="session")
def spark(request, zeppelin, overlay, tmp_path_factory):
    """The version of Spark that the interpreter spark starts; a test says which."""
    version = request.param
    _skip_where_spark_cannot_run(version)
    jdk = next((one for one in java.candidates() if _makes_spark(one)), None)
    assert jdk, f"no JDK from {java.OLDEST} to {java.NEWEST_BEFORE_SPARK_4_1} to make %spark with"
    home = overlay("pyspark", version) / "pyspark"
    classes = tmp_path_factory.mktemp("classes")
    try:
        assemble.compile_spark(zeppelin.home, home, jdk.home, classes)
    except assemble.Unavailable as reason:
        pytest.skip(str(reason))
    own = {
        "JAVA_HOME": str(jdk.home),
        "SPARK_HOME": str(home),
        "SPARK_CLASSES": str(classes),
        "spark.sql.warehouse.dir": str(tmp_path_factory.mktemp("warehouse")),
    }
    zeppelin.configure("spark", own)
    request.config.stash[EDITION] += f", Spark {version}"
    yield version
    zeppelin.restart("spark")


@pytest.fixture
def plain_spark(zeppelin, spark):
    """The name of an interpreter with that Spark that is no IPython."""
    name = f"plain{spark.replace('.', '')}"
    zeppelin.add_interpreter(name, "spark", {"zeppelin.pyspark.useIPython": "false"})
    yield name
    zeppelin.restart(name)


def _skip_where_spark_cannot_run(version):
    if version < "4" and sys.version_info >= (3, 12):
        pytest.skip(f"Spark {version} needs Python before 3.12")
    if version < "4" and importlib.metadata.version("pandas") >= "3":
        pytest.skip(f"Spark {version} needs pandas before 3")


def _makes_spark(one):
    fits = java.OLDEST <= one.major <= java.NEWEST_BEFORE_SPARK_4_1
    return fits and one.complete and (one.home / "bin" / "javac").exists()


def pytest_terminal_summary(terminalreporter, config):
    if EDITION in config.stash:
        terminalreporter.section("Zeppelin")
        terminalreporter.line(config.stash[EDITION])
