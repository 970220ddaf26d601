"""A Spark Connect session: Spark is a server, and no part of it is in this process."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
import weakref
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from nbkeras.errors import ClusterError
from nbkeras.spark import exceptions, package
from nbkeras.spark.shared import Artifact
from nbkeras.transport import addresses

#: Seconds that a task of a census keeps its slot, so that all slots are taken at once.
_HOLD = 0.5
#: Limit of seconds of a census: its tasks get no slot while other jobs hold all of them.
_CENSUS_SECONDS = 60.0
#: Retries of a call, some seconds in all. Connect's default is ten minutes.
_RETRIES = 6
#: With one of these settings the number of partitions or slots does not follow from the cores.
_OTHER_COUNTS = (
    "spark.default.parallelism",
    "spark.sql.leafNodeDefaultParallelism",
    "spark.task.resource.gpu.amount",
)


class Connect:
    """Answers questions about Spark by its plans and by small jobs.

    Args:
        spark: the session.
    """

    def __init__(self, spark: SparkSession) -> None:
        self._spark = spark
        self._counted: tuple[int, tuple[int, int]] | None = None
        self._shared: set[str] = set()
        # Two at once would each count the slots that the other leaves.
        self._counting = threading.Lock()

    @property
    def application(self) -> Any:
        """The object that the executors' Python files belong to."""
        return self._spark

    @property
    def session(self) -> str:
        """The name of the session."""
        return str(self._spark.session_id)  # type: ignore[attr-defined]  # of Connect's sessions

    @property
    def here(self) -> bool:
        """Whether the server is on this machine."""
        return addresses.is_own(self._server()[0])

    def slots(self) -> int:
        """Count the tasks that can run at once."""
        cores = self._parallelism()
        # Spark reports 2 also if no executor has registered.
        sure = cores > 2 or str(self._spark.conf.get("spark.master", "")).startswith("local[")
        if sure and not any(self._spark.conf.get(key, None) for key in _OTHER_COUNTS):
            return cores // int(self._spark.conf.get("spark.task.cpus", None) or 1)
        return self._census()[0]

    def executors(self) -> int:
        """Count the executors that ran a task of the last census."""
        return max(1, self._census()[1])

    def hosts(self) -> tuple[str, str]:
        """Return this machine's address towards the server, or the one that the cluster uses."""
        if self.here:
            known = str(self._spark.conf.get("spark.driver.host", "127.0.0.1"))
            # The server may be at the other end of a tunnel: then its address is not this machine's.
            own = known if addresses.is_own(known) else "127.0.0.1"
        else:
            own = addresses.towards(self._server()[0])
        return own, own

    @property
    def python(self) -> str:
        """The Python of the executors: only the server's environment has its path."""
        return "the executors' Python"

    def said(self, script: str, argument: str, tasks: int) -> set[str]:
        """Run a script in the executors' Python and return the printed lines."""

        def ask(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            for _ in batches:
                pass
            command = [sys.executable, "-c", script, argument]
            # Here the script's parent is a worker of PySpark's daemon, not the executor.
            environment = {**os.environ, "NBKERAS_DAEMON": str(os.getppid())}
            said = subprocess.run(command, env=environment, capture_output=True, check=True, text=True)
            yield pa.RecordBatch.from_arrays([pa.array(said.stdout.splitlines())], ["line"])

        asked = self._spark.range(tasks, numPartitions=tasks).mapInArrow(ask, "line string")
        return {row["line"] for row in asked.collect()}

    def use_this_python(self) -> None:
        """Do nothing: the server's environment has set the Python at its start."""

    def add_package(self, archive: str) -> None:
        """Send a package in a zip file to all executors."""
        self._spark.addArtifacts(archive, pyfile=True)
        # PySpark adds the archive to this process' own path too, which has the package already.
        with contextlib.suppress(ValueError):
            sys.path.remove(archive)

    def carried(self, work: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function with the package in it: the server gives a session's files to no stream."""
        return package.carried(work)

    def share(self, data: bytes) -> Artifact:
        """Send a file to the executors; the same bytes are sent once in a session."""
        # Connect refuses another file of the same name.
        name = f"nbkeras-{hashlib.sha256(data).hexdigest()[:32]}"
        if name not in self._shared:
            with tempfile.TemporaryDirectory(prefix="nbkeras-") as folder:
                path = Path(folder) / name
                path.write_bytes(data)
                self._spark.addArtifacts(str(path), file=True)
            self._shared.add(name)
        return Artifact(name)

    def in_one_task(self, parts: Sequence[DataFrame]) -> DataFrame | None:
        """Return None: a client does not see the partitions of a plan."""
        return None

    def undisturbed(self) -> contextlib.AbstractContextManager[None]:
        """Do nothing: each thread has its own tags."""
        return contextlib.nullcontext()

    def impatient(self) -> contextlib.AbstractContextManager[None]:
        """Within the block, raise an error within seconds if the server is dead."""
        return impatient(self._spark)

    def task(self, name: str, title: str) -> Task:
        """Make an action that can be cancelled."""
        return Task(self._spark, name)

    def _server(self) -> tuple[str, int]:
        return server(self._spark)

    def _parallelism(self) -> int:
        """Return the default number of partitions of a DataFrame: the cores of all executors, or 2."""
        plan = str(self._spark.range(1)._explain_string())  # type: ignore[operator]  # noqa: SLF001  # explain() prints
        found = re.search(r"splits=(?:Some\()?(\d+)", plan)
        return int(found[1]) if found else 2

    def _census(self) -> tuple[int, int]:
        """Count slots and executors by tasks that hold their slots for a moment.

        The result is cached while the number of cores stays the same.

        Raises:
            ClusterError: no task got a slot.
        """
        with self._counting:
            cores = self._parallelism()
            if self._counted is None or self._counted[0] != cores:
                self._counted = cores, self._count(cores)
            return self._counted[1]

    def _count(self, cores: int) -> tuple[int, int]:
        tasks = self._spark.range(cores, numPartitions=cores)
        spans = tasks.mapInArrow(_census(), "executor string, begun double, ended double")
        counting = self.task(f"nbkeras-{uuid.uuid4().hex}", "nbkeras: count the slots")
        late = threading.Event()

        def give_up() -> None:
            late.set()
            counting.cancel()

        limit = threading.Timer(_CENSUS_SECONDS, give_up)
        limit.start()
        try:
            rows = counting.run(spans.collect)
        except Exception as error:
            if not late.is_set():
                raise exceptions.translate(error) from error
            raise ClusterError(
                f"no task got a slot in {_CENSUS_SECONDS:.0f} s, because other jobs hold all of them "
                "or no executor has registered: check the cluster, or name --workers N (workers=N)"
            ) from error
        finally:
            limit.cancel()
        return _most(rows)


def _census() -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """Make a task that reports when and where it ran; by value, as executors may not have nbkeras yet."""
    mark, hold = f"NBKERAS_CENSUS_{uuid.uuid4().hex}", _HOLD

    def count(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for _ in batches:
            pass
        begun = time.monotonic()
        # A Python that has held a slot once does not wait again, so that others get tasks.
        if mark not in os.environ:
            os.environ[mark] = ""
            time.sleep(hold)
        values = [[f"{socket.gethostname()}-{os.getppid()}"], [begun], [time.monotonic()]]
        yield pa.RecordBatch.from_arrays([pa.array(one) for one in values], ["executor", "begun", "ended"])

    return count


def _most(rows: list[Any]) -> tuple[int, int]:
    """Count the tasks that ran at once, and the executors; each executor has its own clock."""
    spans: dict[str, list[tuple[float, int]]] = {}
    for row in rows:
        spans.setdefault(row["executor"], []).extend([(row["begun"], 1), (row["ended"], -1)])
    slots = 0
    for ends in spans.values():
        running = most = 0
        for _, change in sorted(ends):
            running += change
            most = max(most, running)
        slots += most
    return slots, len(spans)


def server(spark: SparkSession) -> tuple[str, int]:
    """Return host and port of the session's server."""
    client: Any = spark.client
    host, _, port = str(client._builder.endpoint).rpartition(":")  # noqa: SLF001  # the port is nowhere else
    return host.strip("[]"), int(port)


def require_alive(spark: SparkSession) -> None:
    """Check that the server answers before anything waits for it.

    Raises:
        ClusterError: it does not answer, or does not know the session any more.
    """
    host, port = server(spark)
    try:
        with impatient(spark):
            spark.conf.get("spark.master", "")
    except Exception as error:
        raise ClusterError(
            f"the Spark Connect server at {host}:{port} does not answer ({_reason(error)}): "
            "start it, and make a new session"
        ) from error


@contextlib.contextmanager
def active(spark: SparkSession) -> Iterator[None]:
    """Make a session this thread's active one within the block: some of PySpark's calls use only that."""
    known: Any = type(spark)._active_session  # type: ignore[attr-defined]  # noqa: SLF001  # of this thread alone
    before = getattr(known, "session", None)
    known.session = spark
    try:
        yield
    finally:
        known.session = before


def _reason(error: BaseException) -> str:
    details = getattr(error, "details", None)
    text = str(details() if callable(details) else error)
    return " ".join(text.split())[:200]


class Task:
    """A Spark action under a tag of its own, so that it can be cancelled alone.

    Args:
        spark: the session.
        tag: that no other action has.
    """

    def __init__(self, spark: SparkSession, tag: str) -> None:
        self._spark, self._tag = spark, tag

    def run(self, action: Callable[[], Any]) -> Any:
        """Run an action and return its result. The calling thread's own tags do not change."""
        with impatient(self._spark):
            self._spark.addTag(self._tag)
            try:
                return action()
            finally:
                self._spark.removeTag(self._tag)

    def computes(self) -> bool:
        """Return False: not all servers report this to their clients."""
        return False

    def cancel(self) -> None:
        """Cancel the action, from any thread."""
        # If the server does not answer, the action itself raises an error.
        with contextlib.suppress(Exception), impatient(self._spark):
            self._spark.interruptTag(self._tag)


class _Patience:
    """The retry policies of a client before the first of its open blocks, and the number of these."""

    def __init__(self) -> None:
        self.blocks = 0
        self.before: list[Any] = []


_lock = threading.Lock()
_patience: weakref.WeakKeyDictionary[Any, _Patience] = weakref.WeakKeyDictionary()


@contextlib.contextmanager
def impatient(spark: SparkSession) -> Iterator[None]:
    """Within the block, raise an error for a dead server within seconds, not after ten minutes."""
    from pyspark.sql.connect.client.retries import DefaultPolicy

    client: Any = spark.client
    with _lock:
        kept = _patience.setdefault(client, _Patience())
        if not kept.blocks:
            kept.before = client.get_retry_policies()
            client.set_retry_policies([DefaultPolicy(max_retries=_RETRIES, max_backoff=2000)])
        kept.blocks += 1
    try:
        yield
    finally:
        with _lock:
            kept.blocks -= 1
            if not kept.blocks:
                client.set_retry_policies(kept.before)
