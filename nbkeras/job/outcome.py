"""Outcome: a column that a prediction gives, of what the model has computed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Outcome:
    """A column that a prediction gives.

    Attributes:
        output: number of the model's output that it is made of.
        gives: the output itself, its likeliest class, or the probability of that class.
        dtype: of its numbers, by NumPy's name.
        rank: how deep its arrays are nested; 0 for a number.
        words: the classes in the order of their numbers.
        logits: whether the output is one of logits, not of probabilities.
    """

    output: int
    gives: Literal["value", "class", "probability"] = "value"
    dtype: str = "float64"
    rank: int = 0
    words: tuple[str, ...] = ()
    logits: bool = False

    @property
    def type(self) -> pa.DataType:
        """The column's type."""
        if self.gives == "class":
            return pa.string()
        kind = pa.from_numpy_dtype(np.dtype(self.dtype))
        for _ in range(self.rank):
            kind = pa.list_(kind)
        return kind

    def column(self, outputs: Array) -> pa.Array:
        """Make the column.

        Args:
            outputs: of some rows.
        """
        if self.gives == "value":
            return _nested(np.asarray(outputs, dtype=self.dtype))
        best, probability = _likeliest(outputs.astype(np.float64), logits=self.logits)
        if self.gives == "probability":
            return pa.array(probability)
        return pa.array(self.words, pa.string()).take(pa.array(best))


def rank(shape: tuple[int, ...]) -> int:
    """The depth of an output's array per row, 0 for a single number.

    Args:
        shape: of one row.
    """
    return 0 if shape in ((), (1,)) else len(shape)


def _nested(values: Array) -> pa.Array:
    """Numbers for one value a row, otherwise nested lists."""
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    array = pa.array(values.reshape(-1))
    for size in reversed(values.shape[1:]):
        offsets = np.arange(0, len(array) + 1, max(size, 1), dtype=np.int32)
        array = pa.ListArray.from_arrays(offsets, array)
    return array


def _likeliest(values: Array, *, logits: bool) -> tuple[Array, Array]:
    """The class of the highest probability, the first of equals, and that probability."""
    if values.ndim == 1 or values.shape[1] == 1:
        high = values.reshape(-1)
        if logits:
            high = 1 / (1 + np.exp(-high))
        # As Keras' BinaryAccuracy.
        second = high > 0.5
        return second.astype(np.int64), np.where(second, high, 1 - high)
    best = values.argmax(axis=1)
    most = values[np.arange(len(values)), best]
    return best, 1 / np.exp(values - most[:, None]).sum(axis=1) if logits else most
