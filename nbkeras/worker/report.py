"""Report: the task that tallies predictions against labels, of a model or of a column that there is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from nbkeras.data.decoder import Decoder
from nbkeras.data.images import unreadable
from nbkeras.data.images.unreadable import Unreadable
from nbkeras.errors import DataError
from nbkeras.job import archive
from nbkeras.job.job import Job
from nbkeras.metrics.tally import Asked, Tally
from nbkeras.schema import PREFIX
from nbkeras.worker import task
from nbkeras.worker.predictor import Predictor
from nbkeras.worker.process import require

#: The column of the slice that a row is in.
SLICE = f"{PREFIX}slice"
Values = dict[str, npt.NDArray[Any]]
#: Labels, weights, slices and the user's own columns of some rows.
Beside = tuple[npt.NDArray[Any], npt.NDArray[np.float64], pa.Array | None, pa.RecordBatch | None]
Part = tuple[list[npt.NDArray[Any]], Beside]


@dataclass(frozen=True)
class Work:
    """What a task does with its rows.

    Attributes:
        asked: what is tallied.
        decoder: of the fields that arrive.
        label: the field of the labels.
        predicted: the field of the predictions; empty where a model makes them.
        weight: the field of the weights, if there is one.
        own: the names of the user's columns, which come first; none where no row is kept.
        job: of the model; None where the rows are predicted already.
        place: of its output.
        measured: whether the model's own loss and metrics are computed too.
    """

    asked: Asked
    decoder: Decoder
    label: str
    predicted: str
    weight: str | None
    own: tuple[str, ...] = ()
    job: Job | None = None
    place: int = 0
    measured: bool = False


def report(work: Work, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Tally one part of the rows, and return the sums as a row, or what went wrong.

    Args:
        work: what is done.
        batches: the user's columns, if some rows are kept, and behind them the fields and the slice.
    """
    from pyspark import TaskContext

    context = TaskContext.get()
    rank = context.partitionId() if context is not None else 0
    nulls: dict[str, int] = {}
    unread: Unreadable = {}
    tally, states = Tally(work.asked, rank), b""
    parts = _parts(work, batches, nulls, unread)
    try:
        if work.job is not None:
            require(work.job)
        # Without a row no trainer is needed.
        if (first := next(parts, None)) is not None:
            states = _tallied(work, tally, chain([first], parts))
    except Exception as error:  # noqa: BLE001  # told as a row: no retries, no wall of text
        yield from task.rows([("failure", json.dumps(task.failure(error, rank)).encode())], rank)
        return
    found = [("bytes", _packed(tally, states))]
    found += [
        (kind, json.dumps(one).encode()) for kind, one in (("nulls", nulls), ("unreadable", unread)) if one
    ]
    yield from task.rows(found, rank)


def _tallied(work: Work, tally: Tally, parts: Iterator[Part]) -> bytes:
    """Tally all rows, and return the metric states of the model."""
    if work.job is None:
        for outputs, beside in parts:
            tally.add(beside[0], outputs[0], *beside[1:])
        return b""
    with Predictor(work.job) as trainer:
        for outputs, beside in trainer.through(parts):
            tally.add(beside[0], outputs[work.place], *beside[1:])
        return b"".join(content for _, content in trainer.messages())


def _parts(
    work: Work, batches: Iterator[pa.RecordBatch], nulls: dict[str, int], unread: Unreadable
) -> Iterator[Part]:
    """What a model is sent of some rows, or their predictions, and beside it what they are tallied with."""
    for batch in batches:
        if not batch.num_rows:
            continue
        columns = {one.name: batch.column(PREFIX + one.name) for one in work.decoder.fields}
        decoded = work.decoder(columns, nulls, unread)
        if decoded is None or nulls or unreadable.stops(unread):
            continue  # All of them are told in the end.
        values = decoded.values
        rows = len(values[work.label])
        if not rows:
            continue
        own = batch.select(range(len(work.own))).rename_columns(list(work.own)) if work.own else None
        slices = batch.column(SLICE) if SLICE in batch.schema.names else None
        if decoded.kept is not None:
            kept = pa.array(decoded.kept)
            own, slices = (None if one is None else one.filter(kept) for one in (own, slices))
        # Before the model's own loss is given labels that it does not know.
        actual = work.asked.question.actual(values[work.label])
        weights = np.ones(rows) if work.weight is None else _weights(values[work.weight])
        yield [values[name] for name in _sent(work)], (actual, weights, slices, own)


def _sent(work: Work) -> list[str]:
    """The fields that a model is sent, or that of the predictions."""
    if work.job is None:
        return [work.predicted]
    schema = work.job.plan.schema
    return [one.name for one in (schema.given if work.measured else schema.features)]


def _weights(values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """The weights of rows.

    Raises:
        DataError: there are several a row.
    """
    if values.size != len(values):
        raise DataError(
            "a report takes one weight for each row, and sample_weight has one for each step: name a column "
            "with one number a row"
        )
    weights = values.reshape(len(values)).astype(np.float64)
    if (strange := ~np.isfinite(weights) | (weights < 0)).any():
        raise DataError(
            f"sample_weight is {weights[strange][0]:g} in {strange.sum():,} of {len(weights):,} rows: give "
            "weights from 0"
        )
    return weights


def _packed(tally: Tally, states: bytes) -> bytes:
    """All that a part of the rows comes to, without pickles."""
    rest: dict[str, Any] = {"states": np.frombuffer(states, np.uint8)}
    if tally.worst is not None:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, tally.worst.schema) as writer:
            writer.write_table(tally.worst)
        rest["worst"] = np.frombuffer(sink.getvalue(), np.uint8)
    return archive.dump_values([rest, *(one.packed() for one in tally.sums)])


def unpacked(data: bytes) -> tuple[list[Values], pa.Table | None, bytes]:
    """Read what a task has returned: the sums, the worst rows, and the metric states of the model."""
    rest, *sums = archive.load_values(data)
    worst = None
    if "worst" in rest:
        with pa.ipc.open_stream(pa.py_buffer(rest["worst"].tobytes())) as reader:
            worst = reader.read_all()
    return sums, worst, rest["states"].tobytes()
