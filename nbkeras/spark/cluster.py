"""Cluster: Spark's slots and addresses, and the package on the executors."""

from __future__ import annotations

import importlib.util
import math
import os
import sys
import tempfile
import threading
import time
import uuid
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from pyspark.sql import DataFrame, SparkSession

from nbkeras.errors import ClusterError
from nbkeras.spark import connect, package, shared
from nbkeras.spark.classic import Classic
from nbkeras.spark.session import is_connect
from nbkeras.spark.shared import Inside, Shared

#: Seconds without a new slot after which no more executors are expected.
_SLOT_SECONDS = 1.5
#: Seconds in which the first executor must register, and in which an application counts as new.
_FIRST_SECONDS = 60.0
#: Spark's setting for the rows that it sends to Python at once, and the limit of their bytes.
_BATCH_ROWS = "spark.sql.execution.arrow.maxRecordsPerBatch"
_BATCH_BYTES = 1 << 24
#: By session: a link caches its counts and knows which files it has sent.
_links: weakref.WeakKeyDictionary[SparkSession, Link] = weakref.WeakKeyDictionary()
#: Spark applications whose executors have the package.
_shipped: weakref.WeakSet[Any] = weakref.WeakSet()
#: Trainings may begin in several threads at once.
_linking, _shipping = threading.Lock(), threading.Lock()


class Task(Protocol):
    """A Spark action that can be cancelled alone."""

    def run(self, action: Callable[[], Any]) -> Any:
        """Run an action and return its result."""

    def computes(self) -> bool:
        """Whether Spark runs tasks of this action now; False where that is unknown."""

    def cancel(self) -> None:
        """Cancel the action, from any thread."""


class Link(Protocol):
    """Questions about Spark that classic and Connect sessions answer differently."""

    @property
    def application(self) -> Any:
        """The object that the executors' Python files belong to."""

    @property
    def session(self) -> str:
        """The name of the session, which several objects of Python may stand for."""

    @property
    def here(self) -> bool:
        """Whether Spark's driver is on this machine."""

    def slots(self) -> int:
        """Count the tasks that can run at once."""

    def executors(self) -> int:
        """Count the executors besides the driver."""

    def hosts(self) -> tuple[str, str]:
        """Return the address to listen on, and the one that workers on other machines connect to."""

    @property
    def python(self) -> str:
        """The Python of the executors, for messages."""

    def said(self, script: str, argument: str, tasks: int) -> set[str]:
        """Run a script in the executors' Python, in so many tasks, and return the printed lines."""

    def use_this_python(self) -> None:
        """Let tasks on this machine run the notebook's Python, with its packages."""

    def add_package(self, archive: str) -> None:
        """Send a package in a zip file to all executors."""

    def carried(self, work: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that streams can call too, whose tasks may not be given the package."""

    def share(self, data: bytes) -> Shared:
        """Share bytes that are too large for a task with all executors."""

    def in_one_task(self, parts: Sequence[DataFrame]) -> DataFrame | None:
        """Return the rows of all parts in one partition that no exchange fills; None where one is better."""

    def undisturbed(self) -> AbstractContextManager[None]:
        """Let other threads use Spark within the block, and restore this thread's job group after it."""

    def impatient(self) -> AbstractContextManager[None]:
        """Within the block, raise an error within seconds if Spark has ended."""

    def task(self, name: str, title: str) -> Task:
        """Make an action that can be cancelled."""


def link(spark: SparkSession) -> Link:
    """Return the link for a session: this function alone knows the kinds of sessions."""
    if not is_connect(spark):
        return Classic(spark)
    with _linking:
        if spark not in _links:
            _links[spark] = connect.Connect(spark)
        return _links[spark]


def slots(spark: SparkSession) -> int:
    """Count the tasks that can run at once."""
    return link(spark).slots()


def is_local(spark: SparkSession) -> bool:
    """Whether driver and executor are one process."""
    master = str(spark.conf.get("spark.master", ""))
    return master.startswith("local") and not master.startswith("local-cluster")


def place(spark: SparkSession) -> str:
    """Describe where Spark is, for messages."""
    master = spark.conf.get("spark.master", "an unknown master")
    if not is_connect(spark):
        return f"at {master}"
    host, port = connect.server(spark)
    return f"at {master} behind the Connect server sc://{host}:{port}"


def executors(spark: SparkSession) -> int:
    """Count the executors besides the driver; 1 if the driver is the executor."""
    if is_local(spark):
        return 1
    return link(spark).executors()


def settle(spark: SparkSession, workers: int | None) -> None:
    """Wait until executors have registered, seconds after the session has started, and say so.

    Args:
        spark: the session.
        workers: number of slots that are enough; None to wait for all executors.
    """
    if is_local(spark) or is_connect(spark):
        return
    begun = last = time.monotonic()
    most, silent = 0, True
    young = time.time() - spark.sparkContext.startTime / 1000 < _FIRST_SECONDS
    while (free := slots(spark)) < (workers or math.inf):
        now = time.monotonic()
        if free > most:
            most, last = free, now
        if free and (now - last > _SLOT_SECONDS or (workers is None and not young)):
            return
        if now - begun > _FIRST_SECONDS:
            return
        if silent and now - begun > 1:
            print("nbkeras: waiting for Spark's executors")  # noqa: T201  # there is no chart yet
            silent = False
        time.sleep(0.1)


def require_slots(
    spark: SparkSession,
    workers: int,
    seconds: float = 0.0,
    until: Callable[[], bool] = lambda: False,
) -> None:
    """Check that so many tasks can run at once.

    Spark would wait for minutes before it reports that a barrier stage does not fit.

    Args:
        spark: the session.
        workers: number of tasks.
        seconds: to wait for executors to register.
        until: returns True to end the waiting.

    Raises:
        ClusterError: there are fewer slots.
    """
    deadline = time.monotonic() + (0.0 if is_local(spark) else seconds)
    while (free := slots(spark)) < workers and not until():
        if time.monotonic() >= deadline:
            most = (
                f"use --workers {free} or fewer" if free else "no executor has registered: check the cluster"
            )
            raise ClusterError(
                f"{workers} workers need {workers} task slots, Spark {place(spark)} "
                f"has {free}: {most}, or give Spark more cores"
            )
        time.sleep(0.1)


def hosts(spark: SparkSession) -> tuple[str, str]:
    """Return the address to listen on and the one that workers connect to: Spark's own."""
    if is_local(spark) and link(spark).here:
        return "127.0.0.1", "127.0.0.1"
    return link(spark).hosts()


def driver(spark: SparkSession) -> str:
    """Return the host at which executors reach Spark's driver."""
    return str(spark.conf.get("spark.driver.host", "127.0.0.1"))


def cores(spark: SparkSession) -> int | None:
    """Return the number of cores of one executor; None if Spark does not limit it."""
    if is_local(spark):
        return None
    known = spark.conf.get("spark.executor.cores", None)
    return int(known) if known else None


def require_backend(spark: SparkSession, backend: str) -> None:
    """Refuse a backend that executors with the notebook's own Python lack.

    Raises:
        ClusterError: executors on this machine run this Python, and the package is not installed.
    """
    chosen = os.environ.get("PYSPARK_PYTHON") or spark.conf.get("spark.pyspark.python", "")
    if is_local(spark) and chosen in ("", sys.executable) and importlib.util.find_spec(backend) is None:
        raise ClusterError(f"{backend} is not installed: pip install {backend}")


def ship(spark: SparkSession) -> None:
    """Send this nbkeras to the executors, once per Spark application."""
    ours = link(spark)
    if (
        is_local(spark)
        and "PYSPARK_PYTHON" not in os.environ
        and not spark.conf.get("spark.pyspark.python", "")
    ):
        # The user has not set a Python: Spark would take the first on PATH, which may lack the packages.
        ours.use_this_python()
    # Sent twice, it would be another file of the same name, at a time when executors fetch the first.
    with _shipping:
        if ours.application in _shipped:
            return
        with tempfile.TemporaryDirectory(prefix="nbkeras-") as folder:
            archive = Path(folder) / "nbkeras.zip"
            package.write(archive)
            ours.add_package(str(archive))
        _shipped.add(ours.application)


def share(spark: SparkSession, data: bytes) -> Shared:
    """Share bytes with all workers. A task holds only small ones: Connect refuses a plan of 128 MB."""
    return Inside(data) if len(data) <= shared.INSIDE else link(spark).share(data)


def task(spark: SparkSession, title: str) -> Task:
    """Make an action with a unique name, so that it can be cancelled alone.

    Args:
        spark: the session.
        title: what Spark's own pages show.
    """
    return link(spark).task(f"nbkeras-{uuid.uuid4().hex}", title)


@dataclass
class _Bound:
    """The rows that Spark sends to Python at once: before all blocks, now, and the limits of open blocks."""

    before: str
    now: str
    asked: list[int] = field(default_factory=list)

    def settle(self, spark: SparkSession) -> None:
        # The user's limit may be smaller; 0 or a negative number means no limit.
        most = min((one for one in (int(self.before), *self.asked) if one > 0), default=0)
        wanted = str(most) if self.asked else self.before
        if wanted != self.now:
            spark.conf.set(_BATCH_ROWS, wanted)
            self.now = wanted


#: Limits by the name of the session: blocks may end in any order.
_bounds: dict[str, _Bound] = {}
_bounding = threading.Lock()


@contextmanager
def bounded_batches(spark: SparkSession, row_bytes: int) -> Iterator[None]:
    """Within the block, let Spark send at most some megabytes of rows to Python at once.

    Spark counts rows, ten thousand by default: for images that is gigabytes.
    """
    most, session = max(1, _BATCH_BYTES // max(1, row_bytes)), link(spark).session
    with _bounding:
        if session not in _bounds:
            before = str(spark.conf.get(_BATCH_ROWS))
            _bounds[session] = _Bound(before, before)
        bound = _bounds[session]
        bound.asked.append(most)
    try:
        with _bounding:
            bound.settle(spark)
        yield
    finally:
        with _bounding:
            bound.asked.remove(most)
            if not bound.asked:
                del _bounds[session]
            # If Spark has ended, the action within the block has raised the error.
            with suppress(Exception), link(spark).impatient():
                bound.settle(spark)
