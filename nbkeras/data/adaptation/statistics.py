"""Statistics: what Keras' layers learn from data before a training, of the rows of one Spark task.

One pass over the rows gives, for all layers, how often each word occurs, and the mean and variance of
numbers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nbkeras.data import kinds
from nbkeras.data.preprocessing.graph import Graph, Text
from nbkeras.data.preprocessing.text import Tokens
from nbkeras.schema import Field

#: The columns of what a pass gives, as Spark names their types.
COLUMNS = (
    "layer int, part bigint, word string, number bigint, value double, rows bigint, documents bigint, "
    "spread double"
)
_COLUMNS = pa.schema(
    [
        ("layer", pa.int32()),
        ("part", pa.int64()),
        ("word", pa.string()),
        ("number", pa.int64()),
        ("value", pa.float64()),
        ("rows", pa.int64()),
        ("documents", pa.int64()),
        ("spread", pa.float64()),
    ]
)


class Statistic(ABC):
    """What one layer learns of the values that it takes; it is updated batch by batch."""

    @abstractmethod
    def update(self, value: Any) -> dict[str, Any] | None:
        """Take in some rows; what can be given at once, by column."""

    def end(self) -> dict[str, Any] | None:
        """What is given when all rows of a task have been seen, by column."""
        return None


class Counts(Statistic):
    """How often each word, or whole number, occurs.

    Args:
        tokens: cuts sentences into words; None where each value is one.
        documents: whether to count the rows that hold a word, too.
    """

    def __init__(self, tokens: Tokens | None = None, *, documents: bool = False) -> None:
        self._tokens, self._documents = tokens, documents
        self._rows = 0

    def update(self, value: Any) -> dict[str, Any] | None:
        """See :class:`Statistic`."""
        rows = value.shape[0]
        self._rows += rows
        if self._tokens is not None:
            words = self._tokens(value)
            flat, row = words.flatten(), np.repeat(np.arange(rows), np.diff(words.offsets.to_numpy()))
        else:
            flat = value.values if isinstance(value, Text) else pa.array(np.asarray(value).reshape(-1))
            row = np.repeat(np.arange(rows), len(flat) // max(rows, 1))
        if not len(flat):
            return None
        counted = pc.value_counts(flat)
        found = {"rows": counted.field("counts")}
        key = "word" if pa.types.is_string(flat.type) or pa.types.is_large_string(flat.type) else "number"
        found[key] = counted.field("values")
        if self._documents:
            # Each word once for each row that holds it.
            at = pc.index_in(flat, value_set=counted.field("values")).to_numpy()
            pairs = np.unique(np.stack([row, at]), axis=1)[1]
            found["documents"] = pa.array(np.bincount(pairs, minlength=len(counted)))
        return found

    def end(self) -> dict[str, Any] | None:
        """See :class:`Statistic`."""
        # A row of neither word nor number: how many documents there are.
        return {"documents": [self._rows]} if self._documents else None


class Moments(Statistic):
    """Number, mean and sum of squared differences from it, by position.

    Merged as Chan, Golub and LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing Sample
    Variances", 1979.

    Args:
        keeps: axes whose positions are kept apart; all others are reduced, rows first.
    """

    def __init__(self, keeps: tuple[int, ...]) -> None:
        self._keeps = keeps
        self._sum: tuple[int, Any, Any] = 0, 0.0, 0.0

    def update(self, value: Any) -> dict[str, Any] | None:
        """See :class:`Statistic`."""
        values = np.asarray(value, np.float64)
        reduced = tuple(axis for axis in range(values.ndim) if axis not in self._keeps)
        mean = values.mean(axis=reduced, keepdims=True)
        spread = np.square(values - mean).sum(axis=reduced)
        number = int(np.prod([values.shape[axis] for axis in reduced]))
        self._sum = merged(self._sum, (number, mean.reshape(spread.shape), spread))
        return None

    def end(self) -> dict[str, Any] | None:
        """See :class:`Statistic`."""
        number, mean, spread = self._sum
        if not number:
            return None
        flat = np.asarray(mean).reshape(-1)
        return {
            "number": np.arange(len(flat)),
            "value": flat,
            "rows": np.full(len(flat), number),
            "spread": np.asarray(spread).reshape(-1),
        }


class Values(Statistic):
    """All values, of which Spark finds the quantiles."""

    def update(self, value: Any) -> dict[str, Any] | None:
        """See :class:`Statistic`."""
        return {"value": np.asarray(value, np.float64).reshape(-1)}


def merged(one: tuple[int, Any, Any], other: tuple[int, Any, Any]) -> tuple[int, Any, Any]:
    """Number, mean and sum of squared differences of two sets of values together."""
    number = one[0] + other[0]
    if not number:
        return one
    apart = other[1] - one[1]
    mean = one[1] + apart * (other[0] / number)
    return number, mean, one[2] + other[2] + np.square(apart) * (one[0] * other[0] / number)


@dataclass(frozen=True)
class Learner:
    """One layer that learns: the way from the columns to what it takes, and what it learns of that.

    Attributes:
        graph: with one output, what the layer takes.
        statistic: of the values.
    """

    graph: Graph
    statistic: Statistic


def learned(
    fields: tuple[Field, ...], learners: list[Learner], part: int, batches: Iterator[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """Pass over the rows of a task once, for all layers.

    A row that lacks a value that one layer takes still counts for the others.

    Args:
        fields: of the model's inputs, each a column.
        learners: of all layers.
        part: number of the task.
        batches: of rows.
    """
    for batch in batches:
        for layer, one in enumerate(learners):
            taken = one.graph.needs(len(fields))
            there = np.ones(batch.num_rows, bool)
            for number in taken:
                there &= _valid(batch.column(fields[number].name))
            held = batch if there.all() else batch.filter(pa.array(there))
            inputs: list[Any] = [None] * len(fields)
            for number in taken:
                field = fields[number]
                inputs[number] = kinds.encoding(field).decode(held.column(field.name), field, {})
            if held.num_rows:
                (value,) = one.graph.values(inputs)
                yield from _rows(layer, None, one.statistic.update(value))
            missing = batch.num_rows - held.num_rows
            if missing:
                yield from _rows(layer, -1, {"rows": [missing]})
    for layer, one in enumerate(learners):
        yield from _rows(layer, part, one.statistic.end())


def _valid(column: pa.Array) -> Any:
    """Which rows hold a value: neither null nor NaN, nor an array with one of these."""
    there = column.is_valid().to_numpy(zero_copy_only=False).copy()
    if pa.types.is_floating(column.type):
        return there & ~np.isnan(column.fill_null(0).to_numpy(zero_copy_only=False))
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        inner, row = column.flatten(), pc.list_parent_indices(column).to_numpy()
        there[row[~_valid(inner)]] = False
    return there


def _rows(layer: int, part: int | None, found: dict[str, Any] | None) -> Iterator[pa.RecordBatch]:
    if found is None:
        return
    length = len(next(iter(found.values())))
    columns = []
    for field in _COLUMNS:
        if field.name in found:
            value = found[field.name]
            array = value if isinstance(value, pa.Array) else pa.array(value)
            columns.append(array.cast(field.type))
        elif field.name == "layer":
            columns.append(pa.array([layer] * length, pa.int32()))
        else:
            columns.append(pa.array([part if field.name == "part" else None] * length, field.type))
    yield pa.RecordBatch.from_arrays(columns, schema=_COLUMNS)
