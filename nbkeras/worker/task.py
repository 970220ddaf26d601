"""The Spark tasks: rows go to a trainer, and what it learned comes back as rows."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import IO, Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute

from nbkeras.data import kinds
from nbkeras.data.shards import CHECKSUM_BITS, VALIDATION, nulls_message
from nbkeras.errors import ClusterError, DataError, WorkerLost
from nbkeras.job import failures
from nbkeras.job.job import Assignment, Failure, Job, Shard, Spooled
from nbkeras.job.mailbox import Mailbox
from nbkeras.schema import PREFIX
from nbkeras.spark import gpus
from nbkeras.spark.shared import Inside
from nbkeras.transport import addresses
from nbkeras.transport.channel import Channel
from nbkeras.transport.wire import Event
from nbkeras.worker import fork_server, stream
from nbkeras.worker.files import local_directory, unnamed
from nbkeras.worker.spool import Spool

#: Schema of the rows that training and evaluation give back, and its Arrow form.
RESULT = "kind string, rank int, data binary"
_RESULT = pa.schema([("kind", pa.string()), ("rank", pa.int32()), ("data", pa.binary())])
#: Seconds that a worker tries to reach the notebook.
REACH_SECONDS = 20.0
#: Seconds that a notebook may take to hear why a worker has failed, before Spark is left to say it.
_HEAR_SECONDS = 30.0
#: A row of a result holds at most so many bytes.
PIECE = 1 << 22


def train(job: Job, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """One worker of a barrier stage: spool the rows, let a trainer learn, return rank 0's state."""
    from pyspark import BarrierTaskContext

    context = BarrierTaskContext.get()
    rank = context.partitionId()
    with _meeting_place(job, context) as (here, mailbox):
        yield from _trained(here, rank, batches)
        if mailbox is not None and (failure := mailbox.failure()) is not None:
            yield _row("failure", rank, json.dumps(failure).encode())


def _trained(job: Job, rank: int, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    left = threading.Event()
    trainer = _Trainer(job, rank)

    def obey(event: Event) -> None:
        if event.get("type") == "leave":
            left.set()
            trainer.end()

    channel = Channel(job.address, job.secret, f"task-{rank}", obey, certificate=job.certificate)
    try:
        channel.require(REACH_SECONDS)
        with trainer:
            trainer.spool(batches, channel)
            yield from _rows(trainer.messages(), rank)
    except stream.RowsEnded:
        channel.close()
        raise
    except Exception as error:
        # The notebook hears the cause at once and ends the other tasks. Raised here, Spark would log
        # it too, with a Java stack, into the cell of who runs Spark on the notebook's own machine.
        channel.send({"type": "failure", **_told(error, rank)})
        # Where another worker has failed, its task tells why; the mailbox may be gone with it.
        if not channel.close(_HEAR_SECONDS) and not left.is_set():
            raise
    else:
        channel.close()


@contextmanager
def _meeting_place(job: Job, context: Any) -> Iterator[tuple[Job, Mailbox | None]]:
    """The job with the address at which its workers meet, and the mailbox that rank 0 opens there."""
    if job.address[0]:
        yield job, None
        return
    with ExitStack() as stack:
        mailbox, address = None, ""
        if context.partitionId() == 0:
            mailbox = stack.enter_context(Mailbox(addresses.towards(job.driver), job))
            address = json.dumps(mailbox.address)
        host, port = json.loads(context.allGather(address)[0])
        yield replace(job, address=(host, port)), mailbox


def evaluate(job: Job, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Metric states of one partition's rows, or the words of what went wrong."""
    from pyspark import TaskContext

    context = TaskContext.get()
    rank = context.partitionId() if context is not None else 0
    try:
        with _Trainer(job, rank) as trainer:
            trainer.spool(batches, None)
            yield from _rows(trainer.messages(), rank)
            if trainer.nulls:
                yield _row("nulls", rank, json.dumps(trainer.nulls).encode())
    except Exception as error:  # noqa: BLE001  # told as a row: no retries, no wall of text
        yield _row("failure", rank, json.dumps(_told(error, rank)).encode())


def predict(job: Job, names: list[str], batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Batches with the model's outputs as further columns.

    Args:
        job: its plan's fields are the model inputs.
        names: of the result's columns: those that are passed on as they are, then the outputs.
        batches: with the columns to pass on, whatever their names, and behind them the inputs.

    Raises:
        DataError: nulls in an input, or values of another shape.
    """
    with _Trainer(job, 0) as trainer:
        for batch in batches:
            nulls: dict[str, int] = {}
            inputs = [
                kinds.encoding(one).decode(batch.column(PREFIX + one.name), one, nulls)
                for one in job.plan.schema.features
            ]
            if nulls:
                raise DataError(nulls_message(nulls))
            if not batch.num_rows:
                continue
            outputs = trainer.ask(inputs)
            kept = batch.columns[: len(names) - len(outputs)]
            yield pa.RecordBatch.from_arrays(kept + [_column(one) for one in outputs], names=names)
        trainer.dismiss()


def _told(error: BaseException, rank: int) -> dict[str, Any]:
    """An exception as plain data, with the worker that it comes from."""
    failure = error.failure if isinstance(error, TrainerFailed) else failures.describe(error)
    return {"rank": rank, "host": socket.gethostname(), **failures.event(failure)}


class TrainerFailed(Exception):
    """A trainer has raised or died; ``failure`` says how."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(f"{failure.kind}: {failure.message}")
        self.failure = failure


class _Trainer:
    """A trainer, its spools and its pipe, as long as a ``with`` block lasts."""

    def __init__(self, job: Job, rank: int) -> None:
        self._job, self._rank = job, rank
        directory = local_directory()
        fields = job.plan.schema.fields
        self._train, self._validation = (Spool(fields, directory, job.encrypted) for _ in range(2))
        self._log: IO[bytes] = unnamed(directory, encrypted=job.encrypted)
        self._pipe: Connection
        self._life: socket.socket | None = None
        self._silent = False

    def __enter__(self) -> Self:
        from pyspark import TaskContext

        _require(self._job.plan.backend)
        self._pipe, self._life = fork_server.hire(
            self._job.plan.backend,
            [file.fileno() for one in (self._train, self._validation) for file in one.files.values()],
            self._log.fileno(),
        )
        executor = f"{socket.gethostname()}-{os.getppid()}"
        path = tuple(sys.path)
        seen = gpus.given(TaskContext.get())
        resume = self._job.resume and Inside(self._job.resume.read())
        job = replace(self._job, payload=Inside(self._job.payload.read()), resume=resume)
        self._put(Assignment(job, self._rank, executor, job.plan.workers, seen, path))
        return self

    def __exit__(self, *_: object) -> None:
        # The trainer ends with its pipe and its lifeline, whatever it does.
        for one in (self._pipe, self._life, self._train, self._validation, self._log):
            if one is not None:
                one.close()

    def end(self) -> None:
        """End the trainer, whatever it does; from any thread."""
        if self._life is not None:
            with suppress(OSError):  # It has ended.
                self._life.shutdown(socket.SHUT_RDWR)

    @property
    def nulls(self) -> dict[str, int]:
        """Nulls seen so far, by column."""
        # Rows to evaluate on are validation rows too, but there are no others.
        behind = VALIDATION if self._job.kind == "train" else ""
        return self._train.nulls | {f"{name}{behind}": n for name, n in self._validation.nulls.items()}

    def spool(self, batches: Iterator[pa.RecordBatch], channel: Channel | None) -> None:
        """Write all rows and tell the trainer."""
        for batch in stream.whole(batches):
            columns = {name: batch.column(name) for name in batch.schema.names}
            if "validation" in columns:
                flags = columns.pop("validation")
                self._validation.append({k: v.filter(flags) for k, v in columns.items()})
                rest = pa.compute.invert(flags)
                columns = {k: v.filter(rest) for k, v in columns.items()}
                self._train.append(columns)
            elif self._job.kind == "evaluate":
                self._validation.append(columns)
            else:
                self._train.append(columns)
            if channel is not None:
                rows = self._train.rows + self._validation.rows
                channel.progress({"type": "rows", "rank": self._rank, "rows": rows})
        if channel is not None:
            rows = self._train.rows + self._validation.rows
            channel.send({"type": "rows", "rank": self._rank, "rows": rows, "all": True})
        shards = [Shard(one.layout, one.rows) for one in (self._train, self._validation)]
        checksum = (self._train.checksum + self._validation.checksum) & CHECKSUM_BITS
        self._put(Spooled(shards[0], shards[1], self.nulls, checksum))

    def messages(self) -> Iterator[tuple[str, Any]]:
        """What the trainer sends, until it says that it has done."""
        while True:
            kind, content = self._get()
            if kind == "end":
                return
            yield kind, content

    def ask(self, inputs: Any) -> list[Any]:
        """The model's outputs for some inputs."""
        self._put(inputs)
        outputs: list[Any] = self._get()[1]
        return outputs

    def dismiss(self) -> None:
        """No more inputs will come."""
        self._put(None)

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """End a trainer that gives no sign of life within this block; in a training the notebook does."""
        if self._job.kind == "train":
            yield
            return
        watch = threading.Timer(self._job.plan.heartbeat, self._miss)
        watch.start()
        try:
            yield
        finally:
            watch.cancel()

    def _miss(self) -> None:
        self._silent = True
        self.end()

    def _put(self, thing: Any) -> None:
        try:
            with self._watched():
                self._pipe.send(thing)
        except (BrokenPipeError, ConnectionResetError):
            while True:  # It may have said why before it ended.
                self._get()

    def _get(self) -> tuple[str, Any]:
        content: Any
        kind, content = "alive", None
        try:
            while kind == "alive":
                with self._watched():
                    kind, content = self._pipe.recv()
        except (EOFError, ConnectionResetError) as error:
            raise self._died() from error
        if kind == "failure":
            raise TrainerFailed(content)
        return kind, content

    def _died(self) -> WorkerLost:
        """Why a trainer may have ended without a word: by its signal and the last line that it printed."""
        if self._silent:
            return WorkerLost(
                f"the trainer process has given no sign of life for {self._job.plan.heartbeat:g} s"
            )
        status = None if self._life is None else fork_server.end(self._life)
        self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, self._log.tell() - 4096))
        printed = [line.strip() for line in self._log.read().decode(errors="replace").splitlines()]
        # Below the reason of a fatal error lies a stack of bare addresses.
        lines = [line for line in printed if line and not line.startswith(("@ ", "***"))]
        last = lines[-1][:300] if lines else ""
        if status is not None and os.WIFEXITED(status):
            said = f"; it last printed: {last}" if last else ""
            return WorkerLost(
                f"the trainer process ended by itself, with exit status {os.WEXITSTATUS(status)}{said}"
            )
        if status is None:
            return WorkerLost(f"the trainer process ended without a result: {last or 'out of memory?'}")
        number = os.WTERMSIG(status)
        name = next((one.name for one in signal.Signals if one == number), "of real time")
        why = _SIGNALS.get(number, "a fault in compiled code?")
        rest = f"; it last printed: {last}" if last else ""
        return WorkerLost(f"the trainer process was killed by signal {number} ({name}): {why}{rest}")


#: Why a process of ours may be killed.
_SIGNALS: dict[int, str] = {
    signal.SIGKILL: "out of memory?",
    signal.SIGTERM: "by somebody?",
    signal.SIGBUS: "no room left on the disk of spark.local.dir, or of TMPDIR?",
}


def _require(backend: str) -> None:
    """Tell what this executor's Python lacks: it may have come after the others were asked."""
    if missing := [name for name in ("keras", backend) if importlib.util.find_spec(name) is None]:
        from nbkeras.spark import preflight

        here = preflight.Interpreter(
            socket.gethostname(), sys.executable, platform.python_version(), dict.fromkeys(missing)
        )
        raise ClusterError(preflight.lacks(here, missing))


def _rows(messages: Iterator[tuple[str, Any]], rank: int) -> Iterator[pa.RecordBatch]:
    for kind, content in messages:
        if kind == "result":
            yield _row("report", rank, json.dumps(content).encode())
        else:
            for start in range(0, max(1, len(content)), PIECE):
                yield _row("bytes", rank, content[start : start + PIECE])


def _row(kind: str, rank: int, data: bytes) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays(
        [pa.array([kind]), pa.array([rank], pa.int32()), pa.array([data], pa.binary())], schema=_RESULT
    )


def _column(output: Any) -> pa.Array:
    """An output as a column: numbers for one value a row, otherwise nested lists."""
    values = np.asarray(output, dtype=np.float32)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    array = pa.array(values.reshape(-1))
    for size in reversed(values.shape[1:]):
        offsets = np.arange(0, len(array) + 1, max(size, 1), dtype=np.int32)
        array = pa.ListArray.from_arrays(offsets, array)
    return array
