"""Preflight: check that the executors' Pythons have the versions and packages that a training needs.

A plain command runs the check, not PySpark, which cannot start in a Python of another
version, or would fail in the middle of the training.
"""

from __future__ import annotations

import json
import platform
import sys
import weakref
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.specifiers import SpecifierSet
from pyspark.sql import SparkSession

from nbkeras import requirements
from nbkeras.errors import ClusterError
from nbkeras.spark import cluster, exceptions, session

#: Limit of the tasks that check: there is one per slot, so that each executor gets one.
_MOST = 256
#: What a training imports on the executors besides the backend.
_PACKAGES = ("keras", "numpy", "pyarrow", "cloudpickle")
#: By application, the backends and other packages that its executors have passed the check for.
_passed: weakref.WeakKeyDictionary[Any, set[str]] = weakref.WeakKeyDictionary()


@dataclass(frozen=True)
class Interpreter:
    """The Python of an executor.

    Attributes:
        host: its machine.
        path: of its executable.
        python: its version.
        packages: version by import name; empty if it is unknown, None if the package
            is missing.
        server: whether the executor has a warm server.
    """

    host: str
    path: str
    python: str
    packages: dict[str, str | None]
    server: bool = False

    def __str__(self) -> str:
        return f"the Python of the executor on {self.host}, {self.path} {self.python},"


def ask(spark: SparkSession, packages: Iterable[str]) -> list[Interpreter]:
    """Examine the executors' Pythons, each once.

    Args:
        spark: the session; a small job runs on its executors.
        packages: import names to look for.

    Raises:
        ClusterError: there is no Python where Spark looks for it.
    """
    wanted = {name: distributions(name) for name in packages}
    script = Path(__file__).with_name("probe.py").read_text(encoding="utf-8")
    link = cluster.link(spark)
    number = max(1, min(cluster.slots(spark), _MOST))
    try:
        lines = link.said(script, json.dumps(wanted), number)
        return [Interpreter(**json.loads(line)) for line in sorted(lines)]
    except Exception as error:
        if "Subprocess exited with status" in str(error) or isinstance(error, ValueError):
            raise ClusterError(
                f"{link.python}{exceptions.where(str(error))} is not a Python that works: set "
                "PYSPARK_PYTHON (or spark.pyspark.python) to one, and restart Spark"
            ) from error
        raise exceptions.translate(error, stopped=session.is_stopped(spark)) from error


def distributions(package: str) -> tuple[str, ...]:
    """Return the distributions that may provide an import package.

    Example:
        >>> distributions("keras"), distributions("tensorflow")[:2]
        (('keras',), ('tensorflow', 'tensorflow-cpu'))
    """
    if package in requirements.BACKENDS:
        return requirements.BACKENDS[package][1]
    return requirements.DISTRIBUTIONS.get(package, (package,))


def require(spark: SparkSession, backend: str, packages: Iterable[str] = ()) -> None:
    """Check that the executors' Pythons can train, once per application and what they need.

    Args:
        spark: the session.
        backend: of the workers.
        packages: import names of what they need besides.

    Raises:
        ClusterError: one has another version than the notebook's, or lacks a package.
    """
    link = cluster.link(spark)
    passed = _passed.setdefault(link.application, set())
    own = cluster.is_local(spark) and link.python == sys.executable
    # Without a free slot the check could wait for ever; the tasks check again themselves.
    wanted = {backend, *packages}
    if own or wanted <= passed or not cluster.slots(spark):
        return
    for one in ask(spark, (*_PACKAGES, backend, *packages)):
        if (problem := fault(one)) is not None:
            raise ClusterError(problem)
    passed |= wanted


def fault(one: Interpreter) -> str | None:
    """Say in one line why a Python cannot train and what to type; None if it can.

    Example:
        >>> fault(Interpreter("node7", "/usr/bin/python2", "2.7.18", {}))
        "the Python of the executor on node7, /usr/bin/python2 2.7.18, is not of the notebook's version: ..."
    """
    here = ".".join(platform.python_version_tuple()[:2])
    if one.python.split(".")[:2] != here.split("."):
        return (
            f"{one} is not of the notebook's version: set PYSPARK_PYTHON (or spark.pyspark.python) to a "
            f"Python {here} there, and restart Spark"
        )
    if missing := [name for name, version in one.packages.items() if version is None]:
        return lacks(one, missing)
    for name, version in one.packages.items():
        if version and not (wanted := _bounds(name)).contains(version, prereleases=True):
            return (
                f"{one} has {name} {version}, but needs {name}{wanted}: type there "
                f"{one.path} -m pip install '{_distribution(name)}{wanted}'"
            )
    return None


def lacks(one: Interpreter, names: list[str]) -> str:
    """Say in one line which packages a Python lacks and what to type there."""
    wanted = [_distribution(name) for name in names]
    return (
        f"{one} has no {' and no '.join(wanted)}: install it there "
        f"({one.path} -m pip install {' '.join(wanted)}) or set PYSPARK_PYTHON to a Python that has it, "
        "and restart Spark"
    )


def _distribution(package: str) -> str:
    return distributions(package)[0]


def _bounds(name: str) -> SpecifierSet:
    """Return the versions of a package that an executor may have."""
    if name == "keras" and (ours := requirements.installed("keras")):
        # A model is sent as its Python objects, which change from one minor version to the next.
        return SpecifierSet(f"=={'.'.join(ours.split('.')[:2])}.*")
    return requirements.bounds().get(_distribution(name), SpecifierSet())
