"""Decoder: turns the columns that workers receive into the fields that a model trains on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from nbkeras.data import kinds
from nbkeras.data.preprocessing.graph import Array, Graph
from nbkeras.schema import Field


@dataclass(frozen=True)
class Decoder:
    """Turns the columns of Arrow batches into the fields that a model trains on.

    Attributes:
        fields: of the columns.
        graph: the steps from those of the inputs to what is trained; None where there are none.
    """

    fields: tuple[Field, ...] = ()
    graph: Graph | None = None

    def __call__(self, columns: Mapping[str, pa.Array], nulls: dict[str, int]) -> dict[str, Array] | None:
        """Decode some rows; None where they hold nulls.

        Args:
            columns: by field.
            nulls: counts of nulls by source column; updated.

        Raises:
            DataError: the values are not what the fields say.
        """
        found = {one.name: kinds.encoding(one).decode(columns[one.name], one, nulls) for one in self.fields}
        if any(value is None for value in found.values()):
            return None
        return self.preprocessed(found)

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
