"""Lineup: the models that take part in a comparison, on which columns, and how they are trained."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
from pyspark.ml import Estimator
from pyspark.sql import DataFrame

from nbkeras.data import columns, parts
from nbkeras.data.names import unique
from nbkeras.data.signature import signature
from nbkeras.errors import DataError, OptionError
from nbkeras.run import registry
from nbkeras.selection import estimators, features, target
from nbkeras.selection.asked import Asked
from nbkeras.selection.contestants import Baseline, Contestant, OfKeras, OfMLlib, Setting
from nbkeras.selection.features import Features
from nbkeras.selection.target import Target

#: The name of what knows no features.
BASELINE = "baseline"
#: Epochs of a Keras model that has not been trained before.
_EPOCHS = 10
#: Classes above which a model for each of them takes long.
_MANY = 20


@dataclass(frozen=True)
class Lineup:
    """What takes part.

    Attributes:
        contestants: by name, the baseline first.
        notes: sentences about them.
        features: how rows become those of MLlib's models; None where there is none.
    """

    contestants: dict[str, Contestant]
    notes: tuple[str, ...]
    features: Features | None


def lineup(setting: Setting, df: DataFrame, test: DataFrame | None, asked: Asked) -> Lineup:
    """Choose all that take part, the baseline first: it says what the others are worth.

    Args:
        setting: of the comparison.
        df: the rows.
        test: rows to score on, where they are given.
        asked: for.

    Raises:
        Aborted: an interrupt.
        DataError: the rows lack a column, or hold what MLlib does not take.
        ModelError: a model cannot be trained.
        OptionError: something is no model.
    """
    given, notes = _given(asked.models, setting.target)
    names = _columns(df, asked, [one for _, one in given])
    if test is not None:
        _require_features(test, names)
    made: Features | None = None
    if any(isinstance(one, Estimator) for _, one in given):
        try:
            made = features.features(setting.spark, df, names)
            for one in filter(None, (df, test)):
                features.require_finite(setting.spark, one, names)
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
            found[name] = OfKeras.of(one, _own_columns(df, one, asked), _training(one, asked))
    return Lineup(found, tuple(notes), made)


def _given(models: Any, what: Target) -> tuple[list[tuple[str, Any]], list[str]]:
    """What takes part besides the baseline, by name; and what to report of it.

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


def task_of(models: Any) -> target.Task | None:
    """The task of the first model that tells one: that it is compiled for, or the only one that has it."""
    for one in _listed(models):
        if isinstance(one, str):
            of = [task for task in target.TASKS if one in estimators.WORDS[task]]
            if len(of) == 1:
                return of[0]
        built = one
        if not isinstance(one, (str, keras.Model, Estimator)):
            with contextlib.suppress(Exception):  # why it cannot be built, its own row says
                built = one()
        if isinstance(built, keras.Model) and built.compiled:
            return target.task_of(built)
    return None


def _columns(df: DataFrame, asked: Asked, models: Sequence[Any]) -> list[str]:
    """The feature columns of MLlib's models: those that are named, else those of the first Keras model."""
    if (named := asked.columns) is not None:
        return named
    known = [
        own for one in models if not isinstance(one, Estimator) and (own := _own_columns(df, one, asked))
    ]
    others = {asked.y, asked.sample_weight}
    return known[0] if known else [name for name in df.columns if name not in others]


def _own_columns(df: DataFrame, model: Any, asked: Asked) -> list[str] | None:
    """The columns of a Keras model: those that are named, else of its training, else of its inputs."""
    if (named := asked.columns) is not None:
        return named
    if not isinstance(model, keras.Model):
        return None
    schema = registry.schema(model)
    if schema is None:
        inputs = parts.offered(df, signature(model).names)
        return None if inputs is None else list(inputs)
    # It may have been trained on another label, of which this one was a feature.
    return [name for name in schema.columns if name != asked.y]


def _require_features(test: DataFrame, names: Sequence[str]) -> None:
    """Make sure that rows to score on have what the models are trained on.

    Raises:
        DataError: they lack a column.
    """
    for name in names:
        try:
            columns.existing(test, name, "feature")
        except DataError as error:
            raise DataError(f"test= lacks what the models are trained on: {error}") from error


def _training(model: Any, asked: Asked) -> dict[str, Any]:
    """How a Keras model is trained: for as many epochs as the last time, unless it is said."""
    last = registry.latest(model)
    silent = {"verbose": 0} if asked.folds is not None else {}
    epochs = _EPOCHS if last is None else last.epochs
    return {"epochs": epochs, "seed": asked.seed, **silent, **asked.training}
