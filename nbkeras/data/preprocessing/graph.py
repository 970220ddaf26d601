"""Graph: the operations between the columns of a table and the numbers that a model trains on."""

from __future__ import annotations

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

    def reshape(self, *shape: int) -> Text:
        """The same words in another shape; -1 stands for what is left."""
        known = int(np.prod([size for size in shape if size >= 0]))
        return Text(self.values, tuple(len(self.values) // max(known, 1) if n < 0 else n for n in shape))


class Operation(ABC):
    """One step between columns and numbers; it can be pickled, and needs no Keras."""

    @abstractmethod
    def __call__(self, *values: Any) -> Any:
        """Compute the result for some rows, arrays or :class:`Text` of shape (rows, …).

        Raises:
            DataError: a value cannot be.
        """


@dataclass(frozen=True)
class Step:
    """One use of an operation: the values it takes, by their numbers, inputs first, then those of steps."""

    operation: Operation
    takes: tuple[int, ...]


@dataclass(frozen=True)
class Graph:
    """All steps from the inputs of a model to those of its trained part.

    Attributes:
        steps: in an order in which they can be made.
        gives: number of the value of each output.
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
            values.append(step.operation(*[values[number] for number in step.takes]))
        return [values[number] for number in self.gives]

    def run(self, inputs: Sequence[Any]) -> list[Array]:
        """Compute the outputs for some rows.

        Args:
            inputs: arrays or :class:`Text` of shape (rows, …), one for each input of the model.

        Raises:
            DataError: a value cannot be, or the outputs do not have the shapes that the model takes.
        """
        found = []
        for given, field in zip(self.values(inputs), self.outputs, strict=True):
            value = np.asarray(given)
            if field.shape is not None and value.shape[1:] != field.shape:
                raise DataError(
                    f"{field.title} gives rows of shape {value.shape[1:]}, and the model takes {field.shape}"
                )
            found.append(value.astype(field.dtype, copy=False))
        return found
