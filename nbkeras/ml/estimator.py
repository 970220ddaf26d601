"""What the estimators have in common: they train a copy of a Keras model on the rows of a DataFrame."""

from __future__ import annotations

import threading
from typing import Any, Self

from pyspark.ml.param.shared import HasValidationIndicatorCol, HasWeightCol
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from nbkeras import api
from nbkeras.data import columns, parts
from nbkeras.errors import DataError
from nbkeras.ml.blueprint import Blueprint
from nbkeras.ml.files import Saved
from nbkeras.ml.params import TrainingParams, require_spark
from nbkeras.run.run import Run
from nbkeras.run.steering import learning_rate


class KerasEstimator(TrainingParams, HasWeightCol, HasValidationIndicatorCol, Saved):
    """Trains copies of a Keras model; :class:`nbkeras.ml.KerasClassifier` says how it is given.

    Args:
        model: compiled, or a function that returns such a model.
        params: by their names.
    """

    def __init__(self, *, model: Any = None, **params: Any) -> None:
        super().__init__()
        self._blueprint = Blueprint.of(type(self).__name__, model)
        self.setParams(**params)

    def setModel(self, model: Any) -> Self:
        """Set the model, or the function that builds it.

        Raises:
            ModelError: it is neither, or is not compiled.

        Example:
            >>> import keras
            >>> from nbkeras.ml import KerasRegressor
            >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
            >>> model.compile("sgd", "mse")
            >>> KerasRegressor().setModel(model).model().count_params()
            3
        """
        self._blueprint = Blueprint.of(type(self).__name__, model)
        return self

    def model(self) -> Any:
        """A new copy of the model as it was given, or what the function builds of ``modelArguments``.

        Raises:
            ModelError: there is none.
        """
        given = self.getOrDefault("modelArguments") if self.isSet("modelArguments") else {}
        made = self._blueprint.made(given)
        if self.isSet("learningRate"):
            made.optimizer.learning_rate = learning_rate(self.getOrDefault("learningRate"), made)
        return made

    def content(self) -> tuple[dict[str, Any], Any]:
        """What is saved beside the params: plain values, and a Keras model or None."""
        lost, model = self._blueprint.saved()
        return {"lost": lost}, model

    @classmethod
    def restored(cls, about: dict[str, Any], model: Any) -> Self:
        """Make the estimator of :meth:`content`."""
        made = cls(model=model)
        if about["lost"]:
            made._blueprint = Blueprint(cls.__name__, lost=about["lost"])
        return made

    def _require_columns(self, dataset: DataFrame) -> None:
        require_spark(dataset, type(self).__name__)
        for name in self.features():
            columns.existing(dataset, name, "feature")
        if (weight := self._optional("weightCol")) is not None:
            columns.existing(dataset, weight, "weight")

    def _trained(self, model: Any, dataset: DataFrame) -> Run:
        """Train a model on the columns of a dataset, whose labels are as Keras takes them."""
        train, validation = self._divided(dataset)
        in_thread = threading.current_thread() is not threading.main_thread()
        verbose = self.getOrDefault("verbose")
        if verbose and in_thread:
            changed = self.changed()
            with_ = f" with {changed}" if changed else ""
            print(f"{self.uid} trains{with_}; nbkeras.runs has its curves")  # noqa: T201  # no chart shows it
        return api.fit(
            model,
            train,
            self.getOrDefault("labelCol"),
            features=self.features(),
            sample_weight=self._optional("weightCol"),
            validation_data=validation,
            epochs=self.getOrDefault("epochs"),
            batch_size=self._optional("batchSize"),
            shuffle=self.getOrDefault("shuffle"),
            seed=self._optional("seed"),
            workers=self.getOrDefault("workers"),
            gpus=self._optional("gpus"),
            backend=self.getOrDefault("backend"),
            # Of trials that run beside each other, charts would be a wall.
            verbose=0 if in_thread or not verbose else "auto",
            spark=dataset.sparkSession,
        )

    def _divided(self, dataset: DataFrame) -> tuple[DataFrame, DataFrame | None]:
        """The rows to train and to validate on."""
        name = self._optional("validationIndicatorCol")
        if name is None:
            return dataset, None
        columns.existing(dataset, name, "validation indicator")
        found = parts.type_of(dataset, name)
        if not isinstance(found, T.BooleanType):
            raise DataError(
                f"validation indicator column '{name}' is {found.simpleString()}: name a column of booleans, "
                "true for the rows to validate on"
            )
        # A null is not true.
        validates = F.coalesce(parts.column(dataset, name), F.lit(False))
        return dataset.filter(~validates), dataset.filter(validates)

    def _optional(self, name: str) -> Any:
        """The value of a param; None where it is not set, or is an empty name of a column."""
        value = self.getOrDefault(name) if self.isDefined(name) else None
        return None if value == "" else value
