"""Tally: the sums of one part of the rows, as a whole and by slice, and the rows that are predicted worst."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from nbkeras.metrics.question import Array, Question, Statistics
from nbkeras.metrics.scores import Floats

#: Columns that the worst rows have behind their own.
WORST = ("_actual", "_predicted", "_loss")


@dataclass(frozen=True)
class Asked:
    """What is tallied.

    Attributes:
        question: of all rows.
        slices: values of the column to slice by; rows of other values make one more slice.
        worst: the number of rows to keep that are predicted worst.
    """

    question: Question
    slices: tuple[str | None, ...] = ()
    worst: int = 0

    @property
    def groups(self) -> int:
        """The number of sums: of all rows, and of each slice."""
        return 1 + (len(self.slices) + 1 if self.slices else 0)


class Tally:
    """Sums and worst rows of one part of the rows.

    Args:
        asked: what is tallied.
        part: of the rows, from 0.
    """

    def __init__(self, asked: Asked, part: int = 0) -> None:
        self._asked = asked
        self.sums: list[Statistics] = [
            asked.question.sums(part * asked.groups + group) for group in range(asked.groups)
        ]
        self.worst: pa.Table | None = None

    def add(
        self,
        actual: Array,
        outputs: Array,
        weights: Floats,
        slices: pa.Array | None,
        own: pa.RecordBatch | None,
    ) -> None:
        """Add rows.

        Args:
            actual, outputs, weights: as in :meth:`nbkeras.metrics.question.Question.answered`.
            slices: the words of the column to slice by.
            own: the rows as their user knows them.

        Raises:
            DataError: a score or a label cannot be.
        """
        add, predicted = self._asked.question.answered(actual, outputs, weights)
        losses = add(self.sums[0], slice(None))
        if slices is not None:
            group = pc.index_in(slices, pa.array(self._asked.slices, pa.string()))
            numbers = group.fill_null(len(self._asked.slices)).to_numpy(zero_copy_only=False)
            for number in np.unique(numbers):
                add(self.sums[1 + int(number)], numbers == number)
        if own is not None:
            self._keep(own, actual, predicted, losses)

    def merge(self, packed: Sequence[dict[str, npt.NDArray[Any]]], worst: pa.Table | None) -> None:
        """Add what another part has tallied."""
        for sums, one in zip(self.sums, packed, strict=True):
            sums.merge(one)
        if worst is not None:
            self._keep_worst(worst)

    def _keep(self, own: pa.RecordBatch, actual: Array, predicted: Array, losses: Floats) -> None:
        chosen = np.argsort(-losses, kind="stable")[: self._asked.worst]
        table = pa.Table.from_batches([own.take(pa.array(chosen))])
        for name, values in zip(WORST, (actual, predicted, losses), strict=True):
            table = table.append_column(name, pa.array(_plain(values[chosen])))
        self._keep_worst(table)

    def _keep_worst(self, table: pa.Table) -> None:
        both = table if self.worst is None else pa.concat_tables([self.worst, table])
        order = np.argsort(-both.column(WORST[-1]).to_numpy(), kind="stable")[: self._asked.worst]
        self.worst = both.take(pa.array(order))


def _plain(values: Array) -> list[Any]:
    """A number for each row, or a list where there are several."""
    found: list[Any] = (values[:, 0] if values.shape[1:] == (1,) else values).tolist()
    return found
