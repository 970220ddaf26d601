"""Schema: the fields of a row, the user's columns behind them, and their place in Keras' arguments."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

#: The column and field that orders the rows of a shard: position or hash of the row.
ORDER = "order"
#: The column with a row's hash where its order is a position.
CHECK = "check"
#: Sets the inputs' columns apart from a DataFrame's own where both travel.
PREFIX = "nbkeras_"


@dataclass(frozen=True)
class Field:
    """One field of a row that is sent to a worker, and the columns that it comes from.

    Attributes:
        name: ``x0``, ``x1``, … for model inputs, ``y0``, … for labels, ``w``.
        sources: the user's columns; several are stacked into one vector.
        title: its name in error messages ("model input 'image'", "label").
        dtype: NumPy dtype of the values; None keeps the column's own.
        shape: shape of one row's value; None takes it from the first row.
        kind: name of the encoding of its values, see :mod:`nbkeras.data.kinds`.
    """

    name: str
    sources: tuple[str, ...]
    title: str
    dtype: str | None = None
    shape: tuple[int, ...] | None = None
    kind: str = "array"


@dataclass(frozen=True)
class Schema:
    """The fields of a row, and their place in Keras' arguments.

    Attributes:
        fields: of a row.
        inputs: model input names in the order of the fields x0, x1, ….
        outputs: output names for the label fields; None where Keras gets an
            array or a tuple.
    """

    fields: tuple[Field, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...] | None = None

    @property
    def features(self) -> tuple[Field, ...]:
        """The fields of the model's inputs."""
        return tuple(one for one in self.fields if one.name.startswith("x"))

    @property
    def labels(self) -> tuple[Field, ...]:
        """The fields of the labels."""
        return tuple(one for one in self.fields if one.name.startswith("y"))

    @property
    def columns(self) -> tuple[str, ...]:
        """The user's columns that feed the model, in the order of its inputs."""
        return tuple(name for one in self.features for name in one.sources)

    @property
    def weighted(self) -> bool:
        """Whether rows carry a sample weight."""
        return any(one.name == "w" for one in self.fields)

    def described(self) -> dict[str, Any]:
        """Convert the schema into plain data, ready for JSON.

        Example:
            >>> from nbkeras.schema import Field, Schema
            >>> one = Schema((Field("x0", ("a",), "model input 'x'", shape=(1,)),), ("x",))
            >>> Schema.read(one.described()) == one
            True
        """
        return asdict(self)

    @classmethod
    def read(cls, described: Mapping[str, Any]) -> Self:
        """Read the output of :meth:`described`, also if JSON has turned its tuples into lists."""
        made = tuple(
            Field(*(_tuple(values[one.name]) for one in fields(Field))) for values in described["fields"]
        )
        return cls(made, tuple(described["inputs"]), _tuple(described["outputs"]))

    @property
    def row_bytes(self) -> int:
        """Upper bound of the bytes of a row, eight per number; fields of unknown shape are not counted."""
        return sum(8 * math.prod(one.shape or ()) for one in self.fields)

    def nest(self, values: Mapping[str, Any]) -> tuple[Any, ...]:
        """Nest arrays by field name as x, y and sample_weight, without those that the schema lacks.

        One model input gives an array, several give a dict by input name; labels
        are an array, a tuple (a list would be one tensor to tf.data), or a dict
        by output name.

        Example:
            >>> from nbkeras.schema import Field, Schema
            >>> one = Schema((Field("x0", ("a",), "a"), Field("y0", ("b",), "b")), ("x",))
            >>> one.nest({"x0": [1], "y0": [2]})
            ([1], [2])
        """
        x = [values[one.name] for one in self.features]
        parts: list[Any] = [x[0] if len(x) == 1 else dict(zip(self.inputs, x, strict=True))]
        y = [values[one.name] for one in self.labels]
        if self.outputs is not None:
            parts.append(dict(zip(self.outputs, y, strict=True)))
        elif y:
            parts.append(y[0] if len(y) == 1 else tuple(y))
        if self.weighted:
            parts.append(values["w"])
        return tuple(parts)


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, (list, tuple)) else value
