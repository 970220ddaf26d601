"""The trainer of a task: starts its process, sends it the rows, and says why it ended."""

from __future__ import annotations

import importlib.util
import os
import platform
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import IO, Any, Self, TypeVar

import pyarrow as pa
import pyarrow.compute

from nbkeras.data.images.unreadable import Unreadable
from nbkeras.data.shards import CHECKSUM_BITS, VALIDATION
from nbkeras.errors import ClusterError, WorkerLost
from nbkeras.job.job import Assignment, Failure, Job, Shard, Spooled
from nbkeras.spark import gpus
from nbkeras.spark.shared import Inside
from nbkeras.transport import messages
from nbkeras.transport.channel import Channel
from nbkeras.worker import fork_server, stream
from nbkeras.worker.files import local_directory, unnamed
from nbkeras.worker.spool import Spool

T = TypeVar("T")


class TrainerFailed(Exception):
    """A trainer has raised or died; ``failure`` says how."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(f"{failure.kind}: {failure.message}")
        self.failure = failure


class Process:
    """A trainer and its pipe, as long as a ``with`` block lasts.

    Args:
        job: that it does.
        rank: of its worker.
        files: that it shares.
    """

    def __init__(self, job: Job, rank: int, files: Sequence[IO[bytes]]) -> None:
        self._job, self._rank, self._files = job, rank, tuple(files)
        self._log: IO[bytes] = unnamed(local_directory(), encrypted=job.encrypted)
        self._pipe: Connection
        self._life: socket.socket | None = None
        self._silent = False

    def __enter__(self) -> Self:
        from pyspark import TaskContext

        require(self._job)
        self._pipe, self._life = fork_server.hire(
            self._job.plan.backend, [file.fileno() for file in self._files], self._log.fileno()
        )
        executor = f"{socket.gethostname()}-{os.getppid()}"
        path = tuple(sys.path)
        seen = gpus.given(TaskContext.get())
        resume = self._job.resume and Inside(self._job.resume.read())
        # The rows are decoded here.
        job = replace(self._job, payload=Inside(self._job.payload.read()), resume=resume, preprocessing=None)
        self._put(Assignment(job, self._rank, executor, job.plan.workers, seen, path))
        return self

    def __exit__(self, *_: object) -> None:
        # The trainer ends with its pipe and its lifeline, whatever it does.
        for one in (self._pipe, self._life, *self._files, self._log):
            if one is not None:
                one.close()

    def end(self) -> None:
        """End the trainer, whatever it does; from any thread."""
        if self._life is not None:
            with suppress(OSError):  # It has ended.
                self._life.shutdown(socket.SHUT_RDWR)

    def messages(self) -> Iterator[tuple[str, Any]]:
        """What the trainer sends, until it says that it has done."""
        while True:
            kind, content = self._get()
            if kind == "end":
                return
            yield kind, content

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
                f"the trainer process has given no sign of life for {self._job.plan.heartbeat:g} s: where it "
                "takes so long, raise --heartbeat SECONDS (heartbeat=)"
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


class TrainerProcess(Process):
    """A trainer of rows that are spooled."""

    def __init__(self, job: Job, rank: int) -> None:
        fields, directory = job.plan.schema.fields, local_directory()
        self._train, self._validation = (
            Spool(fields, directory, job.encrypted, job.preprocessing) for _ in range(2)
        )
        super().__init__(
            job, rank, [file for one in (self._train, self._validation) for file in one.files.values()]
        )

    @property
    def nulls(self) -> dict[str, int]:
        """Nulls seen so far, by column."""
        # Rows to evaluate on lie with those to validate on, but there are no others.
        return self._train.nulls | self._of_validation(self._validation.nulls)

    @property
    def unreadable(self) -> Unreadable:
        """Files that are no images so far, by column."""
        return self._train.unreadable | self._of_validation(self._validation.unreadable)

    def _of_validation(self, found: dict[str, T]) -> dict[str, T]:
        """What was found among rows to validate on, named so."""
        behind = VALIDATION if self._job.kind == "train" else ""
        return {f"{name}{behind}": one for name, one in found.items()}

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
                channel.progress(messages.Rows(type="rows", rank=self._rank, rows=rows))
        if channel is not None:
            rows = self._train.rows + self._validation.rows
            channel.send(messages.Rows(type="rows", rank=self._rank, rows=rows, all=True))
        shards = [Shard(one.layout, one.rows) for one in (self._train, self._validation)]
        checksum = (self._train.checksum + self._validation.checksum) & CHECKSUM_BITS
        self._put(Spooled(shards[0], shards[1], self.nulls, checksum, self.unreadable))


#: Why a process of ours may be killed.
_SIGNALS: dict[int, str] = {
    signal.SIGKILL: "out of memory?",
    signal.SIGTERM: "by somebody?",
    signal.SIGBUS: "no room left on the disk of spark.local.dir, or of TMPDIR?",
}


def require(job: Job) -> None:
    """Tell what this executor's Python lacks: it may have come after the others were asked.

    Raises:
        ClusterError: it lacks something.
    """
    wanted = ("keras", job.plan.backend, *job.packages)
    if missing := [name for name in wanted if importlib.util.find_spec(name) is None]:
        from nbkeras.spark import preflight

        here = preflight.Interpreter(
            socket.gethostname(), sys.executable, platform.python_version(), dict.fromkeys(missing)
        )
        raise ClusterError(preflight.lacks(here, missing))
