"""Decoder: turns the columns that workers receive into the fields that a model trains on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from nbkeras.data import kinds
from nbkeras.data.images.unreadable import Unreadable
from nbkeras.data.kinds.images import Images
from nbkeras.data.preprocessing.graph import Array, Graph
from nbkeras.schema import Field


@dataclass(frozen=True)
class Decoded:
    """Some rows, as a model trains on them.

    Attributes:
        values: of each field.
        kept: which of the rows that came these are; None for all.
    """

    values: dict[str, Array]
    kept: npt.NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class Decoder:
    """Turns the columns of Arrow batches into the fields that a model trains on.

    Attributes:
        fields: of the columns.
        graph: the steps from those of the inputs to what is trained; None where there are none.
    """

    fields: tuple[Field, ...] = ()
    graph: Graph | None = None

    def __call__(
        self, columns: Mapping[str, pa.Array], nulls: dict[str, int], unreadable: Unreadable
    ) -> Decoded | None:
        """Decode some rows, those whose images can be read; None where they hold nulls.

        Args:
            columns: by field.
            nulls: counts of nulls by source column; updated.
            unreadable: files that are no images, by source column; updated.

        Raises:
            DataError: the values are not what the fields say.
        """
        images, kept = self._images(columns, nulls, unreadable)
        if kept is not None:
            columns = {name: column.filter(pa.array(kept)) for name, column in columns.items()}
        found = images | {
            one.name: kinds.encoding(one).decode(columns[one.name], one, nulls)
            for one in self.fields
            if one.image is None
        }
        if any(value is None for value in found.values()):
            return None
        return Decoded(self.preprocessed(found), kept)

    def _images(
        self, columns: Mapping[str, pa.Array], nulls: dict[str, int], unreadable: Unreadable
    ) -> tuple[dict[str, Any], npt.NDArray[np.bool_] | None]:
        """Read the images of some rows; None for a field with nulls, and for the rows where all are kept."""
        read = {
            one.name: Images().readable(columns[one.name], one, nulls, unreadable)
            for one in self.fields
            if one.image is not None
        }
        masks = [one[1] for one in read.values() if one is not None]
        kept = None if not masks or np.all(masks) else np.logical_and.reduce(masks)
        values = {
            name: None if one is None else one[0] if kept is None else one[0][kept]
            for name, one in read.items()
        }
        return values, kept

    def preprocessed(self, values: Mapping[str, Any]) -> dict[str, Array]:
        """Take the steps of the graph.

        Args:
            values: of each field.
        """
        if self.graph is None:
            return dict(values)
        inputs = [values[one.name] for one in self.fields if one.is_input]
        rest = {one.name: values[one.name] for one in self.fields if not one.is_input}
        names = [one.name for one in self.graph.outputs]
        return dict(zip(names, self.graph.run(inputs), strict=True)) | rest
