"""Prediction in Spark's tasks: rows go through a model that stays loaded, and become columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from nbkeras.data.images import unreadable
from nbkeras.data.images.unreadable import Unreadable
from nbkeras.data.shards import nulls_message
from nbkeras.data.windows.starts import Passing
from nbkeras.errors import DataError
from nbkeras.job.job import Job
from nbkeras.job.outcome import Outcome
from nbkeras.schema import PREFIX
from nbkeras.worker import forward, predictor
from nbkeras.worker.process import require

#: Columns to hand on, and those of the fields by name.
Columns = tuple[Sequence[pa.Array], dict[str, pa.Array]]
#: The values of the model's inputs for some rows; columns to hand on, and which of these rows they are.
Part = tuple[list[npt.NDArray[Any]], tuple[Sequence[pa.Array], npt.NDArray[np.bool_] | None]]
#: Bytes of the inputs that a trainer is sent at once, if they are more than what goes through it together.
_SENT = 4 << 20


def beside(
    job: Job, outcomes: Sequence[Outcome], names: list[str], batches: Iterator[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """Batches with what is predicted as further columns, for ``mapInArrow``.

    Args:
        job: its plan's fields are the model inputs.
        outcomes: what is predicted.
        names: of the result's columns: those that are handed on as they are, then the outcomes.
        batches: with the columns to hand on, whatever their names, and behind them the inputs.

    Raises:
        DataError: nulls in an input, images that cannot be read, or values of another shape.
    """
    kept, fields = len(names) - len(outcomes), [one.name for one in job.decoder.fields]
    columns = (
        (one.columns[:kept], {name: one.column(PREFIX + name) for name in fields})
        for one in batches
        if one.num_rows
    )
    for own, found in _predicted(job, outcomes, columns):
        yield pa.RecordBatch.from_arrays([*own, *found], names=names)


def alone(job: Job, wanted: Mapping[str, Outcome], batches: Iterable[Any]) -> Iterator[pa.Array]:
    """What is predicted, for a function of columns: a struct where that are several columns.

    Args:
        job: as in :func:`beside`.
        wanted: what is predicted, by the names in the struct.
        batches: the inputs of some rows, each a column or a tuple of columns in the order of the fields.

    Raises:
        DataError: as in :func:`beside`.
    """
    fields = [one.name for one in job.decoder.fields]
    tuples = (one if isinstance(one, tuple) else (one,) for one in batches)
    columns: Iterator[Columns] = (([], dict(zip(fields, one, strict=True))) for one in tuples if len(one[0]))
    for _, found in _predicted(job, [*wanted.values()], columns):
        yield found[0] if len(found) == 1 else pa.StructArray.from_arrays(found, [*wanted])


def _predicted(
    job: Job, outcomes: Sequence[Outcome], batches: Iterator[Columns]
) -> Iterator[tuple[Sequence[pa.Array], list[pa.Array]]]:
    """The columns to hand on, and what is predicted, for some rows at a time."""
    require(job)  # to decode rows too
    parts = (_rows if job.plan.schema.windows is None else _windows)(job, batches)
    if (first := next(parts, None)) is None:
        return  # Without a row no trainer is needed.
    with predictor.hired(job) as trainer:
        for outputs, (own, kept) in trainer.through(chain([first], parts)):
            found = [one.column(outputs[one.output]) for one in outcomes]
            if kept is not None:
                # A row that would be left out of a training has no prediction.
                places = pa.array(np.cumsum(kept) - 1, mask=~kept)
                found = [one.take(places) for one in found]
            yield own, found


def _rows(job: Job, batches: Iterator[Columns]) -> Iterator[Part]:
    """The values of the model's inputs: as many rows at a time as are best sent together."""
    features = job.plan.schema.features
    for own, columns in batches:
        nulls: dict[str, int] = {}
        unread: Unreadable = {}
        count = len(next(iter(columns.values())))
        step = _together(job, sum(one.nbytes for one in columns.values()) // count)
        for begin in range(0, count, step):
            part = {name: one.slice(begin, step) for name, one in columns.items()}
            decoded = job.decoder(part, nulls, unread)
            if decoded is None or nulls or unreadable.stops(unread):
                continue  # The prediction ends with their count.
            values = [decoded.values[one.name] for one in features]
            if decoded.kept is not None and not decoded.kept.any():
                # A row stands in, from which the types of the outputs are known.
                values = [np.zeros((1, *one.shape[1:]), one.dtype) for one in values]
            yield values, ([one.slice(begin, step) for one in own], decoded.kept)
        _require_readable(nulls, unread)


def _together(job: Job, width: int) -> int:
    """How many rows are best sent together: whole batches of the model.

    Args:
        job: to predict.
        width: bytes of a row in Spark's columns.
    """
    rows = forward.rows(job.plan)
    return rows * max(1, _SENT // (rows * max(1, width, job.plan.schema.row_bytes)))


def _windows(job: Job, batches: Iterator[Columns]) -> Iterator[Part]:
    """The windows whose last rows come, with these rows' own columns."""
    passing = Passing(job.plan.schema)
    for own, columns in batches:
        nulls: dict[str, int] = {}
        unread: Unreadable = {}
        decoded = job.decoder(columns, nulls, unread)
        _require_readable(nulls, unread)
        assert decoded is not None
        if decoded.kept is not None:
            own = [one.filter(pa.array(decoded.kept)) for one in own]  # noqa: PLW2901  # the rest of them
        for places, windows in passing.take(decoded.values):
            yield list(windows), ([one.take(pa.array(places)) for one in own], None)


def _require_readable(nulls: dict[str, int], unread: Unreadable) -> None:
    """Refuse rows that cannot be predicted.

    Raises:
        DataError: there are some.
    """
    if nulls:
        raise DataError(nulls_message(nulls))
    if unreadable.stops(unread):
        raise DataError(unreadable.message(unread))
