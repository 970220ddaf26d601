"""Gaps: what stands in the place of values that are missing."""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import numpy as np
from pyspark.sql import Column, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from nbkeras.data.columns import filled
from nbkeras.data.names import first, listed
from nbkeras.data.parts import MISSING, is_missing
from nbkeras.data.rows import Rows
from nbkeras.driver import inference
from nbkeras.errors import DataError, OptionError
from nbkeras.schema import WORDS, Field

#: The policies that are no value.
ERROR, MEAN = "error", "mean"


@dataclass(frozen=True)
class _Gap:
    """One column whose missing values are filled.

    Attributes:
        field: that it feeds.
        place: among the columns of the field.
        policy: :data:`MEAN`, or what fills it.
    """

    field: Field
    place: int
    policy: Any

    @property
    def source(self) -> str:
        """The column."""
        return self.field.sources[self.place]

    def value(self) -> Column:
        """The values, of the rows' own columns."""
        own = F.col(self.field.name)
        return own if len(self.field.sources) == 1 else F.get(own, F.lit(self.place))


def fills(spark: SparkSession, rows: Rows, nulls: Any) -> tuple[dict[str, Any], list[str]]:
    """What fills the missing values of each column.

    Args:
        spark: the session.
        rows: to train on.
        nulls: as in :func:`nbkeras.fit`.

    Returns:
        Values by column, and a sentence that says how many values of the rows they fill.

    Raises:
        DataError: a column cannot be filled like this.
        OptionError: it names a column that is no feature.
    """
    gaps = _gaps(rows, nulls)
    if not gaps:
        return {}, []
    number = dict(enumerate(gaps))
    counts = [_count(rows, one).alias(f"count{n}") for n, one in number.items()]
    means = [F.avg(_known(rows, one)).alias(f"mean{n}") for n, one in number.items() if one.policy == MEAN]
    job = rows.df.select(*counts, *means)
    found = inference.attended(spark, "adapt", job.first)
    values, said = {}, []
    for n, one in number.items():
        values[one.source], by = one.policy, repr(one.policy)
        if one.policy == MEAN:
            values[one.source], by = _mean(one, found[f"mean{n}"])
        if missing := found[f"count{n}"]:
            said.append(f"{missing:,} of '{one.source}' by {by}")
    return values, [f"missing values are filled: {first(said)}"] if said else []


def _mean(one: _Gap, mean: float | None) -> tuple[float, str]:
    """The mean that fills a column, and how it is said: rounded where the model takes whole numbers."""
    if mean is None:
        raise DataError(
            f"column '{one.source}' has no value, and so no mean that could fill its gaps: give it a number "
            "in nulls=, or leave the column out"
        )
    if _is_whole(one.field):
        return float(round(mean)), f"its mean {mean:.6g}, rounded to {round(mean)}"
    return mean, f"its mean {mean:.6g}"


def _gaps(rows: Rows, nulls: Any) -> list[_Gap]:
    """The columns to fill, each with its policy."""
    inputs = [one for one in rows.schema.features if not rows.numbered]
    named = {source for one in inputs for source in one.sources}
    if isinstance(nulls, Mapping):
        if strange := [name for name in nulls if name not in named]:
            raise OptionError(
                f"nulls names {strange[0]!r}, which is no feature column: use {listed(sorted(named)[:8])}"
            )
    elif not isinstance(nulls, str) or nulls not in (ERROR, MEAN):
        raise OptionError(
            f"nulls={nulls!r}: use {ERROR!r}, {MEAN!r} for all numbers, or a dict from column to {MEAN!r} "
            "or to what fills it"
        )
    gaps = []
    for field in [one for one in inputs if one.image is None or _names_one(nulls, one)]:
        for place, source in enumerate(field.sources):
            if isinstance(nulls, Mapping):
                policy = nulls.get(source)
            else:
                policy = MEAN if nulls == MEAN and field.dtype != WORDS else None
            if policy is None and f"{source}_{MISSING}" in named and field.dtype != WORDS:
                policy = MEAN
            # A training that goes on from a checkpoint fills as it did.
            kept = isinstance(policy, str) and policy == ERROR
            if field.fills and isinstance(nulls, Mapping):
                _require_same(source, policy, field.fills[place])
            if policy is not None and not kept and not field.fills:
                gaps.append(_Gap(field, place, _policy(rows, field, source, policy)))
    return gaps


def _require_same(source: str, policy: Any, before: Any) -> None:
    """Make sure that a value is the one that has filled a column in the training before.

    Raises:
        OptionError: it is another one.
    """
    if policy is not None and before is not None and policy not in (MEAN, ERROR, before):
        raise OptionError(
            f"nulls fills '{source}' by {policy!r}, and the training that goes on has filled it by "
            f"{before!r}: leave it out of nulls"
        )


def _names_one(nulls: Any, field: Field) -> bool:
    return isinstance(nulls, Mapping) and any(source in nulls for source in field.sources)


def _policy(rows: Rows, field: Field, source: str, policy: Any) -> Any:
    """A policy that fits what the column holds."""
    if field.image is not None:
        raise DataError(f"nulls names '{source}', a column of images: leave out the rows without one")
    words = field.dtype == WORDS
    is_array = len(field.sources) == 1 and isinstance(rows.df.schema[field.name].dataType, T.ArrayType)
    if is_array:
        raise DataError(f"nulls names '{source}', a column of arrays: fill its gaps with F.transform")
    if isinstance(policy, str) and (policy == MEAN) != words:
        return policy
    if words or not _holds(field, policy):
        least = f"number of type {field.dtype}"
        taken = "a word, such as 'unknown'" if words else f"a {least}, or {MEAN!r}"
        raise DataError(f"nulls fills '{source}' by {policy!r}: use {taken}")
    return float(policy)


def _holds(field: Field, value: Any) -> bool:
    """Whether a value is a number that the type of a field can hold."""
    if isinstance(value, bool) or not isinstance(value, (numbers.Real, Decimal)):
        return False
    try:
        number = float(value)
    except OverflowError:
        return False
    if _is_whole(field):
        limits = np.iinfo(field.dtype or "int64")
        return number.is_integer() and limits.min <= number <= limits.max
    dtype = "float32" if field.dtype == "bfloat16" else field.dtype
    return abs(number) <= float(np.finfo(dtype or "float32").max)


def _is_whole(field: Field) -> bool:
    """Whether a field takes whole numbers."""
    return "int" in (field.dtype or "")


def _element(rows: Rows, one: _Gap) -> T.DataType:
    dtype = rows.df.schema[one.field.name].dataType
    return dtype.elementType if isinstance(dtype, T.ArrayType) else dtype


def _count(rows: Rows, one: _Gap) -> Column:
    return F.count(F.when(is_missing(one.value(), _element(rows, one)), True))


def _known(rows: Rows, one: _Gap) -> Column:
    return F.when(~is_missing(one.value(), _element(rows, one)), one.value())


def closed(rows: Rows, values: Mapping[str, Any]) -> Rows:
    """Fill the missing values of rows.

    Args:
        rows: of a DataFrame.
        values: by column, from :func:`fills`.
    """
    made, df = [], rows.df
    for one in rows.schema.fields:
        own = tuple(values.get(source) for source in one.sources) if one.is_input else ()
        if any(value is not None for value in own):
            df = df.withColumn(one.name, filled(F.col(one.name), df.schema[one.name].dataType, own))
            one = replace(one, fills=own)  # noqa: PLW2901  # the same field
        made.append(one)
    return replace(rows, df=df, schema=replace(rows.schema, fields=tuple(made)))
