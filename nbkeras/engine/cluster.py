"""What the engine asks of Spark itself: slots, addresses, the package on the executors."""

from __future__ import annotations

import os
import sys
import tempfile
import time
import weakref
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

import nbkeras
from nbkeras.errors import ClusterError

#: Seconds that executors have to register before too few slots are an error.
_SLOT_SECONDS = 1.5
#: Bytes of rows that travel to Python at once.
_BATCH_BYTES = 1 << 24
#: The folder of the package's archive, by Spark application.
_shipped: weakref.WeakKeyDictionary[Any, tempfile.TemporaryDirectory[str]] = weakref.WeakKeyDictionary()


def slots(spark: SparkSession) -> int:
    """Tasks that can run at once."""
    context = spark.sparkContext._jsc.sc()  # noqa: SLF001  # Spark has no public count of slots
    return int(context.maxNumConcurrentTasks(context.resourceProfileManager().defaultResourceProfile()))


def is_local(spark: SparkSession) -> bool:
    """Whether driver and executor are one process."""
    master = str(spark.conf.get("spark.master", ""))
    return master.startswith("local") and not master.startswith("local-cluster")


def executors(spark: SparkSession) -> int:
    """Executors besides the driver; 1 where the driver is the executor."""
    if is_local(spark):
        return 1
    # The status tracker counts the driver's own entry too.
    tracker = spark.sparkContext._jsc.sc().statusTracker()  # noqa: SLF001  # PySpark's own lacks executors
    return max(1, len(tracker.getExecutorInfos()) - 1)


def require_slots(spark: SparkSession, workers: int) -> None:
    """Make sure that so many tasks can run at once.

    A barrier stage that does not fit would wait for minutes before it says so.

    Raises:
        ClusterError: there are fewer slots.
    """
    deadline = time.monotonic() + (0.0 if is_local(spark) else _SLOT_SECONDS)
    while (free := slots(spark)) < workers:
        if time.monotonic() >= deadline:
            most = (
                f"use --workers {free} or fewer" if free else "no executor has registered: check the cluster"
            )
            raise ClusterError(
                f"{workers} workers need {workers} task slots, Spark at {spark.conf.get('spark.master')} "
                f"has {free}: {most}, or give Spark more cores"
            )
        time.sleep(0.1)


def hosts(spark: SparkSession) -> tuple[str, str]:
    """The address to listen on and the one by which workers know it: Spark's own."""
    if is_local(spark):
        return "127.0.0.1", "127.0.0.1"
    known = str(spark.conf.get("spark.driver.host"))
    return str(spark.conf.get("spark.driver.bindAddress", None) or known), known


def cores(spark: SparkSession) -> int | None:
    """Cores that one executor may use; None for all that its machine gives it."""
    if is_local(spark):
        return None
    known = spark.conf.get("spark.executor.cores", None)
    return int(known) if known else None


def refuse_unsafe(spark: SparkSession) -> None:
    """Refuse what the engine cannot honour yet.

    Raises:
        ClusterError: Spark is told to encrypt or authenticate what nbkeras would send in the clear.
    """
    for key, why in {
        "spark.io.encryption.enabled": "rows would lie unencrypted in the spool",
        "spark.ssl.enabled": "events would go unencrypted to the notebook",
    }.items():
        if _is_set(spark, key):
            raise ClusterError(f"{key} is true, but {why}: nbkeras does not support it yet")


def refuse_open_ports(spark: SparkSession, workers: int) -> None:
    """Refuse several workers where Spark authenticates: their backends' ports do not.

    Raises:
        ClusterError: ``spark.authenticate`` is true and there are several workers.
    """
    if workers > 1 and _is_set(spark, "spark.authenticate"):
        raise ClusterError(
            f"spark.authenticate is true, but {workers} workers would sum gradients over TensorFlow's ports, "
            "which ask nobody who he is: use --workers 1 (workers=1)"
        )


def _is_set(spark: SparkSession, key: str) -> bool:
    return str(spark.conf.get(key, "false")).lower() == "true"


def ship(spark: SparkSession) -> None:
    """Give the executors this very nbkeras, once per Spark application."""
    context = spark.sparkContext
    if (
        is_local(spark)
        and "PYSPARK_PYTHON" not in os.environ
        and not spark.conf.get("spark.pyspark.python", "")
    ):
        # Nobody has chosen a Python; Spark would take the first on PATH, not this one with its packages.
        context.pythonExec = sys.executable
    if context in _shipped:
        return
    root = Path(nbkeras.__file__).parent
    # Executors may fetch the file at any time while the application runs.
    folder = tempfile.TemporaryDirectory(prefix="nbkeras-")
    archive = Path(folder.name) / "nbkeras.zip"
    with zipfile.ZipFile(archive, "w") as bundle:
        for source in root.rglob("*.py"):
            bundle.write(source, Path("nbkeras") / source.relative_to(root))
    context.addPyFile(str(archive))
    _shipped[context] = folder


@contextmanager
def bounded_batches(spark: SparkSession, row_bytes: int) -> Iterator[None]:
    """Within the block, Spark hands Python no more than some megabytes of rows at once.

    Spark counts rows, ten thousand of them unless told otherwise: of pictures
    that is gigabytes.
    """
    key = "spark.sql.execution.arrow.maxRecordsPerBatch"
    before = str(spark.conf.get(key))
    most = max(1, _BATCH_BYTES // max(1, row_bytes))
    if 0 < int(before) <= most:
        yield
        return
    spark.conf.set(key, most)
    try:
        yield
    finally:
        spark.conf.set(key, before)


class Task:
    """A Spark action in a job group of its own, so that it can be cancelled alone.

    Args:
        spark: the session.
        group: a name that no other job group has.
        title: what Spark's own pages show.
    """

    def __init__(self, spark: SparkSession, group: str, title: str) -> None:
        self._context, self._group, self._title = spark.sparkContext, group, title

    def run(self, action: Callable[[], Any]) -> Any:
        """What the action returns. Leaves the calling thread's own job group as it was."""
        keys = ("spark.jobGroup.id", "spark.job.description", "spark.job.interruptOnCancel")
        before = {key: self._context.getLocalProperty(key) for key in keys}
        self._context.setJobGroup(self._group, self._title, interruptOnCancel=True)
        try:
            return action()
        finally:
            for key, value in before.items():
                self._context.setLocalProperty(key, value)  # type: ignore[arg-type]

    def cancel(self) -> None:
        """End it, from any thread."""
        self._context.cancelJobGroup(self._group)
