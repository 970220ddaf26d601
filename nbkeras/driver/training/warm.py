"""Warm: a Spark on this machine gets ready for a training while the notebook imports Keras."""

from __future__ import annotations

import contextlib
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbkeras import requirements
from nbkeras.spark import cluster, session

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_lock = threading.Lock()
#: By application of Spark, the backends that it was told to get ready for.
begun: weakref.WeakKeyDictionary[Any, set[str]] = weakref.WeakKeyDictionary()


def begin(given: SparkSession | None, backend: str) -> None:
    """Start, without waiting for it, what the first training would wait for: Spark's Python, and a server.

    On a cluster nothing is started: an executor on which nobody trains needs no server.

    Args:
        given: the session; None for the active one, if there is one.
        backend: of the workers; "auto" for the one that Keras takes here.
    """
    chosen = requirements.backend() if backend == "auto" else backend
    # The training does all of it again, and says what is wrong with it.
    with contextlib.suppress(Exception):
        spark = session.running() if given is None else given
        # Another Python would fail, and where Spark logs, it would log that.
        if spark is None or not cluster.is_local(spark) or cluster.link(spark).python != sys.executable:
            return
        if _is_first(cluster.link(spark).application, chosen):
            session.thread(spark, partial(_start, spark, chosen), "nbkeras-warm").start()


def _start(spark: SparkSession, backend: str) -> None:
    package = Path(requirements.__file__).with_name("__init__.py")
    with contextlib.suppress(Exception):
        # In no job group of its own: in Zeppelin, all threads share one.
        spark.range(1, numPartitions=1).mapInArrow(_ready(backend, str(package)), "ready boolean").collect()


def _is_first(application: Any, backend: str) -> bool:
    with _lock:
        known = begun.setdefault(application, set())
        is_first = backend not in known
        known.add(backend)
    return is_first


def _ready(backend: str, package: str) -> Callable[[Any], Iterator[Any]]:
    """What a task does that makes its Python ready: Spark keeps it for the next tasks."""

    def ready(batches: Any) -> Iterator[Any]:
        # The package is not sent for this: it takes seconds while this process imports.
        from importlib.util import find_spec

        found = find_spec("nbkeras")
        if found is not None and found.origin == package:
            from nbkeras.worker import fork_server, task  # noqa: F401  # a training imports the second one

            fork_server.begin(backend)
        for _ in batches:
            yield from ()

    return ready
