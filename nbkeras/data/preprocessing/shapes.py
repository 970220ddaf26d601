"""Shapes: operations that change the form of values, and keep what they say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from nbkeras.data.preprocessing.graph import Operation, Text


@dataclass(frozen=True)
class Reshape(Operation):
    """Gives each row another shape.

    Attributes:
        shape: of one row; -1 stands for what is left.
    """

    shape: tuple[int, ...]

    def __call__(self, *values: Any) -> Any:
        """See :class:`Operation`."""
        (value,) = values
        return value.reshape(value.shape[0], *self.shape)


@dataclass(frozen=True)
class Concatenate(Operation):
    """Puts values side by side along their last axis.

    Attributes:
        result: the type of the result, where they are numbers.
    """

    result: str

    def __call__(self, *values: Any) -> Any:
        """See :class:`Operation`."""
        if not isinstance(values[0], Text):
            return np.concatenate(values, axis=-1, dtype=self.result, casting="unsafe")
        widths = [one.shape[-1] for one in values]
        rows = int(np.prod(values[0].shape[:-1]))
        starts = np.cumsum([0, *[len(one.values) for one in values[:-1]]])
        taken = np.concatenate(
            [
                (start + np.arange(rows * width)).reshape(rows, width)
                for start, width in zip(starts, widths, strict=True)
            ],
            axis=1,
        )
        joined = pa.concat_arrays([one.values for one in values])
        return Text(joined.take(pa.array(taken.reshape(-1))), (*values[0].shape[:-1], sum(widths)))


@dataclass(frozen=True)
class Cast(Operation):
    """Gives numbers another type.

    Attributes:
        result: that type.
    """

    result: str

    def __call__(self, *values: Any) -> Any:
        """See :class:`Operation`."""
        with np.errstate(invalid="ignore"):  # Keras casts NaN too
            return values[0].astype(self.result)


@dataclass(frozen=True)
class Discretize(Operation):
    """What ``keras.layers.Discretization`` does in the mode ``int``: a value on a boundary goes up.

    Attributes:
        boundaries: of the bins, upwards.
    """

    boundaries: tuple[float, ...]

    def __call__(self, *values: Any) -> Any:
        """See :class:`Operation`."""
        bounds = np.asarray(self.boundaries, np.float32)
        return np.digitize(np.asarray(values[0], np.float32), bounds).astype(np.int32)
