"""Feed: which of its mapped rows a worker gives to each step, in the order of the epoch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nbkeras.data.windows import starts
from nbkeras.schema import Schema
from nbkeras.worker.files import scratch

Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Feed:
    """The rows of one worker and their places in the steps of an epoch.

    Attributes:
        arrays: the worker's rows by field, mapped from its spool; at least one row.
        canonical: positions of the rows in an order that does not depend on how they came.
        order: positions in the order of the epoch; backends read it where it lies. Those of windows are
            those of their first rows.
        counts: local rows of each step. Keras cannot run an empty batch, so where
            a step has none, some row stands in; its gradient and metrics are dropped.
        schema: how Keras takes the fields.
        seed: permutes the rows in each epoch; None keeps the order.
    """

    arrays: Arrays
    canonical: npt.NDArray[np.int64]
    order: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]
    schema: Schema
    seed: tuple[int, ...] | None = None

    def permute(self, epoch: int) -> None:
        """Put the rows in the order of an epoch, a function of seed and epoch alone."""
        if self.seed is not None:
            self.order[:] = self.canonical
            np.random.default_rng([*self.seed, epoch]).shuffle(self.order)

    def rows(self, number: int) -> tuple[Any, ...]:
        """The first rows as one batch: x, y and weights as Keras takes them."""
        return self.schema.nest(self.gathered(self.canonical[:number]))

    def gathered(self, chosen: npt.NDArray[np.int64]) -> Arrays:
        """Some rows of each field, in the types that the model takes."""
        types = self.types
        return {
            name: array[self.places(name, chosen)].astype(types.get(name, array.dtype), copy=False)
            for name, array in self.arrays.items()
        }

    def places(self, name: str, chosen: Any) -> Any:
        """Where the values of a field lie for chosen rows, in an array or a tensor as these."""
        windows = self.schema.windows
        if windows is None:
            return chosen
        return starts.rows(windows, chosen) if name in self._inputs else chosen + windows.offset

    @property
    def batch_bytes(self) -> int:
        """Bytes of the largest batch, in the types that the model takes."""
        types, total = self.types, 0
        for one in self.schema.given:
            array = self.arrays[one.name]
            shape = self.schema.taken(one, array.shape[1:]) or ()
            total += math.prod(shape) * np.dtype(types.get(one.name, array.dtype)).itemsize
        return total * int(self.counts.max(initial=1))

    @property
    def _inputs(self) -> set[str]:
        return {one.name for one in self.schema.features}

    @property
    def types(self) -> dict[str, str]:
        """The types in which a model takes images, which are kept in narrower ones."""
        return {one.name: one.dtype for one in self.schema.fields if one.image and one.dtype}


def feed(
    arrays: Arrays,
    canonical: npt.NDArray[np.int64],
    counts: npt.NDArray[np.int64],
    schema: Schema,
    seed: tuple[int, ...] | None = None,
    *,
    encrypted: bool = False,
) -> Feed:
    """A feed, with room for the order of its epochs; encrypted: none of it on a disk in the clear."""
    order = canonical if seed is None else scratch(len(canonical), encrypted=encrypted)
    order[:] = canonical
    return Feed(arrays, canonical, order, counts, schema, seed)
