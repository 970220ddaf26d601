"""Dynamic allocation: Spark adds and removes executors, but all workers of a training must start at once.

Spark refuses a barrier stage while ``spark.dynamicAllocation.enabled`` is true
(SPARK-24942), because it cannot guarantee this. So this module requests executors and
waits for them before the stage is submitted, and turns the setting off until the stage
has ended. Spark removes no executor that runs tasks.
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
#: Seconds without a new slot after which a cluster counts as full.
PATIENCE = 120.0
#: Seconds after which the request is repeated: Spark's own requests replace it.
_ASK_SECONDS = 2.0

#: Number of stages that run or are about to be submitted, by Spark application.
_stages: Counter[str] = Counter()
_lock = threading.Lock()


def is_on(spark: SparkSession) -> bool:
    """Whether dynamic allocation is on.

    Raises:
        ClusterError: it is on, and only the Connect server could turn it off.
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
    # While a stage runs the setting is off, also for a session that is made then.
    at_work = _stages[str(spark.sparkContext.applicationId)] > 0
    return at_work or str(spark.conf.get(_ENABLED, "false")).lower() == "true"


def note(workers: int) -> str:
    """Explain the number of workers that nbkeras has chosen, in one sentence."""
    return (
        f"dynamic allocation: {workers} worker{'s' if workers > 1 else ''}, one for each executor that runs "
        "now; --workers N (workers=N) asks Spark for more"
    )


def require(spark: SparkSession, workers: int) -> None:
    """Check that Spark may start as many executors as the workers need.

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
    """Wait for slots for all workers, and let Spark accept a barrier stage within the block.

    Without dynamic allocation this does nothing.

    Args:
        spark: the session.
        workers: tasks of the stage.
        run: gets a note about the waiting; its stop ends the waiting.

    Raises:
        ClusterError: the executors did not register.
        InterruptedError: the run was stopped meanwhile.
    """
    if not is_on(spark):
        yield
        return
    _wait(spark, workers, run)
    context = spark.sparkContext
    # Spark reads its own settings, which no session can change.
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
        # Otherwise Spark would always replace executors that become idle.
        _ask(spark, int(spark.conf.get("spark.dynamicAllocation.minExecutors", "0") or 0))


def _ask(spark: SparkSession, executors: int) -> None:
    """Request a total number of executors; a lower number does not end those that run."""
    context = spark.sparkContext
    nowhere = context._jvm.PythonUtils.toScalaMap({})  # type: ignore[union-attr]  # noqa: SLF001
    context._jsc.sc().requestTotalExecutors(executors, 0, nowhere)  # noqa: SLF001  # PySpark has no such call


def _executors(spark: SparkSession) -> int:
    return len(spark.sparkContext._jsc.sc().statusTracker().getExecutorInfos()) - 1  # noqa: SLF001


def _slots_of_one(spark: SparkSession) -> int:
    """Count the task slots of one executor; 0 while unknown."""
    if running := _executors(spark):
        return cluster.slots(spark) // running
    return (cluster.cores(spark) or 0) // int(spark.conf.get("spark.task.cpus", "1") or 1)
