"""Relay: events by short Spark jobs, for workers that cannot reach the notebook.

Each job runs in a slot that the training leaves free, asks the mailbox in rank 0's
task what is new, and brings it back as rows; it takes answers and control events along.
"""

from __future__ import annotations

import base64
import functools
import itertools
import json
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Self

import pyarrow as pa
from pyspark.sql import SparkSession

from nbkeras.errors import NbkerasError
from nbkeras.job.mailbox import NOTEBOOK, ports
from nbkeras.spark import cluster, exceptions
from nbkeras.spark.session import is_connect
from nbkeras.transport import addresses, channel, wire
from nbkeras.transport.checking import checked
from nbkeras.transport.events import Handler
from nbkeras.transport.messages import Fetch, Fetched
from nbkeras.transport.wire import Event

#: Seconds that a worker tries to reach the notebook before events go another way.
_REACH = 3.0
#: Seconds that a job waits for something to bring back.
_WAIT = 1.0
#: Seconds that the next job waits for an answer that somebody waits for.
_ANSWER = 0.3
#: Bytes that one job brings back at most: many small results are no strain on Spark's driver.
_MOST = 32 << 20
#: Jobs that may fail in a row.
_TRIES = 5
_NUMBERS = 1 << 20
_SCHEMA = "kind string, data binary"
_REACHED = "host string, reached boolean"
#: The hosts at which all executors have reached this notebook, by Spark application.
_known: weakref.WeakKeyDictionary[Any, set[str]] = weakref.WeakKeyDictionary()


def reach(address: tuple[str, int], secret: bytes, driver: str, batches: Iterator[pa.RecordBatch]) -> Any:
    """One task that says whether the notebook answers, and by which address its machine is known.

    Args:
        address, secret: of the notebook's event channel.
        driver: host of Spark's driver.
        batches: of any rows.
    """
    for _ in batches:
        pass
    columns = [pa.array([addresses.towards(driver)]), pa.array([_answers(address, secret)])]
    yield pa.RecordBatch.from_arrays(columns, ["host", "reached"])


def _answers(address: tuple[str, int], secret: bytes) -> bool:
    end = time.monotonic() + _REACH
    while True:
        try:
            channel.connect(address, secret, "scout", timeout=_REACH).close()
        except (EOFError, ConnectionResetError, wire.ProtocolError):
            # It is there, and hears no more than some at once.
            if time.monotonic() > end:
                return False
            time.sleep(0.1)
        except OSError:
            return False
        else:
            return True


def reached(
    spark: SparkSession, task: cluster.Task, address: tuple[str, int], secret: bytes
) -> list[str] | None:
    """None if all executors reach the notebook, else their hosts.

    That they do is asked once for each application and host.

    Args:
        spark: the session.
        task: in which they are asked.
        address, secret: of the notebook's event channel.
    """
    host = address[0]
    known = _known.setdefault(cluster.link(spark).application, set())
    near = host == "127.0.0.1" and cluster.is_local(spark) and not is_connect(spark)
    if near or host in known:
        return None
    number = max(1, cluster.slots(spark))
    ask = functools.partial(reach, address, secret, cluster.driver(spark))
    rows = task.run(spark.range(number, numPartitions=number).mapInArrow(ask, _REACHED).collect)
    if not all(row["reached"] for row in rows):
        return sorted({row["host"] for row in rows})
    known.add(host)
    return None


@dataclass(frozen=True)
class Errand:
    """What one job does.

    Attributes:
        places: hosts and ports at which the mailbox may be.
        secret: of the run.
        number: of the first question; each is larger than all before.
        begin: bytes of the mailbox' log that have arrived in the notebook.
        answers: (peer, number, event, base64 of its bytes) to take along.
        controls: events for all workers.
    """

    places: tuple[tuple[str, int], ...]
    secret: bytes = field(repr=False)
    number: int
    begin: int
    answers: tuple[tuple[str, int, Event, str], ...]
    controls: tuple[Event, ...]


def fetch(errand: Errand, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """One job: the pieces of the log that are new, and where the mailbox is."""
    for _ in batches:
        pass
    end = time.monotonic() + _WAIT
    while (found := _found(errand)) is None:
        if time.monotonic() > end:
            return
        time.sleep(0.1)
    place, connection = found
    yield _row("place", f"{place[0]}:{place[1]}".encode())
    number, begin = errand.number, errand.begin
    answers: list[Any] = [*errand.answers]
    controls: list[Any] = [*errand.controls]
    with connection:
        while begin - errand.begin < _MOST:
            last = time.monotonic() > end
            question: Fetch = {
                "type": "fetch",
                "seq": number,
                "answers": answers,
                "controls": controls,
                "known": errand.begin,
                "from": begin,
                "last": last,
            }
            try:
                said = _asked(connection, question)
            except (OSError, EOFError):
                return  # The training has ended, and the mailbox with it.
            data = base64.b64decode(said["data"])
            number, begin, answers, controls = number + 1, begin + len(data), [], []
            if data:
                yield _row("log", data)
            elif last or begin > errand.begin:
                yield _row("silent", json.dumps(said["silent"]).encode())
                return
            else:
                time.sleep(0.05)


def _found(errand: Errand) -> Any:
    for place in errand.places:
        try:
            return place, channel.connect(place, errand.secret, NOTEBOOK, timeout=5)
        except (OSError, EOFError, wire.ProtocolError):
            continue  # Nobody, or somebody else.
    return None


def _asked(connection: Any, question: Fetch) -> Fetched:
    connection.sendall(wire.encode(question))
    while (said := channel.received(connection)).get("answer") != question["seq"]:
        pass  # Acknowledgements, and control events that are for the workers.
    return checked(said["event"], Fetched)


def _row(kind: str, data: bytes) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array([kind]), pa.array([data], pa.binary())], ["kind", "data"])


class Relay:
    """Stands for the event server: hands events on, each once and in order, while jobs fetch them.

    Args:
        spark: the session.
        secret: of the run.
        hosts: of the executors.
        handle: as of :class:`nbkeras.transport.events.Server`.
        silent: called with the seconds since each worker's last sign of life.
        lost: called when nothing can be fetched any more.
    """

    def __init__(
        self,
        spark: SparkSession,
        secret: bytes,
        hosts: list[str],
        handle: Handler,
        silent: Callable[[dict[str, float]], None],
        lost: Callable[[NbkerasError], None],
    ) -> None:
        self._spark, self._secret = spark, secret
        self._handle, self._silent, self._lost = handle, silent, lost
        self._places = tuple((host, port) for port in ports(secret) for host in hosts)
        self._task = cluster.task(spark, "nbkeras: events")
        self._answers: list[tuple[str, int, Event, str]] = []
        self._controls: list[Event] = []
        self._buffer, self._fetched = bytearray(), 0
        self._answered, self._closing = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._go, name="nbkeras-relay", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._answered.set()
        self._task.cancel()
        self._thread.join(10)

    def control(self, event: Event, *, standing: bool = True) -> None:
        """Send an event to all workers, also those that come later, from any thread."""
        self._controls.append(event)
        self._answered.set()

    def _go(self) -> None:
        failed = errands = 0
        while not self._closing.is_set():
            errands += 1
            errand = Errand(
                self._places,
                self._secret,
                errands * _NUMBERS,
                self._fetched,
                _fitting(self._answers),
                tuple(self._controls),
            )
            job = self._spark.range(1, numPartitions=1).mapInArrow(functools.partial(fetch, errand), _SCHEMA)
            try:
                rows = self._task.run(job.collect)
            except Exception as error:  # noqa: BLE001  # a lost executor: the next one may do
                failed += 1
                if failed == _TRIES and not self._closing.is_set():
                    self._lost(exceptions.translate(error))
                    return
                self._closing.wait(0.5)
                continue
            failed = 0
            if not rows:
                continue
            del self._answers[: len(errand.answers)], self._controls[: len(errand.controls)]
            self._answered.clear()
            if self._take(rows):
                self._answered.wait(_ANSWER)

    def _take(self, rows: list[Any]) -> bool:
        """Hand on what a job has brought; whether there was something."""
        silent: dict[str, float] = {}
        for row in rows:
            data = bytes(row["data"])
            if row["kind"] == "place":
                host, _, port = data.decode().rpartition(":")
                self._places = ((host, int(port)),)
            elif row["kind"] == "silent":
                silent = json.loads(data)
            else:
                self._buffer += data
                self._fetched += len(data)
        any_event = False
        while (taken := wire.taken(self._buffer)) is not None:
            event, blob = taken
            peer, number = str(event["peer"]), int(event.get("seq", 0))
            any_event = any_event or number > 0
            self._handle(peer, event, blob, functools.partial(self._answer, peer, number))
        self._silent(silent)
        return any_event

    def _answer(self, peer: str, number: int, event: Event, blob: bytes | memoryview = b"") -> None:
        self._answers.append((peer, number, event, base64.b64encode(blob).decode()))
        self._answered.set()


def _fitting(answers: list[tuple[str, int, Event, str]]) -> tuple[tuple[str, int, Event, str], ...]:
    """The first answers, as many as fit into one message."""
    ends = itertools.accumulate(len(data) for *_, data in answers)
    return tuple(one for one, end in zip(answers, ends, strict=True) if end <= wire.LIMIT // 2)
