"""Graph: the operations between the columns of a table and the numbers that a model trains on."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from nbkeras.errors import DataError
from nbkeras.schema import Field

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Text:
    """Words of some rows.

    Attributes:
        values: all words, those of the first row first.
        shape: of the rows, their number first.
    """

    values: pa.Array
    shape: tuple[int, ...]

    @property
    def strings(self) -> pa.StringArray:
        """All words in Arrow's plain type, whatever Spark sends."""
        if pa.types.is_string(self.values.type):
            return self.values
        # Arrow casts a part of a large array in a way that its own functions read wrongly: make it a whole.
        return pa.concat_arrays([self.values, self.values[:0]]).cast(pa.string())

    def __getitem__(self, rows: slice) -> Text:
        """Some of the rows."""
        begin, end, _ = rows.indices(self.shape[0])
        width = math.prod(self.shape[1:])
        return Text(self.values[begin * width : end * width], (end - begin, *self.shape[1:]))

    def reshape(self, *shape: int) -> Text:
        """The same words in another shape; one size may be -1, which is computed from the others."""
        known = math.prod(size for size in shape if size >= 0)
        return Text(self.values, tuple(len(self.values) // max(known, 1) if n < 0 else n for n in shape))


class Operation(ABC):
    """One step between columns and numbers; it can be pickled."""

    @property
    def dtype(self) -> str | None:
        """NumPy's narrowest type that holds the result; None for the type that Keras names."""
        return None

    @abstractmethod
    def __call__(self, *values: Any) -> Any:
        """Compute the result for some rows; a list where there are several results.

        Args:
            values: arrays or :class:`Text` of shape (rows, …).

        Raises:
            DataError: the operation has no result for one of the values.
        """


@dataclass(frozen=True)
class Step:
    """One use of an operation.

    Attributes:
        operation: to use.
        takes: the numbers of its values: the inputs come first, then the results of the steps.
    """

    operation: Operation
    takes: tuple[int, ...]


@dataclass(frozen=True)
class Graph:
    """All steps from the inputs of a model to those of its trained part.

    Attributes:
        steps: each after those that it takes values from.
        gives: the numbers of the values that are the outputs.
        outputs: the fields that the trained part of the model takes.
    """

    steps: tuple[Step, ...]
    gives: tuple[int, ...]
    outputs: tuple[Field, ...]

    def needs(self, inputs: int) -> list[int]:
        """The numbers of the inputs that the outputs depend on.

        Args:
            inputs: how many there are.
        """
        taken = {*self.gives, *(number for step in self.steps for number in step.takes)}
        return [number for number in range(inputs) if number in taken]

    def values(self, inputs: Sequence[Any]) -> list[Any]:
        """Compute the outputs for some rows, in whatever type the steps give them: words too."""
        values = list(inputs)
        for step in self.steps:
            made = step.operation(*[values[number] for number in step.takes])
            values.extend(made if isinstance(made, list) else [made])
        return [values[number] for number in self.gives]

    def run(self, inputs: Sequence[Any]) -> list[Array]:
        """Compute the outputs for some rows.

        Args:
            inputs: arrays or :class:`Text` of shape (rows, …), one for each input of the model.

        Raises:
            DataError: a step has no result for a value, or the results do not have the shapes that the
                model takes.
        """
        rows = inputs[0].shape[0]
        found = []
        for given, field in zip(self.values(inputs), self.outputs, strict=True):
            value = np.asarray(given)
            if value.shape != (rows, *(field.shape or ())):
                raise DataError(
                    f"{field.title} gives shape {value.shape} for {rows} rows, and the model behind it takes "
                    f"rows of shape {field.shape}: give each row this shape, by keras.layers.Reshape"
                )
            found.append(value if field.image is not None else value.astype(field.dtype, copy=False))
        return found
