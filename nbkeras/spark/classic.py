"""A classic session: its SparkContext lives in this process."""

from __future__ import annotations

import contextlib
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from py4j.clientserver import ClientServer
from pyspark import SparkContext
from pyspark.sql import DataFrame, SparkSession

from nbkeras.spark import scans
from nbkeras.spark.shared import PIECE, Broadcasted

#: Properties of a thread by which its Spark jobs are grouped.
_JOB_GROUP = ("spark.jobGroup.id", "spark.job.description", "spark.job.interruptOnCancel")


class Classic:
    """Answers questions about Spark by its SparkContext.

    Args:
        spark: the session.
    """

    def __init__(self, spark: SparkSession) -> None:
        self._spark = spark

    @property
    def application(self) -> Any:
        """The object that the executors' Python files belong to."""
        return self._spark.sparkContext

    @property
    def session(self) -> str:
        """The name of the session: threads and cells get other objects of Python for the same one."""
        return str(self._spark._jsparkSession.sessionUUID())  # noqa: SLF001  # there is no public name

    @property
    def here(self) -> bool:
        """Whether Spark's driver is on this machine: always, it is a child of this process."""
        return True

    def slots(self) -> int:
        """Count the tasks that can run at once."""
        context = self._spark.sparkContext._jsc.sc()  # noqa: SLF001  # Spark has no public count of slots
        return int(context.maxNumConcurrentTasks(context.resourceProfileManager().defaultResourceProfile()))

    def executors(self) -> int:
        """Count the executors besides the driver."""
        # The status tracker counts the driver's own entry too.
        tracker = self._spark.sparkContext._jsc.sc().statusTracker()  # noqa: SLF001  # PySpark's own lacks executors
        return max(1, len(tracker.getExecutorInfos()) - 1)

    def hosts(self) -> tuple[str, str]:
        """Return the driver's addresses: the one to listen on, and the one that executors use."""
        known = str(self._spark.conf.get("spark.driver.host"))
        return str(self._spark.conf.get("spark.driver.bindAddress", None) or known), known

    @property
    def python(self) -> str:
        """The Python of the executors, as Spark starts it."""
        return str(self._spark.sparkContext.pythonExec)

    def said(self, script: str, argument: str, tasks: int) -> set[str]:
        """Run a script in the executors' Python, which PySpark may not support, and return its lines."""
        context = self._spark.sparkContext
        command = [context.pythonExec, "-c", script, argument]
        # PySpark's own pipe needs a Python that works.
        return set(context._jsc.parallelize([], tasks).pipe(command).collect())  # noqa: SLF001

    def use_this_python(self) -> None:
        """Let tasks on this machine run the notebook's Python, with its packages."""
        self._spark.sparkContext.pythonExec = sys.executable

    def add_package(self, archive: str) -> None:
        """Send a package in a zip file to all executors."""
        context = self._spark.sparkContext
        # Executors may fetch it at any time. Java deletes this folder at its end, however the notebook ends.
        kept = shutil.copy(archive, context._temp_dir)  # noqa: SLF001  # there is no public one
        context.addPyFile(str(kept))

    def carried(self, work: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function: tasks of streams have the package too."""
        return work

    def share(self, data: bytes) -> Broadcasted:
        """Broadcast bytes to the executors."""
        starts = range(0, len(data), PIECE)
        broadcast = self._spark.sparkContext.broadcast
        return Broadcasted(tuple(broadcast(data[start : start + PIECE]) for start in starts))

    def in_one_task(self, parts: Sequence[DataFrame]) -> DataFrame | None:
        """Return the rows of all parts in one partition that no exchange fills; None where one is better."""
        return scans.in_one_task(self._spark, parts, self.slots())

    def undisturbed(self) -> contextlib.AbstractContextManager[None]:
        """Let other threads use Spark within the block, and restore this thread's job group after it.

        In Zeppelin all threads share their connections to Java, so each sees the job group that another has
        set. Elsewhere each thread has its own, and no call is made to a Java that may not answer.
        """
        context = self._spark.sparkContext
        own = isinstance(context._gateway, ClientServer)  # noqa: SLF001  # there is no public one
        return contextlib.nullcontext() if own else _job_group_kept(context)

    def impatient(self) -> contextlib.AbstractContextManager[None]:
        """Do nothing: a Spark that has ended always raises an error at once."""
        return contextlib.nullcontext()

    def task(self, name: str, title: str) -> Task:
        """Make an action that can be cancelled."""
        return Task(self._spark, name, title)


@contextlib.contextmanager
def _job_group_kept(context: SparkContext) -> Iterator[None]:
    """Restore the calling thread's job group after the block."""
    before = {key: context.getLocalProperty(key) for key in _JOB_GROUP}
    try:
        yield
    finally:
        # If Spark has ended meanwhile, there are no jobs to group.
        with contextlib.suppress(Exception):
            for key, value in before.items():
                context.setLocalProperty(key, value)  # type: ignore[arg-type]


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
        """Run an action and return its result. The calling thread's own job group does not change."""
        with _job_group_kept(self._context):
            self._context.setJobGroup(self._group, self._title, interruptOnCancel=True)
            return action()

    def computes(self) -> bool:
        """Whether Spark runs tasks of this action now."""
        tracker = self._context.statusTracker()
        with contextlib.suppress(Exception):  # Spark may have ended meanwhile
            jobs = [tracker.getJobInfo(one) for one in tracker.getJobIdsForGroup(self._group)]
            stages = [tracker.getStageInfo(one) for job in jobs if job is not None for one in job.stageIds]
            return any(one.numActiveTasks for one in stages if one is not None)
        return False

    def cancel(self) -> None:
        """Cancel the action, from any thread."""
        with contextlib.suppress(Exception):  # Spark may have ended meanwhile
            self._context.cancelJobGroup(self._group)
