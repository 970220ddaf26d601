"""Survey: Spark, its slots, and the versions in the notebook and on the executors."""

from __future__ import annotations

import importlib.util
import platform
import sys

from pyspark.sql import SparkSession

from nbkeras import requirements
from nbkeras.spark import cluster, preflight

_PACKAGES = ("keras", "tensorflow", "pyarrow")
#: Listed only if they are installed.
_EXTRAS = ("torch", "jax")


def report(spark: SparkSession) -> str:
    """Describe the attached Spark in a few lines.

    Args:
        spark: the session; a small job runs on its executors.

    Raises:
        ClusterError: the executors cannot answer.
    """
    cluster.ship(spark)
    wanted = (*_PACKAGES, *(name for name in _EXTRAS if importlib.util.find_spec(name) is not None))
    ours = {
        name: next(filter(None, map(requirements.installed, preflight.distributions(name))), None)
        for name in wanted
    }
    return "\n".join(
        [
            f"Spark {spark.version} {cluster.place(spark)}, {cluster.slots(spark)} slots",
            f"notebook: Python {platform.python_version()} at {sys.executable}, {_versions(ours)}",
            *(_line(one) for one in preflight.ask(spark, wanted)),
        ]
    )


def _line(one: preflight.Interpreter) -> str:
    server = "a warm server waits" if one.server else "no warm server"
    return f"executor on {one.host}: Python {one.python} at {one.path}, {_versions(one.packages)}; {server}"


def _versions(packages: dict[str, str | None]) -> str:
    said = {None: "is missing", "": "of an unknown version"}
    return ", ".join(f"{name} {said.get(version, version)}" for name, version in packages.items())
