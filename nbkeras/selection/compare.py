"""One call of compare: what takes part in it, on which rows."""

from __future__ import annotations

import difflib
import inspect
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import types as T

from nbkeras import api
from nbkeras.data import columns, marks
from nbkeras.data.frames import KINDS, holds_columns
from nbkeras.data.source import data_frame, require_no_stream
from nbkeras.data.windows import columns as windows
from nbkeras.errors import DataError, OptionError
from nbkeras.selection import splits, target
from nbkeras.selection.asked import Asked
from nbkeras.selection.contestants import Setting
from nbkeras.selection.entry import JUDGED, Entry, require_metric
from nbkeras.selection.features import Features
from nbkeras.selection.lineup import lineup, task_of
from nbkeras.selection.race import Course, race
from nbkeras.selection.target import Target

#: Arguments of fit that a comparison gives itself.
_OWN = {
    *("model", "data", "y", "features", "sample_weight", "spark", "background", "name"),
    *("checkpoint", "resume", "initial_epoch", "shown_by"),
}


@dataclass(frozen=True)
class Compared:
    """What has come of it.

    Attributes:
        entries: of all contestants, in the order in which they were trained.
        task: "classification" or "regression".
        metric: what is judged by.
        folds: their number; 1 for one split.
        notes: sentences.
        label: the column that was predicted.
        made: seconds since 1970 when it ended; 0 before.
        features: how rows become those of MLlib's models; None where there is none.
    """

    entries: tuple[Entry, ...]
    task: str
    metric: str
    folds: int
    notes: tuple[str, ...]
    label: str = ""
    made: float = 0.0
    features: Features | None = None


def compare(spark: SparkSession, data: Any, asked: Asked, show: Any) -> Compared:
    """Train and score all that is asked for.

    Args:
        spark: the session.
        data: all rows, a DataFrame.
        asked: for.
        show: called with what is known so far, whenever something changes.

    Raises:
        Aborted: an interrupt, before anything was trained.
        DataError: the rows do not fit.
        ModelError: something cannot be trained.
        OptionError: an argument cannot be.
    """
    _require_training(asked.training)
    _require_seed(asked.seed)
    df, test = _frame(spark, data, "the rows"), _held_out(spark, asked)
    if not isinstance(asked.y, str):
        raise DataError(f"y={asked.y!r:.100}: name the label column, y='…' ({columns.offered(df)})")
    what = target.target(spark, df, asked.y, asked.task, lambda: task_of(asked.models))
    metric = asked.metric or JUDGED[what.task]
    require_metric(metric, what.task)
    _require_columns(df, asked)
    if test is not None:
        _require_columns(test, asked)
        target.require_known(spark, what, test)
    if asked.sample_weight is not None:
        for one in filter(None, (df, test)):
            target.require_weights(spark, one, asked.sample_weight)
    df = _numbered(df, what)
    rows, parts = (df, (0,)) if test is not None else splits.parted(df, asked.test, asked.folds, asked.seed)
    # What the user has cached stays cached.
    ours = [one for one in (rows, test) if one is not None and not _is_cached(one)]
    try:
        for one in ours:
            one.persist()
        if test is None:
            splits.require_rows(spark, rows, parts)
        setting = Setting(spark, what, asked.sample_weight)
        made = lineup(setting, df, test, asked)
        notes = tuple(filter(None, (target.said(what), *made.notes)))

        def tell(entries: Sequence[Entry]) -> None:
            show(Compared(tuple(entries), what.task, metric, len(parts), notes, what.name))

        course = Course(rows, parts, test)
        entries = race(setting, course, made.contestants, tell)
    finally:
        for one in ours:
            one.unpersist()
    return Compared(
        tuple(entries), what.task, metric, len(parts), notes, what.name, time.time(), made.features
    )


def _held_out(spark: SparkSession, asked: Asked) -> DataFrame | None:
    """The rows to score on, where they are given."""
    if not holds_columns(asked.test):
        return None
    if asked.folds is not None:
        raise OptionError("folds= split the rows, and test= gives rows to score on: leave one out")
    return _frame(spark, asked.test, "the rows to score on")


def _require_columns(df: DataFrame, asked: Asked) -> None:
    """Make sure that each column can be told from the others, and that those which are named are there.

    Raises:
        DataError: they cannot, or are not.
        OptionError: the label is to be a feature.
    """
    for name in df.columns:
        columns.existing(df, name, "the")
    if asked.sample_weight is not None:
        target.require_own(df, asked.sample_weight, "weight")
    for name in asked.columns or ():
        columns.existing(df, name, "feature")
        if name == asked.y:
            raise OptionError(f"features= holds the label '{name}': leave it out")


def _is_cached(df: DataFrame) -> bool:
    return df.storageLevel.useMemory or df.storageLevel.useDisk


def _numbered(df: DataFrame, what: Target) -> DataFrame:
    """The rows, whose words have the same numbers in each part, even where one does not occur."""
    if not isinstance(df.schema[what.name].dataType, T.StringType) or not what.classes:
        return df
    if "classes" in marks.of(df, what.name):
        return df
    return marks.added(df, what.name, {"classes": list(what.classes)})


def _require_seed(seed: Any) -> None:
    """Refuse what is no seed of Spark's and of Keras'.

    Raises:
        OptionError: it is none.
    """
    if type(seed) is not int or not 0 <= seed < 1 << 31:
        raise OptionError(f"seed={seed!r}: use a whole number from 0 to {(1 << 31) - 1}")


def _require_training(training: Mapping[str, Any]) -> None:
    """Refuse what is no argument of a training.

    Raises:
        OptionError: something is none.
    """
    known = [name for name in inspect.signature(api.fit).parameters if name not in _OWN]
    for name in training:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"of fit it takes {', '.join(known)}"
            raise OptionError(f"compare takes no argument {name}=; {hint}")


def _frame(spark: SparkSession, data: Any, title: str) -> DataFrame:
    if not holds_columns(data):
        raise DataError(
            f"{title} must be {KINDS}, and are a {type(data).__name__}: its columns "
            "are what the models are compared on"
        )
    require_no_stream(data)
    df = data_frame(spark, data)
    if windows.of(df, None) is not None:
        raise DataError(
            f"{title} become windows of rows that follow each other (nbkeras.timeseries), which no split of "
            "single rows keeps: fit each model on the earlier rows and make a report of the later ones"
        )
    return df
