"""One call of compare: what takes part in it, on which rows."""

from __future__ import annotations

import difflib
import inspect
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
from pyspark.ml import Estimator
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import types as T

from nbkeras import api
from nbkeras.data import columns, marks
from nbkeras.data.frames import KINDS, is_frame
from nbkeras.data.names import unique
from nbkeras.data.source import data_frame, require_no_stream
from nbkeras.data.windows import columns as windows
from nbkeras.errors import DataError, OptionError
from nbkeras.run import registry
from nbkeras.selection import estimators, features, splits, target
from nbkeras.selection.contestants import Baseline, Contestant, OfKeras, OfMLlib, Setting
from nbkeras.selection.entry import JUDGED, Entry, require_metric
from nbkeras.selection.features import Features
from nbkeras.selection.race import Course, race
from nbkeras.selection.target import Target

#: The name of what knows no features.
BASELINE = "baseline"
#: Epochs of a Keras model that has not been trained before.
_EPOCHS = 10
#: Classes above which a model for each of them takes long.
_MANY = 20
#: Arguments of fit that a comparison gives itself.
_OWN = {
    *("model", "data", "y", "features", "sample_weight", "spark", "background", "name"),
    *("checkpoint", "resume", "initial_epoch", "shown_by"),
}


@dataclass(frozen=True)
class Asked:
    """What a comparison is asked for; see :func:`nbkeras.compare`."""

    y: Any
    models: Any
    features: Sequence[str] | None
    sample_weight: str | None
    test: Any
    folds: Any
    metric: str | None
    task: str | None
    seed: int
    training: Mapping[str, Any]


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
    df, test = _frame(spark, data, "the rows"), _held_out(spark, asked)
    if not isinstance(asked.y, str):
        raise DataError(f"y={asked.y!r:.100}: name the label column, y='…' ({columns.offered(df)})")
    what = target.target(spark, df, asked.y, asked.task or _task(asked.models))
    metric = asked.metric or JUDGED[what.task]
    require_metric(metric, what.task)
    _require_columns(df, asked)
    if test is not None:
        _require_columns(test, asked)
        target.require_known(spark, what, test)
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
        made = _contestants(setting, df, asked)
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
    if not is_frame(asked.test):
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
    for name in _named(asked.features) or ():
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


@dataclass(frozen=True)
class _Made:
    contestants: dict[str, Contestant]
    notes: tuple[str, ...]
    features: Features | None


def _contestants(setting: Setting, df: DataFrame, asked: Asked) -> _Made:
    """All that take part, the baseline first: it says what the others are worth."""
    given, notes = _given(asked.models, setting.target)
    names = _columns(df, asked, [one for _, one in given])
    made: Features | None = None
    if any(isinstance(one, Estimator) for _, one in given):
        try:
            made = features.features(setting.spark, df, names)
            notes.append(features.said(made))
        except DataError as error:
            if _chooses(asked.models):
                raise
            given = [(name, one) for name, one in given if not isinstance(one, Estimator)]
            notes.append(f"without MLlib's models: {error}")
    found: dict[str, Contestant] = {BASELINE: Baseline()}
    for name, one in given:
        if isinstance(one, Estimator):
            assert made is not None
            found[name] = OfMLlib.of(one, made, setting)
        else:
            found[name] = OfKeras.of(one, _own_columns(one, asked), _training(one, asked))
    return _Made(found, tuple(notes), made)


def _given(models: Any, what: Target) -> tuple[list[tuple[str, Any]], list[str]]:
    """What takes part besides the baseline, by name; and what there is to note about them.

    Raises:
        OptionError: something is no model.
    """
    listed, own = _listed(models), [_name(one) for one in _listed(models)]
    if isinstance(models, Mapping):
        own = [str(name) for name in models]
    notes = []
    if not _chooses(models):
        # Nothing of MLlib is chosen, so all of it takes part that ends in good time.
        words = [one for one in estimators.WORDS[what.task] if one not in own]
        if len(what.classes) > _MANY and "boosting" in words:
            words.remove("boosting")
            notes.append(
                f"without boosting, which would train a model for each of {len(what.classes)} classes: name "
                "it to have it"
            )
        listed, own = [*listed, *words], [*own, *words]
    made = [estimators.estimator(one, what) if isinstance(one, str) else one for one in listed]
    names = unique([BASELINE, *own])[1:]
    return list(zip(names, made, strict=True)), notes


def _listed(models: Any) -> list[Any]:
    """The models one by one.

    Raises:
        OptionError: they are no models.
    """
    if isinstance(models, Mapping):
        return list(models.values())
    if isinstance(models, (str, keras.Model, Estimator)) or callable(models):
        return [models]
    if not isinstance(models or (), (list, tuple)):
        raise OptionError(f"models={models!r:.100}: give a list of models, or a dict with their names")
    return list(models or ())


def _chooses(models: Any) -> bool:
    """Whether something of MLlib is chosen."""
    return any(isinstance(one, (str, Estimator)) for one in _listed(models))


def _name(model: Any) -> str:
    """What a model is called."""
    if isinstance(model, str):
        return model
    if isinstance(model, Estimator):
        return type(model).__name__
    if not isinstance(model, keras.Model) and not callable(model):
        raise OptionError(
            f"models=[…] has a {type(model).__name__}: give a compiled Keras model, a function that builds "
            "one, an estimator of pyspark.ml, or one of its words, such as 'forest'"
        )
    return str(getattr(model, "name", None) or getattr(model, "__name__", type(model).__name__))


def _task(models: Any) -> str | None:
    """The task that a Keras model is compiled for; None where there is none."""
    for one in _listed(models):
        if isinstance(one, keras.Model) and one.compiled:
            return target.task_of(one)
    return None


def _columns(df: DataFrame, asked: Asked, models: Sequence[Any]) -> list[str]:
    """The feature columns of MLlib's models: those that are named, else those of the first Keras model."""
    if (named := _named(asked.features)) is not None:
        return named
    known = [own for one in models if not isinstance(one, Estimator) and (own := _own_columns(one, asked))]
    others = {asked.y, asked.sample_weight}
    return known[0] if known else [name for name in df.columns if name not in others]


def _own_columns(model: Any, asked: Asked) -> list[str] | None:
    """The feature columns of a Keras model: those that are named, else those that it was trained on."""
    if (named := _named(asked.features)) is not None:
        return named
    schema = registry.schema(model) if isinstance(model, keras.Model) else None
    # It may have been trained on another label, of which this one was a feature.
    return None if schema is None else [name for name in schema.columns if name != asked.y]


def _named(features: Any) -> list[str] | None:
    """The columns that are named; a single one may stand for a list."""
    if features is None:
        return None
    return [features] if isinstance(features, str) else list(features)


def _training(model: Any, asked: Asked) -> dict[str, Any]:
    """How a Keras model is trained: for as many epochs as the last time, unless it is said."""
    last = next((run for run in reversed(registry.runs) if run.model is model), None)
    silent = {"verbose": 0} if asked.folds is not None else {}
    epochs = _EPOCHS if last is None else last.epochs
    return {"epochs": epochs, "seed": asked.seed, **silent, **asked.training}


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
    if not is_frame(data):
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
