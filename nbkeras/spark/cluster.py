"""What is asked of Spark itself: slots, addresses, the package on the executors."""

from __future__ import annotations

import importlib.util
import math
import os
import py_compile
import sys
import tempfile
import threading
import time
import uuid
import weakref
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from pyspark.sql import SparkSession

from nbkeras.errors import ClusterError
from nbkeras.spark import connect, shared
from nbkeras.spark.classic import Classic
from nbkeras.spark.session import is_connect
from nbkeras.spark.shared import Inside, Shared

#: Seconds without a new slot after which no more executors are expected.
_SLOT_SECONDS = 1.5
#: Seconds that the first executor has to register, and that an application counts as a new one.
_FIRST_SECONDS = 60.0
#: The rows that travel to Python at once: Spark's setting, and the bytes that they may have.
_BATCH_ROWS = "spark.sql.execution.arrow.maxRecordsPerBatch"
_BATCH_BYTES = 1 << 24
#: By session, since these remember what they have counted and sent.
_links: weakref.WeakKeyDictionary[SparkSession, Link] = weakref.WeakKeyDictionary()
#: Spark applications that have the package.
_shipped: weakref.WeakSet[Any] = weakref.WeakSet()


class Task(Protocol):
    """A Spark action that can be cancelled alone."""

    def run(self, action: Callable[[], Any]) -> Any:
        """What the action returns."""

    def computes(self) -> bool:
        """Whether Spark is at work for it now; False where that cannot be known."""

    def cancel(self) -> None:
        """End it, from any thread."""


class Link(Protocol):
    """What kinds of sessions answer differently."""

    @property
    def application(self) -> Any:
        """What the executors' Python files belong to."""

    @property
    def here(self) -> bool:
        """Whether Spark's driver is on this machine."""

    def slots(self) -> int:
        """Tasks that can run at once."""

    def executors(self) -> int:
        """Executors besides the driver."""

    def hosts(self) -> tuple[str, str]:
        """The address to listen on and the one by which workers on other machines know it."""

    @property
    def python(self) -> str:
        """The Python of the executors, as far as it is known here."""

    def said(self, script: str, argument: str, tasks: int) -> set[str]:
        """The lines that a script prints in the executors' Python, in so many tasks."""

    def use_this_python(self) -> None:
        """Let tasks on this machine run this very Python, with its packages."""

    def add_package(self, archive: str) -> None:
        """Give all executors the package in a zip file."""

    def share(self, data: bytes) -> Shared:
        """Give all executors bytes that are too many for a task."""

    def undisturbed(self) -> AbstractContextManager[None]:
        """Within the block other threads may use Spark; after it, this one's jobs are grouped as before."""

    def impatient(self) -> AbstractContextManager[None]:
        """Within the block a Spark that has ended is an error after seconds."""

    def task(self, name: str, title: str) -> Task:
        """An action that can be cancelled."""


def link(spark: SparkSession) -> Link:
    """The one place that knows which kinds of sessions there are."""
    if not is_connect(spark):
        return Classic(spark)
    if spark not in _links:
        _links[spark] = connect.Connect(spark)
    return _links[spark]


def slots(spark: SparkSession) -> int:
    """Tasks that can run at once."""
    return link(spark).slots()


def is_local(spark: SparkSession) -> bool:
    """Whether driver and executor are one process."""
    master = str(spark.conf.get("spark.master", ""))
    return master.startswith("local") and not master.startswith("local-cluster")


def place(spark: SparkSession) -> str:
    """Where Spark is, in words."""
    master = spark.conf.get("spark.master", "an unknown master")
    if not is_connect(spark):
        return f"at {master}"
    host, port = connect.server(spark)
    return f"at {master} behind the Connect server sc://{host}:{port}"


def executors(spark: SparkSession) -> int:
    """Executors besides the driver; 1 where the driver is the executor."""
    if is_local(spark):
        return 1
    return link(spark).executors()


def settle(spark: SparkSession, workers: int | None) -> None:
    """Wait until executors have registered: a session is there seconds before they are. Says so.

    Args:
        spark: the session.
        workers: as many slots will do; None for all that come.
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
    """Make sure that so many tasks can run at once.

    A barrier stage that does not fit would wait for minutes before it says so.

    Args:
        spark: the session.
        workers: tasks.
        seconds: that executors have to register.
        until: waiting ends when this is true.

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
    """The address to listen on and the one by which workers know it: Spark's own."""
    if is_local(spark) and link(spark).here:
        return "127.0.0.1", "127.0.0.1"
    return link(spark).hosts()


def driver(spark: SparkSession) -> str:
    """The host by which executors know Spark's driver."""
    return str(spark.conf.get("spark.driver.host", "127.0.0.1"))


def cores(spark: SparkSession) -> int | None:
    """Cores that one executor may use; None for all that its machine gives it."""
    if is_local(spark):
        return None
    known = spark.conf.get("spark.executor.cores", None)
    return int(known) if known else None


def require_backend(spark: SparkSession, backend: str) -> None:
    """Refuse a backend that the executors lack, where that is known without asking them.

    Raises:
        ClusterError: executors on this machine run this Python, and it has no such package.
    """
    chosen = os.environ.get("PYSPARK_PYTHON") or spark.conf.get("spark.pyspark.python", "")
    if is_local(spark) and chosen in ("", sys.executable) and importlib.util.find_spec(backend) is None:
        raise ClusterError(f"{backend} is not installed: pip install {backend}")


#: Parts of this package that no worker imports.
_NOT_ON_WORKERS = ("builder", "notebook", "zeppelin")


def ship(spark: SparkSession) -> None:
    """Give the executors this very nbkeras, once per Spark application."""
    ours = link(spark)
    if (
        is_local(spark)
        and "PYSPARK_PYTHON" not in os.environ
        and not spark.conf.get("spark.pyspark.python", "")
    ):
        # Nobody has chosen a Python; Spark would take the first on PATH, not this one with its packages.
        ours.use_this_python()
    if ours.application in _shipped:
        return
    with tempfile.TemporaryDirectory(prefix="nbkeras-") as folder:
        archive = Path(folder) / "nbkeras.zip"
        _write_package(archive)
        ours.add_package(str(archive))
    _shipped.add(ours.application)


def _write_package(archive: Path) -> None:
    """Write this package into a zip file, compiled too: from the source, each process would do that again."""
    root, how = Path(__file__).parents[1], py_compile.PycInvalidationMode.UNCHECKED_HASH
    compiled = archive.with_suffix(".pyc")
    with zipfile.ZipFile(archive, "w") as bundle:
        for source in root.rglob("*.py"):
            name = source.relative_to(root.parent)
            bundle.write(source, name)
            if name.parts[1] not in _NOT_ON_WORKERS:
                # Another Python takes the source. Frames name the archive, as those of the source do.
                shown = f"{archive.name}/{name.as_posix()}"
                py_compile.compile(str(source), str(compiled), shown, doraise=True, invalidation_mode=how)
                bundle.write(compiled, name.with_suffix(".pyc"))


def share(spark: SparkSession, data: bytes) -> Shared:
    """Bytes for all workers. A task holds few of them only: Connect takes no plan of 128 MB."""
    return Inside(data) if len(data) <= shared.INSIDE else link(spark).share(data)


def task(spark: SparkSession, title: str) -> Task:
    """An action of a name of its own, so that it can be cancelled alone.

    Args:
        spark: the session.
        title: what Spark's own pages show.
    """
    return link(spark).task(f"nbkeras-{uuid.uuid4().hex}", title)


@dataclass
class _Bound:
    """How many rows Spark hands Python at once: before all blocks, now, and as each open block asks."""

    before: str
    now: str
    asked: list[int] = field(default_factory=list)

    def settle(self, spark: SparkSession) -> None:
        # The user's own may be smaller, or none where it is no positive number.
        most = min((one for one in (int(self.before), *self.asked) if one > 0), default=0)
        wanted = str(most) if self.asked else self.before
        if wanted != self.now:
            spark.conf.set(_BATCH_ROWS, wanted)
            self.now = wanted


#: By session: blocks may end in any order.
_bounds: dict[int, _Bound] = {}
_bounding = threading.Lock()


@contextmanager
def bounded_batches(spark: SparkSession, row_bytes: int) -> Iterator[None]:
    """Within the block, Spark hands Python no more than some megabytes of rows at once.

    Spark counts rows, ten thousand of them unless told otherwise: of pictures
    that is gigabytes.
    """
    most = max(1, _BATCH_BYTES // max(1, row_bytes))
    with _bounding:
        if id(spark) not in _bounds:
            before = str(spark.conf.get(_BATCH_ROWS))
            _bounds[id(spark)] = _Bound(before, before)
        bound = _bounds[id(spark)]
        bound.asked.append(most)
    try:
        with _bounding:
            bound.settle(spark)
        yield
    finally:
        with _bounding:
            bound.asked.remove(most)
            if not bound.asked:
                del _bounds[id(spark)]
            # A Spark that has ended is told so by what ended with it.
            with suppress(Exception), link(spark).impatient():
                bound.settle(spark)
