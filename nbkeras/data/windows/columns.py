"""Columns of series: which ones order the rows, and what a model takes of one row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from nbkeras.data import columns as plain
from nbkeras.data import marks, parts
from nbkeras.data.columns import existing
from nbkeras.data.kinds.number import Number
from nbkeras.data.names import listed
from nbkeras.data.signature import Signature
from nbkeras.errors import DataError, OptionError
from nbkeras.schema import WORDS, Field, Windows

#: What the marks of a column of time call its windows.
_WINDOWS = "windows"
#: The field that tells the rows of one time from those of another, and the fields of their series.
TIME, SERIES = "time", "series"


def marked(df: DataFrame, windows: Windows) -> DataFrame:
    """Mark the column of time.

    Raises:
        DataError: there is no such column, or no such key.
    """
    for role, names in {"time": (windows.time,), "key": windows.key}.items():
        for name in names:
            existing(df, name, role)
            if isinstance(parts.type_of(df, name), T.MapType):
                raise DataError(f"{role} column '{name}' is a map, which has no order: name another column")
    rest = {key: value for key, value in asdict(windows).items() if key != "time"}
    return marks.added(df, windows.time, {_WINDOWS: rest | {"key": list(windows.key)}})


def of(df: DataFrame, known: Windows | None) -> Windows | None:
    """Return the windows that a DataFrame is marked with, else those of a training.

    Args:
        df: the user's DataFrame.
        known: of the training.

    Raises:
        DataError: two columns are marked, windows of other rows than in the training, a column is missing.
    """
    found = {name: own for name in df.columns if (own := marks.of(df, name).get(_WINDOWS))}
    if len(found) > 1:
        raise DataError(
            f"columns {listed(list(found))} are marked by nbkeras.timeseries: drop one of them with df.drop"
        )
    own = next((Windows(name, **{**held, "key": tuple(held["key"])}) for name, held in found.items()), known)
    if own is None:
        return None
    for role, names in {"time": (own.time,), "key": own.key}.items():
        for name in names:
            existing(df, name, role)
    if known is not None and (own.length, own.rate) != (known.length, known.rate):
        raise DataError(
            f"the DataFrame is marked with windows of {_said(own)}, and the model was trained with those of "
            f"{_said(known)}: mark it likewise with nbkeras.timeseries"
        )
    if df.isStreaming:
        raise DataError(
            "the DataFrame is a stream, whose rows come in any order, and windows take them in that of their "
            "time: predict the rows of a table, or call predict in df.writeStream.foreachBatch"
        )
    return own


def _said(windows: Windows) -> str:
    rate = f", {windows.rate} rows apart" if windows.rate > 1 else ""
    return f"{windows.length} rows{rate}"


def require_same(validation: Windows | None, train: Windows | None) -> None:
    """Make sure that windows to validate on are cut as those to train on.

    Raises:
        DataError: they are not.
    """
    if validation != train:
        raise DataError(
            "validation_data is marked by nbkeras.timeseries otherwise than the data to train on: mark it "
            "with the same options, or leave it as it is"
        )


def require_none(windows: Windows | None, validation_split: float) -> None:
    """Make sure that rows to be split at random are no windows.

    Raises:
        OptionError: they are.
    """
    if windows is not None:
        raise OptionError(
            f"validation_split={validation_split} takes rows at random, and windows those that follow each "
            f"other: give validation_data=df.filter(…), with the later rows by '{windows.time}'"
        )


def feature_fields(
    df: DataFrame,
    signature: Signature,
    features: Sequence[str] | None,
    labels: Sequence[str],
    weights: Sequence[str],
    windows: Windows,
) -> tuple[Field, ...]:
    """Choose the fields of one row of the model's windows.

    Args:
        df: the user's DataFrame.
        signature: of the model.
        features: columns to use; None for all but those of key, time, label and weight, else the labels, of
            which a model predicts the next from those before.
        labels, weights: columns.
        windows: how rows become windows.

    Raises:
        DataError: the columns do not fit the model's input.
    """
    own = (*windows.key, windows.time)
    rest = [name for name in df.columns if name not in (*labels, *weights, *own)]
    chosen = features if features is not None or rest else labels
    made = plain.feature_fields(df, _of_a_row(signature, windows), chosen, labels, (*weights, *own))
    # A model that says nothing of its input takes rows of several numbers, also of one.
    single = [one.shape is None and one.kind == Number.name for one in made]
    return tuple(replace(one, shape=(1,)) if alone else one for one, alone in zip(made, single, strict=True))


def _of_a_row(signature: Signature, windows: Windows) -> Signature:
    """Return the signature of what a model takes of one row of its windows.

    Raises:
        DataError: the model does not take such windows.
    """
    if len(signature.inputs) > 1:
        raise DataError(f"{signature}: windows of nbkeras.timeseries feed a model with one input")
    (only,) = signature.inputs
    if only.dtype == WORDS:
        raise DataError(f"{signature} of words: windows of nbkeras.timeseries hold numbers")
    if only.axes is None:
        return signature
    if not only.axes or only.axes[0] not in (None, windows.length):
        raise DataError(
            f"{signature}, and windows have {windows.length} rows: give the model "
            f"keras.Input(({windows.length}, number of features)), or nbkeras.timeseries another length"
        )
    rest = only.axes[1:]
    shape = None if any(size is None for size in rest) else tuple(size for size in rest if size is not None)
    return replace(signature, inputs=(replace(only, shape=shape, axes=rest),))


def fields(windows: Windows) -> tuple[Field, ...]:
    """Return the fields that tell rows of one series and time from those of others, by hashes."""
    keys = tuple(
        Field(f"{SERIES}{index}", (name,), f"key '{name}'", "int64", (), Number.name)
        for index, name in enumerate(windows.key)
    )
    return (*keys, Field(TIME, (windows.time,), f"time '{windows.time}'", "int64", (), Number.name))


def expressions(df: DataFrame, windows: Windows) -> list[Column]:
    """Return the columns of :func:`fields`; null where the user's column is."""
    columns = []
    for one in fields(windows):
        value = parts.column(df, one.sources[0])
        columns.append(F.when(value.isNotNull(), F.xxhash64(value)).alias(one.name))
    return columns
