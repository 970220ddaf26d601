"""Encodings: what layers make of a column before a network takes it, proposed by what the column holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pyspark.sql import types as T

from nbkeras.data import kinds, marks, parts
from nbkeras.data.image_columns import IMAGES
from nbkeras.data.kinds.images import Images
from nbkeras.driver.columns.inspection import Inspected

#: Whole numbers of at most so many values are categories.
_CATEGORIES = 20
#: Words of at most so many values get one place each, others an embedding.
_PLACES = 12
#: Words of more values than this are cut to the most frequent ones.
_MOST = 10_000
#: Average length of a column of sentences.
_SENTENCE = 25
#: Skewness from which numbers are cut at their quantiles.
_SKEWED = 3.0
#: Lines, columns and channels of images of which nothing else is known.
IMAGE = (180, 180, 3)
#: What fills gaps of words.
_UNKNOWN = "unknown"

#: Why a column is left out: it has no value, no name that an input can have, an own word in each row, gaps
#: that cannot be filled, arrays that only the user knows the shape of, or what no model takes.
Reason = Literal["empty", "name", "unique", "gaps", "array", "other"]


@dataclass(frozen=True)
class Step:
    """A layer of Keras.

    Attributes:
        kind: its class.
        arguments: by their names.
    """

    kind: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Taken:
    """An input of a model, and the layers that take it, one behind the other.

    Attributes:
        name: of the input: a column, or a part of one.
        steps: the layers.
        dtype: of the input; empty for Keras' float type.
        shape: of one row.
    """

    name: str
    steps: tuple[Step, ...] = ()
    dtype: str = ""
    shape: tuple[int, ...] = (1,)


@dataclass(frozen=True)
class Encoding:
    """What is proposed for one column.

    Attributes:
        said: in words.
        inputs: that are made of it; none where it is left out.
        fill: what fills its gaps; None for nothing.
        why: it is left out; empty where it is not.
        sentences: whether it holds some.
    """

    said: str
    inputs: tuple[Taken, ...] = ()
    fill: Any = None
    why: Reason | Literal[""] = ""
    sentences: bool = False


def proposed(one: Inspected) -> Encoding:
    """What is proposed for a column, by what is known of it.

    Example:
        >>> port = T.StructField("port", T.StringType())
        >>> found = proposed(Inspected("port", port, 3, 0, 90, 0.0, 1.0, frozenset(["port"])))
        >>> found.said, [step.kind for step in found.inputs[0].steps]
        ('category: one place for each of 5', ['StringLookup', 'CategoryEncoding'])
    """
    if not one.rows or one.missing == one.rows:
        return Encoding("left out: it has no value", why="empty")
    if "/" in one.name or not one.name.strip():
        return Encoding("left out: an input of Keras cannot have its name, so rename it", why="name")
    if Images().holds(one.dtype) or IMAGES in marks.held(one.field):
        return _image(one)
    if isinstance(one.dtype, (T.StringType, T.NumericType)):
        return _words(one) if isinstance(one.dtype, T.StringType) else _number(one)
    if isinstance(one.dtype, T.BooleanType):
        return _with_gap(one, "0 and 1", (), fill=0.0)
    return _time(one) if parts.is_time(one.dtype) else _left_out(one)


def _left_out(one: Inspected) -> Encoding:
    if kinds.of(one.dtype) is not None:
        said = f"left out: give it an input of its shape, keras.Input((…,), name={one.name!r})"
        return Encoding(said, why="array")
    return Encoding(f"left out: no model takes {one.dtype.simpleString()}", why="other")


def _image(one: Inspected) -> Encoding:
    if one.missing:
        said = "left out: it has gaps, and rows without an image can be left out of the data"
        return Encoding(said, why="gaps")
    steps = [Step("Rescaling", {"scale": 1 / 255})]
    for filters in (16, 32):
        arguments = {"filters": filters, "kernel_size": 3, "strides": 2, "activation": "relu"}
        steps.append(Step("Conv2D", arguments))
    steps.append(Step("GlobalAveragePooling2D"))
    shape = image_shape(one.field)
    said = f"image of {shape[0]} x {shape[1]}: two convolutions, averaged"
    return Encoding(said, (Taken(one.name, tuple(steps), shape=shape),))


def image_shape(field: T.StructField) -> tuple[int, int, int]:
    """Lines, columns and channels that images of a column are taken with, as its marks say.

    Example:
        >>> image_shape(T.StructField("photo", T.BinaryType()))
        (180, 180, 3)
    """
    own = marks.held(field).get(IMAGES, {})
    height, width = own.get("size", IMAGE[:2])
    return height, width, own.get("channels", IMAGE[2])


def sentences(length: int = 64, width: int = 32) -> tuple[Step, ...]:
    """The layers that make numbers of sentences: each word becomes some, and their mean stands for all.

    Args:
        length: the words of a sentence that are taken.
        width: the numbers of a word.

    Example:
        >>> [step.kind for step in sentences()]
        ['TextVectorization', 'Embedding', 'GlobalAveragePooling1D']
    """
    return (
        Step("TextVectorization", {"max_tokens": _MOST, "output_sequence_length": length}),
        Step("Embedding", {"input_dim": _MOST, "output_dim": width, "mask_zero": True}),
        Step("GlobalAveragePooling1D"),
    )


def _one_hot(size: int) -> Step:
    return Step("CategoryEncoding", {"num_tokens": size, "output_mode": "one_hot"})


def _words(one: Inspected) -> Encoding:
    fill = _UNKNOWN if one.missing else None
    if one.length > _SENTENCE and one.distinct > _CATEGORIES:
        taken = Taken(one.name, sentences(), "string")
        return Encoding("sentences: their words, embedded", (taken,), fill, sentences=True)
    if one.distinct > 0.9 * one.rows and one.distinct > _CATEGORIES:
        return Encoding("left out: nearly each row has a word of its own", why="unique")
    return _category(one, "StringLookup", "string", fill)


def _category(one: Inspected, lookup: str, dtype: str, fill: Any) -> Encoding:
    # The number of values is an estimate, and one place is for unknown ones.
    size = min(_MOST, one.distinct + one.distinct // 10 + 2 + bool(fill))
    found = Step(lookup, {"max_tokens": size})
    if size <= _PLACES:
        taken = Taken(one.name, (found, _one_hot(size)), dtype)
        return Encoding(f"category: one place for each of {size}", (taken,), fill)
    width = min(50, round(1.6 * size**0.56))
    embedded = Step("Embedding", {"input_dim": size, "output_dim": width})
    taken = Taken(one.name, (found, embedded, Step("Flatten")), dtype)
    return Encoding(f"category: {size} values, embedded in {width} numbers", (taken,), fill)


def _number(one: Inspected) -> Encoding:
    whole = isinstance(one.dtype, T.IntegralType)
    if whole and one.distinct <= _CATEGORIES and not one.missing:
        return _category(one, "IntegerLookup", "int64", None)
    if abs(one.skew) >= _SKEWED:
        bins = Step("Discretization", {"num_bins": 16, "output_mode": "one_hot"})
        return _with_gap(one, f"number, skewed ({one.skew:.1f}): 16 quantiles", (bins,))
    return _with_gap(one, "number, normalized", (Step("Normalization"),))


def _with_gap(one: Inspected, said: str, steps: tuple[Step, ...], fill: Any = "mean") -> Encoding:
    """A number and, where it has gaps, whether it is one."""
    taken = Taken(one.name, steps)
    if not one.missing:
        return Encoding(said, (taken,))
    filled = "the mean" if fill == "mean" else f"{fill:g}"
    gap = f"{one.name}_{parts.MISSING}"
    if gap in one.beside:
        return Encoding(f"{said}; gaps: {filled}", (taken,), fill)
    return Encoding(f"{said}; gaps: {filled}, and whether there is one", (taken, Taken(gap)), fill)


def _time(one: Inspected) -> Encoding:
    if one.missing:
        return Encoding("left out: it has gaps, which df.fillna can fill", why="gaps")
    sizes = {"month": 13, "weekday": 7}
    if not isinstance(one.dtype, T.DateType):
        sizes["hour"] = 24
    inputs = {"days": Taken(f"{one.name}_days", (Step("Normalization"),))}
    inputs |= {part: Taken(f"{one.name}_{part}", (_one_hot(size),), "int32") for part, size in sizes.items()}
    free = {part: taken for part, taken in inputs.items() if taken.name not in one.beside}
    return Encoding(f"time: {', '.join(free)}", tuple(free.values()))
