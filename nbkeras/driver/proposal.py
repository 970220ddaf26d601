"""Proposal: preprocessing for the columns of a DataFrame, as Keras code that the user can change."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

import pandas as pd
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from nbkeras.data import kinds, parts
from nbkeras.data.columns import existing
from nbkeras.data.kinds.images import Images
from nbkeras.data.names import quoted
from nbkeras.data.source import data_frame, require_no_stream
from nbkeras.driver import inference
from nbkeras.errors import DataError
from nbkeras.spark.session import attached

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
#: Height and width that images are resized to.
_SIDE = 180
#: What fills gaps of words.
_UNKNOWN = "unknown"


@dataclass(frozen=True, repr=False)
class Features:
    """Proposed preprocessing for a DataFrame.

    Attributes:
        table: of the columns: type, number of different values, gaps, and what is proposed for each.
        code: Keras code that makes ``inputs`` and ``features``.
        nulls: what fills gaps, for ``fit``.
        inputs: ``keras.Input`` by name.
        features: what the layers of a network take, a ``KerasTensor``.
    """

    table: pd.DataFrame
    code: str
    nulls: dict[str, Any] = field(default_factory=dict)
    inputs: dict[str, Any] = field(default_factory=dict)
    features: Any = None

    def __repr__(self) -> str:
        return f"{self.table.to_string(index=False)}\n\n{self.code}"

    def _repr_html_(self) -> str:
        with pd.option_context("display.max_colwidth", None):
            table = self.table.to_html(index=False, notebook=True)
        return f"{table}<pre>{escape(self.code)}</pre>"

    def bundle(self) -> dict[str, str]:
        """The table, and the code below it, by media type."""
        return {"text/plain": repr(self), "text/html": self._repr_html_()}


@dataclass(frozen=True)
class _Column:
    """What is known of a column.

    Attributes:
        name: of it.
        dtype: its Spark type.
        distinct: about how many values it has.
        missing: rows without a value.
        rows: all rows.
        skew: of its numbers.
        length: average of its words.
        beside: the other columns: an input of such a name takes that one.
    """

    name: str
    dtype: T.DataType
    distinct: int
    missing: int
    rows: int
    skew: float
    length: float
    beside: tuple[str, ...]


@dataclass(frozen=True)
class _Plan:
    """What is proposed for one column: in words, the lines of code, and what fills its gaps."""

    said: str
    lines: tuple[str, ...] = ()
    fill: Any = None


def propose(spark: SparkSession | None, data: Any, label: str | Sequence[str] | None) -> Features:
    """Propose preprocessing; see :func:`nbkeras.features`.

    Raises:
        DataError: there is no such label, or no column that a model could take.
    """
    spark = attached(spark)
    require_no_stream(data)
    df = data_frame(spark, data)
    labels = [label] if isinstance(label, str) else list(label or ())
    for name in labels:
        existing(df, name, "label")
    names = [existing(df, name, "feature") for name in df.columns if name not in labels]
    columns = _looked_at(spark, df, names)
    plans = {one.name: _plan(one) for one in columns}
    lines = [line for plan in plans.values() for line in plan.lines]
    if not lines:
        raise DataError(
            f"no column is one that a model could take: the DataFrame has {', '.join(df.columns)}"
        )
    code = "\n".join(
        [
            "from keras import Input, layers",
            "",
            "inputs, encoded = {}, []",
            *lines,
            "features = layers.Concatenate()(encoded)" if len(lines) > 2 else "features = encoded[0]",
        ]
    )
    made: dict[str, Any] = {}
    exec(code, made)  # noqa: S102  # the code above, which is shown to the user
    table = pd.DataFrame(
        [
            (one.name, one.dtype.simpleString(), one.distinct, one.missing, plans[one.name].said)
            for one in columns
        ],
        columns=["column", "type", "distinct", "missing", "proposed"],
    )
    nulls = {name: plan.fill for name, plan in plans.items() if plan.fill is not None}
    return Features(table, code, nulls, made["inputs"], made["features"])


def _looked_at(spark: SparkSession, df: DataFrame, names: list[str]) -> list[_Column]:
    """What one Spark job says of all columns."""
    wanted: list[Column] = [F.count(F.lit(1)).alias("rows")]
    for number, name in enumerate(names):
        own, dtype = F.col(quoted(name)), df.schema[name].dataType
        missing = parts.is_missing(own, dtype)
        wanted.append(F.count(F.when(missing, True)).alias(f"missing{number}"))
        if isinstance(dtype, T.AtomicType):
            wanted.append(F.approx_count_distinct(F.when(~missing, own)).alias(f"distinct{number}"))
        if isinstance(dtype, T.NumericType):
            wanted.append(F.skewness(F.when(~missing, own.cast("double"))).alias(f"skew{number}"))
        if isinstance(dtype, T.StringType):
            wanted.append(F.avg(F.length(own)).alias(f"length{number}"))
    job = df.select(*wanted)
    found = inference.attended(spark, "adapt", job.first).asDict()
    return [
        _Column(
            name,
            df.schema[name].dataType,
            found.get(f"distinct{number}") or 0,
            found[f"missing{number}"],
            found["rows"],
            found.get(f"skew{number}") or 0.0,
            found.get(f"length{number}") or 0.0,
            tuple(df.columns),
        )
        for number, name in enumerate(names)
    ]


def _plan(one: _Column) -> _Plan:
    if not one.rows or one.missing == one.rows:
        return _Plan("left out: it has no value")
    if "/" in one.name or not one.name.strip():
        return _Plan("left out: an input of Keras cannot have its name, so rename it")
    if isinstance(one.dtype, (T.StringType, T.NumericType)):
        return _words(one) if isinstance(one.dtype, T.StringType) else _number(one)
    if isinstance(one.dtype, T.BooleanType):
        return _with_gap(one, "0 and 1", _encode(one.name), fill=0.0)
    if Images().holds(one.dtype):
        return _image(one)
    return _time(one) if parts.is_time(one.dtype) else _left_out(one)


def _left_out(one: _Column) -> _Plan:
    if kinds.of(one.dtype) is not None:
        return _Plan(f"left out: give it an input of its shape, keras.Input((…,), name={one.name!r})")
    return _Plan(f"left out: no model takes {one.dtype.simpleString()}")


def _image(one: _Column) -> _Plan:
    if one.missing:
        return _Plan("left out: it has gaps, and rows without an image can be dropped with df.dropna")
    name = json.dumps(one.name, ensure_ascii=False)
    steps = f"layers.Rescaling(1 / 255)(inputs[{name}])"
    for filters in (16, 32):
        steps = f'layers.Conv2D({filters}, 3, strides=2, activation="relu")({steps})'
    return _Plan(
        f"image of {_SIDE} x {_SIDE}: two convolutions, averaged",
        (
            f"inputs[{name}] = Input(({_SIDE}, {_SIDE}, 3), name={name})",
            f"encoded.append(layers.GlobalAveragePooling2D()({steps}))",
        ),
    )


def _encode(name: str, code: str = "{}", dtype: str = "") -> tuple[str, str]:
    """Code that makes an input, and what the layers take of it.

    Args:
        name: of the input.
        code: with braces in the place of the input.
        dtype: of the input; empty for Keras' float type.
    """
    quoted_name = json.dumps(name, ensure_ascii=False)
    own = f"inputs[{quoted_name}]"
    more = f', dtype="{dtype}"' if dtype else ""
    made = f"{own} = Input((1,){more}, name={quoted_name})"
    return made, f"encoded.append({code.format(own)})"


def _one_hot(size: int, code: str = "{}") -> str:
    return f'layers.CategoryEncoding(num_tokens={size}, output_mode="one_hot")({code})'


def _words(one: _Column) -> _Plan:
    fill = _UNKNOWN if one.missing else None
    if one.length > _SENTENCE and one.distinct > _CATEGORIES:
        text = f"layers.TextVectorization(max_tokens={_MOST}, output_sequence_length=64)({{}})"
        mean = f"layers.GlobalAveragePooling1D()(layers.Embedding({_MOST}, 32, mask_zero=True)({text}))"
        return _Plan("sentences: their words, embedded", _encode(one.name, mean, "string"), fill)
    if one.distinct > 0.9 * one.rows and one.distinct > _CATEGORIES:
        return _Plan("left out: nearly each row has a word of its own")
    return _category(one, "StringLookup", "string", fill)


def _category(one: _Column, lookup: str, dtype: str, fill: Any) -> _Plan:
    # The number of values is an estimate, and one place is for unknown ones.
    size = min(_MOST, one.distinct + one.distinct // 10 + 2 + bool(fill))
    found = f"layers.{lookup}(max_tokens={size})({{}})"
    if size <= _PLACES:
        said = f"category: one place for each of {size}"
        return _Plan(said, _encode(one.name, _one_hot(size, found), dtype), fill)
    width = min(50, round(1.6 * size**0.56))
    code = f"layers.Flatten()(layers.Embedding({size}, {width})({found}))"
    said = f"category: {size} values, embedded in {width} numbers"
    return _Plan(said, _encode(one.name, code, dtype), fill)


def _number(one: _Column) -> _Plan:
    whole = isinstance(one.dtype, T.IntegralType)
    if whole and one.distinct <= _CATEGORIES and not one.missing:
        return _category(one, "IntegerLookup", "int64", None)
    if abs(one.skew) >= _SKEWED:
        bins = 'layers.Discretization(num_bins=16, output_mode="one_hot")({})'
        return _with_gap(one, f"number, skewed ({one.skew:.1f}): 16 quantiles", _encode(one.name, bins))
    return _with_gap(one, "number, normalized", _encode(one.name, "layers.Normalization()({})"))


def _with_gap(one: _Column, said: str, lines: tuple[str, ...], fill: Any = "mean") -> _Plan:
    """A number and, where it has gaps, whether it is one."""
    if not one.missing:
        return _Plan(said, lines)
    filled = "the mean" if fill == "mean" else f"{fill:g}"
    gap = f"{one.name}_{parts.MISSING}"
    if gap in one.beside:
        return _Plan(f"{said}; gaps: {filled}", lines, fill)
    return _Plan(f"{said}; gaps: {filled}, and whether there is one", (*lines, *_encode(gap)), fill)


def _time(one: _Column) -> _Plan:
    if one.missing:
        return _Plan("left out: it has gaps, which df.fillna can fill")
    sizes = {"month": 13, "weekday": 7}
    if not isinstance(one.dtype, T.DateType):
        sizes["hour"] = 24
    codes = {"days": ("layers.Normalization()({})", "")}
    codes |= {part: (_one_hot(size), "int32") for part, size in sizes.items()}
    taken = {part: how for part, how in codes.items() if f"{one.name}_{part}" not in one.beside}
    lines = (line for part, how in taken.items() for line in _encode(f"{one.name}_{part}", *how))
    return _Plan(f"time: {', '.join(taken)}", tuple(lines))
