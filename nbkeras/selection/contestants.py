"""Contestants: what is trained in a comparison, each in its own way, and what predicts afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import keras
from pyspark.ml import Pipeline, PipelineModel, classification
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from nbkeras import api
from nbkeras.data.names import quoted
from nbkeras.driver import checks, inference
from nbkeras.driver.scoring import report as driver
from nbkeras.driver.scoring.wanted import Wanted
from nbkeras.errors import Aborted, ModelError
from nbkeras.metrics.figures import Figures
from nbkeras.model import renewal
from nbkeras.run import registry
from nbkeras.selection import estimators
from nbkeras.selection.features import FEATURES, SCALED, Features, scaler
from nbkeras.selection.target import Target

#: The label as MLlib takes it, the weight, and what the baseline predicts.
_LABEL, _WEIGHT, _SAID = "nbkeras_label", "nbkeras_weight", "nbkeras_said"
_UNKNOWN = "its weights were kept: whether they have learned before is not known"


@dataclass(frozen=True)
class Setting:
    """What all contestants of a comparison have in common.

    Attributes:
        spark: the session.
        target: what is to be predicted.
        weight: the column of weights, or None.
    """

    spark: SparkSession
    target: Target
    weight: str | None = None

    def labelled(self, rows: DataFrame) -> DataFrame:
        """The rows with their label and their weight as MLlib takes them."""
        about = {"type": "nominal", "name": _LABEL, "vals": list(self.target.classes)}
        held = {"ml_attr": about} if self.target.classes else {}
        weight = F.lit(1.0) if self.weight is None else F.col(quoted(self.weight)).cast("double")
        label = self.target.number(rows).alias(_LABEL, metadata=held)
        return rows.select("*", label, weight.alias(_WEIGHT))

    def report(self, predicted: DataFrame, column: str) -> Figures:
        """Report on a column of predictions beside :meth:`labelled` rows."""
        classes = self.target.task == "classification"
        label = F.col(_LABEL).cast("int" if classes else "double")
        # MLlib gives the number of a class as a double.
        numbers = classes and not isinstance(predicted.schema[column].dataType.jsonValue(), dict)
        said = F.col(column).cast("int") if numbers else F.col(column)
        shown = predicted.select(label.alias(_LABEL), said.alias(_SAID), _WEIGHT)
        weight = None if self.weight is None else _WEIGHT
        wanted = self._wanted(_LABEL, _SAID, weight, self.target.classes or None)
        return driver.report(self.spark, None, shown, wanted, batch_size=None, backend="auto")

    def report_of(self, model: Any, rows: DataFrame, backend: str) -> Figures:
        """Report on what a Keras model predicts for rows."""
        wanted = self._wanted(self.target.name, None, self.weight, None)
        return driver.report(self.spark, model, rows, wanted, batch_size=None, backend=backend)

    def _wanted(self, y: str, prediction: str | None, weight: str | None, classes: Any) -> Wanted:
        return Wanted(
            y,
            prediction,
            weight,
            None,
            classes,
            by=None,
            worst=0,
            task=self.target.task,
            threshold=0.5,
            output=None,
        )


class Trained(Protocol):
    """A trained contestant."""

    @property
    def model(self) -> Any:
        """What was trained: a Keras model, or a ``PipelineModel``; None for the baseline."""

    @property
    def size(self) -> str:
        """How much it has learned, in words."""

    def report(self, rows: DataFrame) -> Figures:
        """Score it on rows."""

    def predicted(self, rows: DataFrame) -> DataFrame:
        """The rows with its prediction, which Spark computes when they are read."""


class Contestant(Protocol):
    """Something to train."""

    @property
    def kind(self) -> str:
        """One of "Keras", "MLlib" and "baseline"."""

    @property
    def note(self) -> str:
        """What the reader should know of it; empty for nothing."""

    def train(self, setting: Setting, rows: DataFrame) -> Trained:
        """Train it on rows, each time as if for the first time."""


@dataclass(frozen=True)
class OfKeras:
    """A Keras model, or a function that builds one.

    Attributes:
        made: makes a compiled model, or gives one, which is copied.
        features: columns that it takes; None for all but label and weight.
        training: further arguments of :func:`nbkeras.fit`.
        note: see :class:`Contestant`.
    """

    made: Callable[[], Any]
    features: list[str] | None
    training: Mapping[str, Any]
    note: str = ""
    kind: str = "Keras"

    @classmethod
    def of(cls, model: Any, features: list[str] | None, training: Mapping[str, Any]) -> OfKeras:
        """Take a compiled model or a function.

        Raises:
            ModelError: it is not compiled, has several outputs, or is trained and cannot be made again.
            OptionError: a run trains the model.
        """
        if not isinstance(model, keras.Model):
            return cls(model, features, training)
        checks.require_compiled(model, "compare")
        checks.require_free(model)
        if len(getattr(model, "outputs", None) or ()) > 1:
            raise ModelError(f"{model.name} has several outputs: compare a compiled keras.Model of one")
        moved = renewal.has_moved(model)
        if not _has_learned(model) and not moved:
            return cls(lambda: model, features, training, _UNKNOWN if moved is None else "")
        renewal.renewed(model)  # fails early
        return cls(lambda: _renewed(model), features, training, "its weights were drawn again")

    def train(self, setting: Setting, rows: DataFrame) -> Trained:
        """See :class:`Contestant`."""
        given = self.made()
        checks.require_compiled(given, "compare")
        # Weights that have learned may have learned from rows that are scored on.
        model = _renewed(given) if _has_learned(given) else renewal.copy(given)
        run = api.fit(
            model,
            rows,
            setting.target.name,
            features=self.features,
            sample_weight=setting.weight,
            spark=setting.spark,
            **self.training,
        )
        if run.status == "stopped":
            raise Aborted(f"{run.name} was stopped: call compare again to train it, and those behind it")
        return _Keras(setting, model, self.training.get("backend", "auto"))


def _renewed(model: Any) -> Any:
    """A model with new weights, and the learning rate that its last training began with."""
    made = renewal.renewed(model)
    last = registry.latest(model)
    began = None if last is None else last.settings.get("learning_rate")
    # A callback may have lowered it since; of a model that was compiled again, nothing is known.
    if isinstance(began, float) and renewal.is_trained(model):
        made.optimizer.learning_rate = began
    return made


def _has_learned(model: Any) -> bool:
    """Whether the weights of a model come from a training: its own, or that of a run that was loaded."""
    return renewal.is_trained(model) or registry.origin(model) is not None


@dataclass(frozen=True)
class _Keras:
    setting: Setting
    model: Any
    backend: str

    @property
    def size(self) -> str:
        return f"{self.model.count_params():,} weights"

    def report(self, rows: DataFrame) -> Figures:
        return self.setting.report_of(self.model, rows, self.backend)

    def predicted(self, rows: DataFrame) -> DataFrame:
        predicted: DataFrame = api.predict(
            self.model, rows, output=_SAID, backend=self.backend, spark=self.setting.spark
        )
        return predicted


@dataclass(frozen=True)
class OfMLlib:
    """An estimator of MLlib, on features that are made for it.

    Attributes:
        estimator: of ``pyspark.ml``.
        features: of the rows.
        note: see :class:`Contestant`.
    """

    estimator: Any
    features: Features
    note: str = ""
    kind: str = "MLlib"

    @classmethod
    def of(cls, estimator: Any, features: Features, setting: Setting) -> OfMLlib:
        """Take an estimator.

        Raises:
            ModelError: it is a pipeline, or takes no features and no label.
        """
        name = type(estimator).__name__
        if isinstance(estimator, Pipeline) or not (
            estimator.hasParam("featuresCol") and estimator.hasParam("labelCol")
        ):
            raise ModelError(
                f"{name} does not take a column of features and one of labels: give the estimator of the "
                "model alone, its features are made here; or fit it, and nbkeras.report(fitted.transform("
                "test), y='…')"
            )
        classifies = estimator.hasParam("rawPredictionCol") or estimator.hasParam("probabilityCol")
        if classifies != (setting.target.task == "classification"):
            predicts = "classes" if classifies else "amounts"
            raise ModelError(
                f"{name} predicts {predicts}, and '{setting.target.name}' is taken for "
                f"{setting.target.task}: leave it out, or give task="
            )
        return cls(estimator, features, "; ".join(_notes(estimator, setting)))

    def train(self, setting: Setting, rows: DataFrame) -> Trained:
        """See :class:`Contestant`."""
        model = inference.attended(setting.spark, "compare", lambda: self._fitted(setting, rows))
        return _MLlib(setting, model, self.features)

    def _fitted(self, setting: Setting, rows: DataFrame) -> Any:
        is_perceptron = isinstance(self.estimator, classification.MultilayerPerceptronClassifier)
        stages = [*self.features.stages, *([scaler()] if is_perceptron else [])]
        prepared = self.features.alone(setting.labelled(rows), (_LABEL, _WEIGHT))
        made = Pipeline(stages=stages).fit(prepared)
        vectors = made.transform(prepared)
        taken = SCALED if is_perceptron else FEATURES
        columns = {self.estimator.featuresCol: taken, self.estimator.labelCol: _LABEL}
        if setting.weight is not None and self.estimator.hasParam("weightCol"):
            columns[self.estimator.weightCol] = _WEIGHT
        chosen = self.estimator.copy(columns)
        if is_perceptron:
            first = vectors.select(taken).first()
            chosen = estimators.sized(chosen, 0 if first is None else len(first[0]), setting.target)
        return PipelineModel([*made.stages, chosen.fit(vectors)])


def _notes(estimator: Any, setting: Setting) -> Iterator[str]:
    """What the reader should know of an estimator."""
    if setting.weight is not None and not estimator.hasParam("weightCol"):
        yield "trained without sample_weight"
    for name in ("threshold", "thresholds"):
        if estimator.hasParam(name) and estimator.isSet(estimator.getParam(name)):
            yield f"scored by its probabilities, without its {name}"


@dataclass(frozen=True)
class _MLlib:
    setting: Setting
    model: Any
    features: Features

    @property
    def size(self) -> str:
        return estimators.size(self.model.stages[-1])

    def report(self, rows: DataFrame) -> Figures:
        predicted = self.predicted(rows)
        return self.setting.report(predicted, self._column(predicted))

    def predicted(self, rows: DataFrame) -> DataFrame:
        prepared = self.features.alone(self.setting.labelled(rows), (_LABEL, _WEIGHT))
        predicted: DataFrame = self.model.transform(prepared)
        return predicted

    def _column(self, predicted: DataFrame) -> str:
        last, amounts = self.model.stages[-1], self.setting.target.task == "regression"
        for param in ("predictionCol",) if amounts else ("probabilityCol", "predictionCol"):
            if last.hasParam(param) and (name := last.getOrDefault(param)) in predicted.columns:
                return str(name)
        raise ModelError(f"{type(last).__name__} adds no column of predictions: take one that does")


@dataclass(frozen=True)
class Baseline:
    """Knows no features: it predicts how frequent each class is, or the mean."""

    kind: str = field(default="baseline", init=False)
    note: str = field(default="", init=False)

    def train(self, setting: Setting, df: DataFrame) -> Trained:
        """See :class:`Contestant`."""
        df = setting.labelled(df)
        weight = F.col(_WEIGHT)
        if setting.target.task == "regression":
            figure = (F.sum(F.col(_LABEL) * weight) / F.sum(weight)).alias("mean")
            found = inference.attended(setting.spark, "compare", df.agg(figure).first)
            return _Constant(setting, float(found["mean"] or 0.0))
        counted = df.groupBy(_LABEL).agg(F.sum(weight).alias("weight"))
        sums = {
            int(row[_LABEL]): row["weight"]
            for row in inference.attended(setting.spark, "compare", counted.collect)
        }
        total = sum(sums.values()) or 1.0
        known = range(len(setting.target.classes))
        return _Constant(setting, [sums.get(number, 0.0) / total for number in known])


@dataclass(frozen=True)
class _Constant:
    setting: Setting
    said: float | list[float]
    model: None = None
    size: str = ""

    def report(self, rows: DataFrame) -> Figures:
        return self.setting.report(self.predicted(rows), _SAID)

    def predicted(self, rows: DataFrame) -> DataFrame:
        values = F.lit(self.said) if isinstance(self.said, float) else F.array(*map(F.lit, self.said))
        return self.setting.labelled(rows).withColumn(_SAID, values)
