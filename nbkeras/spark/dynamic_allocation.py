"""Dynamic allocation: Spark's executors come and go, but all workers of a training must start at once.

Spark refuses a barrier stage while ``spark.dynamicAllocation.enabled`` is true
(SPARK-24942), because it cannot promise that. Here the executors are asked for
and waited for before the stage is submitted, and Spark finds the setting off
until the stage has ended. It takes away no executor that has work.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections import Counter
from collections.abc import Iterator

from pyspark.sql import SparkSession

from nbkeras.errors import ClusterError
from nbkeras.run.run import Run
from nbkeras.spark import cluster
from nbkeras.spark.session import is_connect

_ENABLED = "spark.dynamicAllocation.enabled"
_MOST = "spark.dynamicAllocation.maxExecutors"
#: Seconds without a new slot after which a cluster is taken to be full.
PATIENCE = 120.0
#: Seconds after which Spark is asked again: its own requests take the place of ours.
_ASK_SECONDS = 2.0

#: Stages at work or about to be submitted, by Spark application.
_stages: Counter[str] = Counter()
_lock = threading.Lock()


def is_on(spark: SparkSession) -> bool:
    """Whether Spark takes and gives back executors by itself.

    Raises:
        ClusterError: it does, and only the Connect server could change that.
    """
    if cluster.is_local(spark):
        return False
    if is_connect(spark):
        if str(spark.conf.get(_ENABLED, "false")).lower() == "true":
            raise ClusterError(
                f"{_ENABLED} is true, which Spark refuses for workers that start together, and over Connect "
                "it cannot be turned off: start the server without it, or use a classic session"
            )
        return False
    # A session that was made while a stage is at work knows the setting as it is now.
    at_work = _stages[str(spark.sparkContext.applicationId)] > 0
    return at_work or str(spark.conf.get(_ENABLED, "false")).lower() == "true"


def note(workers: int) -> str:
    """One sentence for users who leave the number of workers to nbkeras."""
    return (
        f"dynamic allocation: {workers} worker{'s' if workers > 1 else ''}, one for each executor that runs "
        "now; --workers N (workers=N) asks Spark for more"
    )


def require(spark: SparkSession, workers: int) -> None:
    """Make sure that Spark may take as many executors as the workers need.

    Raises:
        ClusterError: ``spark.dynamicAllocation.maxExecutors`` is too low.
    """
    if (most := spark.conf.get(_MOST, None)) is None or not (each := _slots_of_one(spark)):
        return
    if workers > int(most) * each:
        raise ClusterError(
            f"{workers} workers need {math.ceil(workers / each)} executors of {each} slots, but {_MOST} is "
            f"{most}: use --workers {int(most) * each} or fewer, or start Spark with a higher one"
        )


@contextlib.contextmanager
def stage(spark: SparkSession, workers: int, run: Run) -> Iterator[None]:
    """Within the block there are slots for all workers, and Spark takes a barrier stage.

    Without dynamic allocation nothing is done.

    Args:
        spark: the session.
        workers: tasks of the stage.
        run: is told what is waited for; its stop ends the waiting.

    Raises:
        ClusterError: the executors did not come.
        InterruptedError: the run was stopped meanwhile.
    """
    if not is_on(spark):
        yield
        return
    _wait(spark, workers, run)
    context = spark.sparkContext
    # Spark looks at its own settings, which no session can set.
    settings, application = context._conf, str(context.applicationId)  # noqa: SLF001
    with _lock:
        _stages[application] += 1
        settings.set(_ENABLED, "false")
    try:
        yield
    finally:
        with _lock:
            _stages[application] -= 1
            if not _stages[application]:
                settings.set(_ENABLED, "true")


def _wait(spark: SparkSession, workers: int, run: Run) -> None:
    most, since, asked = cluster.slots(spark), time.monotonic(), -math.inf
    if most >= workers:
        return
    run.note(f"dynamic allocation: Spark is asked for executors with {workers} task slots")
    try:
        while (free := cluster.slots(spark)) < workers:
            now = time.monotonic()
            if run.stopping.is_set():
                raise InterruptedError
            if free > most:
                most, since = free, now
            if now - since > PATIENCE:
                raise ClusterError(
                    f"{workers} workers need {workers} task slots, Spark at {spark.conf.get('spark.master')} "
                    f"has got {free} and no more for {PATIENCE:.0f} seconds: use --workers {max(1, free)} "
                    "or look whether the cluster is full"
                )
            if now - asked > _ASK_SECONDS:
                missing = math.ceil((workers - free) / (_slots_of_one(spark) or 1))
                _ask(spark, _executors(spark) + missing)
                asked = now
            time.sleep(0.1)
    finally:
        # Executors that become idle would be replaced for ever.
        _ask(spark, int(spark.conf.get("spark.dynamicAllocation.minExecutors", "0") or 0))


def _ask(spark: SparkSession, executors: int) -> None:
    """Tell Spark how many executors are wanted; those that run are not ended by a lower number."""
    context = spark.sparkContext
    nowhere = context._jvm.PythonUtils.toScalaMap({})  # type: ignore[union-attr]  # noqa: SLF001
    context._jsc.sc().requestTotalExecutors(executors, 0, nowhere)  # noqa: SLF001  # PySpark has no such call


def _executors(spark: SparkSession) -> int:
    return len(spark.sparkContext._jsc.sc().statusTracker().getExecutorInfos()) - 1  # noqa: SLF001


def _slots_of_one(spark: SparkSession) -> int:
    """Task slots of one executor, 0 where that is not known yet."""
    if running := _executors(spark):
        return cluster.slots(spark) // running
    return (cluster.cores(spark) or 0) // int(spark.conf.get("spark.task.cpus", "1") or 1)
