"""The Spark tasks: rows go to a trainer, and what it learned comes back as rows."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import pyarrow as pa

from nbkeras.job import failures
from nbkeras.job.job import Job
from nbkeras.job.mailbox import Mailbox
from nbkeras.transport import addresses, messages
from nbkeras.transport.channel import Channel
from nbkeras.transport.wire import Event
from nbkeras.worker import stream
from nbkeras.worker.process import TrainerFailed, TrainerProcess

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
    with _with_mailbox(job, context) as (here, mailbox):
        yield from _trained(here, rank, batches)
        if mailbox is not None and (failed := mailbox.failure()) is not None:
            yield _row("failure", rank, json.dumps(failed).encode())


def _trained(job: Job, rank: int, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    left = threading.Event()
    trainer = TrainerProcess(job, rank)

    def obey(event: Event) -> None:
        control = messages.control(event)
        if control is not None and control["type"] == "leave":
            left.set()
            trainer.end()

    channel = Channel(job.address, job.secret, f"task-{rank}", obey, certificate=job.certificate)
    try:
        channel.require(REACH_SECONDS)
        with trainer:
            trainer.spool(batches, channel)
            yield from rows(trainer.messages(), rank)
    except stream.RowsEnded:
        channel.close()
        raise
    except Exception as error:
        # The notebook hears the cause at once and ends the other tasks. Raised here, Spark would log
        # it too, with a Java stack, into the cell of who runs Spark on the notebook's own machine.
        channel.send(failure(error, rank))
        # Where another worker has failed, its task tells why; the mailbox may be gone with it.
        if not channel.close(_HEAR_SECONDS) and not left.is_set():
            raise
    else:
        channel.close()


@contextmanager
def _with_mailbox(job: Job, context: Any) -> Iterator[tuple[Job, Mailbox | None]]:
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


def infer(job: Job, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """What a trainer makes of one partition's rows, or of its part of batches, or what went wrong there."""
    from pyspark import TaskContext

    context = TaskContext.get()
    rank = context.partitionId() if context is not None else 0
    try:
        with TrainerProcess(job, rank) as trainer:
            trainer.spool(batches, None)
            yield from rows(trainer.messages(), rank)
            for kind, found in {"nulls": trainer.nulls, "unreadable": trainer.unreadable}.items():
                if found:
                    yield _row(kind, rank, json.dumps(found).encode())
    except Exception as error:  # noqa: BLE001  # told as a row: no retries, no wall of text
        yield _row("failure", rank, json.dumps(failure(error, rank)).encode())


def failure(error: BaseException, rank: int) -> messages.Failure:
    """An exception as an event, with the worker that it comes from."""
    described = error.failure if isinstance(error, TrainerFailed) else failures.describe(error)
    return failures.event(described, rank)


def rows(found: Iterable[tuple[str, Any]], rank: int) -> Iterator[pa.RecordBatch]:
    """Rows of the schema :data:`RESULT`, as many as it takes.

    Args:
        found: bytes, and as a "result" what JSON can say, each with its kind.
        rank: of this worker.
    """
    for kind, content in found:
        if kind == "result":
            yield _row("report", rank, json.dumps(content).encode())
        else:
            for start in range(0, max(1, len(content)), PIECE):
                yield _row(kind, rank, content[start : start + PIECE])


def _row(kind: str, rank: int, data: bytes) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays(
        [pa.array([kind]), pa.array([rank], pa.int32()), pa.array([data], pa.binary())], schema=_RESULT
    )
