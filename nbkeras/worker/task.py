"""The Spark tasks: rows go to a trainer, and what it learned comes back as rows."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from nbkeras.data.decoder import Decoded
from nbkeras.data.images import unreadable
from nbkeras.data.images.unreadable import Unreadable
from nbkeras.data.shards import nulls_message
from nbkeras.data.windows.starts import Passing
from nbkeras.errors import DataError
from nbkeras.job import failures
from nbkeras.job.job import Job
from nbkeras.job.mailbox import Mailbox
from nbkeras.schema import PREFIX
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


def predict(
    job: Job, names: list[str], types: list[str], batches: Iterator[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """Batches with the model's outputs as further columns.

    Args:
        job: its plan's fields are the model inputs.
        names: of the result's columns: those that are passed on as they are, then the outputs.
        types: of the outputs, by NumPy's names.
        batches: with the columns to pass on, whatever their names, and behind them the inputs.

    Raises:
        DataError: nulls in an input, images that cannot be read, or values of another shape.
    """
    if job.plan.schema.windows is not None:
        yield from _windows(job, names, types, batches)
        return
    with TrainerProcess(job, 0) as trainer:
        for batch in batches:
            if not batch.num_rows:
                continue
            values, kept = _inputs(job, batch)
            outputs = trainer.ask(values)
            found = [_column(one, dtype) for one, dtype in zip(outputs, types, strict=True)]
            if kept is not None:
                # A row that would be left out of a training has no prediction.
                places = pa.array(np.cumsum(kept) - 1, mask=~kept)
                found = [one.take(places) for one in found]
            own = batch.columns[: len(names) - len(types)]
            yield pa.RecordBatch.from_arrays(own + found, names=names)
        trainer.dismiss()


def _inputs(job: Job, batch: pa.RecordBatch) -> tuple[list[Any], Any]:
    """The values of the model's inputs for some rows, and which rows these are; None for all."""
    decoded = _decoded(job, batch)
    values = [decoded.values[one.name] for one in job.plan.schema.features]
    if decoded.kept is not None and not decoded.kept.any():
        # A row stands in, from which the types of the outputs are known.
        values = [np.zeros((1, *one.shape[1:]), one.dtype) for one in values]
    return values, decoded.kept


def _decoded(job: Job, batch: pa.RecordBatch) -> Decoded:
    nulls: dict[str, int] = {}
    unread: Unreadable = {}
    columns = {one.name: batch.column(PREFIX + one.name) for one in job.decoder.fields}
    decoded = job.decoder(columns, nulls, unread)
    if decoded is None:
        raise DataError(nulls_message(nulls))
    if unreadable.stops(unread):
        raise DataError(unreadable.message(unread))
    return decoded


def _windows(
    job: Job, names: list[str], types: list[str], batches: Iterator[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """The last row of each window, with the model's outputs for it; see :func:`predict`."""
    passing = Passing(job.plan.schema)
    with TrainerProcess(job, 0) as trainer:
        for batch in batches:
            if not batch.num_rows:
                continue
            decoded = _decoded(job, batch)
            own = batch.columns[: len(names) - len(types)]
            if decoded.kept is not None:
                own = [one.filter(pa.array(decoded.kept)) for one in own]
            for places, windows in passing.take(decoded.values):
                outputs = trainer.ask(windows)
                found = [_column(one, dtype) for one, dtype in zip(outputs, types, strict=True)]
                taken = [one.take(pa.array(places)) for one in own]
                yield pa.RecordBatch.from_arrays(taken + found, names=names)
        trainer.dismiss()


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


def _column(output: Any, dtype: str) -> pa.Array:
    """An output as a column: numbers for one value a row, otherwise nested lists."""
    values = np.asarray(output, dtype=dtype)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    array = pa.array(values.reshape(-1))
    for size in reversed(values.shape[1:]):
        offsets = np.arange(0, len(array) + 1, max(size, 1), dtype=np.int32)
        array = pa.ListArray.from_arrays(offsets, array)
    return array
