"""What the fitted models have in common: they add what a Keras model predicts to the rows of a DataFrame."""

from __future__ import annotations

import math
import threading
from typing import Any, Self

import keras
import numpy as np
import numpy.typing as npt
from pyspark.ml.linalg import Vector
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from nbkeras import api
from nbkeras.data.names import quoted
from nbkeras.driver import checks
from nbkeras.errors import DataError, ModelError
from nbkeras.ml.files import Saved
from nbkeras.ml.params import KerasParams, require_spark
from nbkeras.run import registry


class KerasModel(KerasParams, Saved):
    """Predicts by a trained Keras model.

    Args:
        model: trained; it is not copied.
        params: by their names.

    Attributes:
        history: of the training, as in Keras: the metrics of each epoch, by name.
    """

    def __init__(self, model: Any = None, **params: Any) -> None:
        super().__init__()
        if model is not None:
            checks.require_model(model, type(self).__name__)
        self._model = model
        self.history: dict[str, list[Any]] = _history(model)
        # To look at a model, layers are called: not in two threads at once. Copies have the same model.
        self._looking = threading.Lock()
        self.setParams(**params)

    @property
    def model(self) -> Any:
        """The Keras model itself, with its weights.

        Raises:
            ModelError: there is none.
        """
        if self._model is None:
            name = type(self).__name__
            raise ModelError(f"{name} has no model: fit an estimator, or give it one, {name}(model)")
        return self._model

    @property
    def numFeatures(self) -> int:
        """The numbers of a row that the model takes; -1 if unknown."""
        schema = registry.schema(self.model)
        shapes = [one.shape for one in (schema.features if schema is not None else ())]
        return sum(math.prod(one or ()) for one in shapes) if shapes and None not in shapes else -1

    def content(self) -> tuple[dict[str, Any], Any]:
        """What is saved beside the params: plain values, and the Keras model."""
        return {"history": self.history}, self.model

    @classmethod
    def restored(cls, about: dict[str, Any], model: Any) -> Self:
        """Make the model of :meth:`content`."""
        made = cls(model)
        made.history = about["history"]
        return made

    def _predicted(self, dataset: DataFrame) -> tuple[DataFrame, Column]:
        """The rows with one more column, and that column: what the Keras model gives for each."""
        require_spark(dataset, type(self).__name__)
        name = f"{self.uid}_output"
        with self._looking:
            predicted = api.predict(
                self.model, dataset, features=self.features(), output=name, spark=dataset.sparkSession
            )
        return predicted, F.col(quoted(name))

    def _with(self, dataset: DataFrame, predicted: DataFrame, made: dict[str, Column]) -> DataFrame:
        """The rows of a dataset with columns made of a prediction; an empty name leaves one out."""
        for name in made:
            if name in dataset.columns:
                raise DataError(
                    f"the DataFrame has a column '{name}' already: rename it, or set another name, "
                    f"{type(self).__name__}.setParams(predictionCol='…')"
                )
        kept = [F.col(quoted(one)) for one in dataset.columns]
        return predicted.select(*kept, *[one for name, one in made.items() if name])

    def _outputs(self, value: Vector) -> npt.NDArray[Any]:
        """What the Keras model gives for one vector."""
        shape = getattr(self.model, "input_shape", None)
        rows = np.asarray(value.toArray(), keras.config.floatx())[None]
        if isinstance(shape, tuple) and None not in shape[1:]:
            rows = rows.reshape(1, *shape[1:])
        return np.asarray(keras.ops.convert_to_numpy(self.model(rows, training=False)))


def _history(model: Any) -> dict[str, list[Any]]:
    """The metrics of the last training of a model, as plain numbers."""
    held = getattr(getattr(model, "history", None), "history", None) or {}
    return {name: [np.asarray(one).tolist() for one in values] for name, values in held.items()}
