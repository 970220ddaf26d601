"""Schema: the fields of a row, the user's columns behind them, and their place in Keras' arguments."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

#: The column and field that orders the rows of a shard: position or hash of the row.
ORDER = "order"
#: The column with a row's hash where its order is a position.
CHECK = "check"
#: Sets the inputs' columns apart from a DataFrame's own where both travel.
PREFIX = "nbkeras_"
#: The type of words, as Keras names it.
WORDS = "string"


@dataclass(frozen=True)
class ImageOptions:
    """How the images of a column become numbers; see :func:`nbkeras.images`.

    Attributes:
        interpolation: ``bilinear`` or ``nearest``.
        aspect: ``stretch`` to the model's size, ``crop`` what is too much, or ``pad`` with black.
        antialias: whether a smaller image is made of all pixels, as Pillow does, not of the nearest ones.
        dtype: in which workers keep pixels: ``uint8``, rounded, or ``float32``.
        invalid: what files that cannot be read are: an ``error``, or left out by ``skip``.
        channels_first: whether the model takes (channels, height, width).
    """

    interpolation: str = "bilinear"
    aspect: str = "stretch"
    antialias: bool = False
    dtype: str = "uint8"
    invalid: str = "error"
    channels_first: bool = False


@dataclass(frozen=True)
class Padding:
    """How arrays of several lengths become arrays of one; see :func:`nbkeras.pad_sequences`.

    Attributes:
        padding, truncating: where values are added, or cut off: ``pre`` or ``post``.
        value: that is added.
    """

    padding: str = "pre"
    truncating: str = "pre"
    value: Any = 0


@dataclass(frozen=True)
class Windows:
    """How rows that follow each other become windows; see :func:`nbkeras.timeseries`.

    Attributes:
        time: the column that orders the rows.
        length: rows of a window.
        stride: rows from the first one of a window to that of the next.
        rate: rows from one of a window to its next.
        offset: rows from the first one of a window to the one whose label counts.
        key: columns that tell one series from another.
    """

    time: str
    length: int
    stride: int = 1
    rate: int = 1
    offset: int = 0
    key: tuple[str, ...] = ()

    @property
    def span(self) -> int:
        """Rows from the first one of a window to its last."""
        return (self.length - 1) * self.rate


@dataclass(frozen=True)
class Field:
    """One field of a row that is sent to a worker, and the columns that it comes from.

    Attributes:
        name: ``x0``, ``x1``, … for model inputs, ``y0``, … for labels, ``w0``, … for sample weights; of rows
            that become windows also ``series0``, … and ``time``.
        sources: the user's columns; several are stacked into one vector.
        title: its name in error messages ("model input 'image'", "label").
        dtype: NumPy dtype of the values, or :data:`WORDS`; None keeps the column's own.
        shape: shape of one row's value; None takes it from the first row.
        kind: name of the encoding of its values, see :mod:`nbkeras.data.kinds`.
        classes: of a label that is a word, in the order of their numbers.
        fills: what stands for missing values of each source; None, or no entry, for nothing.
        image: how images become numbers; None for a field of something else.
        padding: how arrays become those of its shape; None where they are.
    """

    name: str
    sources: tuple[str, ...]
    title: str
    dtype: str | None = None
    shape: tuple[int, ...] | None = None
    kind: str = "array"
    classes: tuple[str, ...] = ()
    fills: tuple[Any, ...] = ()
    image: ImageOptions | None = None
    padding: Padding | None = None

    @property
    def is_input(self) -> bool:
        """Whether this is a field of a model input."""
        return self.name.startswith("x")


@dataclass(frozen=True)
class Schema:
    """The fields of a row, and their place in Keras' arguments.

    Attributes:
        fields: of a row.
        x: how the fields of the inputs are nested: their names in dicts and tuples (a list would be one
            tensor to ``tf.data``). None for the field itself where there is one, else a tuple.
        y, w: likewise, how the fields of the labels and of the sample weights are nested; None within stands
            for an output without a label.
        windows: how rows become windows, of which the inputs' fields are one step; None where a row is taken
            by itself.
    """

    fields: tuple[Field, ...] = ()
    x: Any = None
    y: Any = None
    w: Any = None
    windows: Windows | None = None

    @property
    def features(self) -> tuple[Field, ...]:
        """The fields of the model's inputs."""
        return tuple(one for one in self.fields if one.is_input)

    @property
    def labels(self) -> tuple[Field, ...]:
        """The fields of the labels."""
        return tuple(one for one in self.fields if one.name.startswith("y"))

    @property
    def columns(self) -> tuple[str, ...]:
        """The user's columns that feed the model, in the order of its inputs."""
        return tuple(name for one in self.features for name in one.sources)

    @property
    def fills(self) -> dict[str, Any]:
        """What stands for missing values, by the feature column."""
        pairs = (zip(one.sources, one.fills, strict=False) for one in self.features)
        return {source: fill for pair in pairs for source, fill in pair if fill is not None}

    @property
    def targets(self) -> tuple[str, ...]:
        """The user's label columns, in the order of the outputs."""
        return tuple(name for one in self.labels for name in one.sources)

    @property
    def weights(self) -> tuple[Field, ...]:
        """The fields of the sample weights."""
        return tuple(one for one in self.fields if one.name.startswith("w"))

    @property
    def given(self) -> tuple[Field, ...]:
        """The fields that Keras is given."""
        return (*self.features, *self.labels, *self.weights)

    @property
    def reach(self) -> int:
        """Rows from the first one of a window to the last one that it needs; 0 where there are no windows."""
        if self.windows is None:
            return 0
        labelled = self.labels or self.weights
        return max(self.windows.span, self.windows.offset if labelled else 0)

    def taken(self, one: Field, shape: tuple[int, ...] | None) -> tuple[int, ...] | None:
        """Return the shape in which Keras takes a field, by that of one row's value."""
        if self.windows is None or not one.is_input or shape is None:
            return shape
        return (self.windows.length, *shape)

    def described(self) -> dict[str, Any]:
        """Convert the schema into plain data, ready for JSON.

        Example:
            >>> from nbkeras.schema import Field, Schema
            >>> one = Schema((Field("x0", ("a",), "model input 'x'", shape=(1,)),))
            >>> Schema.read(one.described()) == one
            True
        """
        return asdict(self)

    @classmethod
    def read(cls, described: Mapping[str, Any]) -> Self:
        """Read the output of :meth:`described`, also if JSON has turned its tuples into lists."""
        made = tuple(_field(_tuples(values)) for values in described["fields"])
        x, y, w, windows = (_tuples(described.get(part)) for part in ("x", "y", "w", "windows"))
        return cls(made, x, y, w, None if windows is None else Windows(**windows))

    @property
    def row_bytes(self) -> int:
        """Upper bound of the bytes of a row, eight per number; fields of unknown shape are not counted."""
        return sum(8 * math.prod(one.shape or ()) for one in self.fields)

    def nest(self, values: Mapping[str, Any]) -> tuple[Any, ...]:
        """Nest arrays by field name as x, y and sample_weight, without those that the schema lacks.

        Example:
            >>> from nbkeras.schema import Field, Schema
            >>> fields = (Field("x0", ("a",), "a"), Field("y0", ("b",), "b"), Field("y1", ("c",), "c"))
            >>> Schema(fields, y={"left": "y0", "right": "y1"}).nest({"x0": [1], "y0": [2], "y1": [3]})
            ([1], {'left': [2], 'right': [3]})
        """
        parts = [_nested(self.x, self.features, values)]
        if self.labels or self.weights:
            parts.append(_nested(self.y, self.labels, values) if self.labels else None)
        if self.weights:
            parts.append(_nested(self.w, self.weights, values))
        return tuple(parts)

    def batch(self, values: Mapping[str, Any]) -> Any:
        """Nest arrays by field name as Keras gives a batch to a step: without labels x alone, in no tuple."""
        parts = self.nest(values)
        return parts[0] if len(parts) == 1 and not isinstance(parts[0], tuple) else parts

    def inputs(self, values: Sequence[Any]) -> Any:
        """X from arrays in the order of the fields."""
        named = {one.name: value for one, value in zip(self.features, values, strict=True)}
        return _nested(self.x, self.features, named)


def named(structure: Any, letter: str) -> tuple[Any, list[Any]]:
    """Name the parts of a structure as fields: the structure with names in it, and the parts in their order.

    Example:
        >>> from nbkeras.schema import named
        >>> named({"price": "p", "sold": ["s", None]}, "y")
        ({'price': 'y0', 'sold': ('y1', None)}, ['p', 's'])
        >>> named("label", "y")
        (None, ['label'])
    """
    parts: list[Any] = []
    names = _named(structure, letter, parts)
    return (names if isinstance(names, (dict, tuple)) else None), parts


def _named(structure: Any, letter: str, parts: list[Any]) -> Any:
    if isinstance(structure, dict):
        return {key: _named(one, letter, parts) for key, one in structure.items()}
    if isinstance(structure, (list, tuple)):
        return tuple(_named(one, letter, parts) for one in structure)
    if structure is None:
        return None
    parts.append(structure)
    return f"{letter}{len(parts) - 1}"


def _nested(names: Any, fields: tuple[Field, ...], values: Mapping[str, Any]) -> Any:
    """Arrays in the place of their fields' names."""
    if names is None:
        names = tuple(one.name for one in fields)
        names = names[0] if len(names) == 1 else names
    return _filled(names, values)


def _filled(names: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(names, dict):
        return {key: _filled(one, values) for key, one in names.items()}
    if isinstance(names, tuple):
        return tuple(_filled(one, values) for one in names)
    return None if names is None else values[names]


def _field(described: Mapping[str, Any]) -> Field:
    # A checkpoint of an earlier version lacks some of them.
    held = {one.name: described[one.name] for one in fields(Field) if one.name in described}
    for name, kind in {"image": ImageOptions, "padding": Padding}.items():
        if held.get(name) is not None:
            held[name] = kind(**held[name])
    return Field(**held)


def _tuples(value: Any) -> Any:
    """Plain data with tuples in the place of lists."""
    if isinstance(value, dict):
        return {key: _tuples(one) for key, one in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, (list, tuple)) else value
