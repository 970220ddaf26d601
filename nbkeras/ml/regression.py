"""Regression by a Keras model, as Spark ML's regressors do it."""

from __future__ import annotations

from typing import Any

from pyspark.ml.linalg import Vector
from pyspark.ml.regression import RegressionModel, Regressor
from pyspark.sql import DataFrame
from pyspark.sql import types as T

from nbkeras.errors import ModelError
from nbkeras.ml import labels
from nbkeras.ml.estimator import KerasEstimator
from nbkeras.ml.model import KerasModel
from nbkeras.ml.outputs import units


class KerasRegressionModel(KerasModel, RegressionModel[Vector]):
    """Adds the numbers that a Keras model predicts: the Transformer that :class:`KerasRegressor` fits.

    ``predictionCol`` is a double.

    Args:
        model: a trained Keras model that gives one number for each row; it is not copied.
        params: by their names: ``featuresCol``, ``featuresCols``, ``predictionCol``.

    Attributes:
        history: of the training, as in Keras.

    Raises:
        ModelError: the model gives more than one number.
    """

    def __init__(self, model: Any = None, **params: Any) -> None:
        super().__init__(model, **params)
        if model is not None:
            _require_one(model, type(self).__name__)

    def predict(self, value: Vector) -> float:
        """The number for one vector."""
        return float(self._outputs(value).reshape(()))

    def _transform(self, dataset: DataFrame) -> DataFrame:
        predicted, output = self._predicted(dataset)
        if isinstance(predicted.schema[-1].dataType, T.ArrayType):
            _refuse(self.model, type(self).__name__, "several numbers")
        name = self.getOrDefault("predictionCol")
        return self._with(dataset, predicted, {name: output.cast("double").alias(name)})


class KerasRegressor(KerasEstimator, Regressor[KerasRegressionModel]):
    """Trains a Keras model to predict a number for the rows of a DataFrame: an Estimator for pipelines.

    Each ``fit`` trains a copy of the model as it was given, with its weights.

    Args:
        model: compiled, and gives one number for each row; or a function that returns such a model.
        params: as of :class:`nbkeras.ml.KerasClassifier`; ``labelCol`` holds numbers of any kind.

    Raises:
        ModelError: the model is not compiled, or gives more than one number.
        OptionError: there is no such param.
        TypeError: a param has the wrong type.

    Example:
        >>> import keras, nbkeras
        >>> from nbkeras.ml import KerasRegressor
        >>> spark = nbkeras.local_spark()
        >>> df = spark.range(8).selectExpr("double(id) AS a", "double(2 * id) AS label")
        >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> fitted = KerasRegressor(model=model, featuresCols=["a"], verbose=0).fit(df)
        >>> fitted.transform(df).columns
        ['a', 'label', 'prediction']
    """

    def _fit(self, dataset: DataFrame) -> KerasRegressionModel:
        owner = type(self).__name__
        model = self.model()
        _require_one(model, owner)
        self._require_columns(dataset)
        labels.require_numbers(dataset, self.getOrDefault("labelCol"), owner)
        self._trained(model, dataset)
        fitted = KerasRegressionModel(model)
        fitted._resetUid(self.uid)
        return self._copyValues(fitted)


def _require_one(model: Any, owner: str) -> None:
    """Check that a model gives one number for each row, as far as it says what it gives."""
    number = units(model, owner)
    if number is not None and number > 1:
        _refuse(model, owner, f"{number} numbers")


def _refuse(model: Any, owner: str, what: str) -> None:
    raise ModelError(
        f"{owner} takes a model that gives one number for each row, and {model.name} gives {what}: end it "
        "with Dense(1), or use nbkeras.fit"
    )
