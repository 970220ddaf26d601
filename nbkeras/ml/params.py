"""Params: what a pipeline, a grid and a saved stage know of a Keras model."""

from __future__ import annotations

import difflib
import json
from typing import Any, Self

from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.sql import DataFrame

from nbkeras.errors import DataError, OptionError


def require_spark(dataset: Any, owner: str) -> None:
    """Make sure that a stage is given a DataFrame of Spark, as all others of a pipeline take.

    Args:
        dataset: as given.
        owner: name of the stage's class.

    Raises:
        DataError: it is something else.

    Example:
        >>> require_spark([1, 2], "KerasClassifier")
        Traceback (most recent call last):
        nbkeras.errors.DataError: KerasClassifier takes a DataFrame of Spark, as all stages ...
    """
    if not isinstance(dataset, DataFrame):
        kind = type(dataset)
        raise DataError(
            f"{owner} takes a DataFrame of Spark, as all stages of Spark ML do, and got a "
            f"{kind.__module__.partition('.')[0]} {kind.__name__}: give it spark.createDataFrame(…), or use "
            "nbkeras.fit and nbkeras.predict, which take it as it is"
        )


def to_arguments(value: Any) -> dict[str, Any]:
    """Take arguments by their names, as JSON can keep them with a saved stage.

    Raises:
        TypeError: they are something else.

    Example:
        >>> to_arguments({"units": 8})
        {'units': 8}
    """
    if not isinstance(value, dict) or not all(isinstance(one, str) for one in value):
        raise TypeError(f"use a dict of arguments by name, such as {{'units': 8}}, not {value!r}")
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        raise TypeError(f"use numbers, words and lists of them, which can be saved, not {value!r}") from None
    return dict(value)


class KerasParams(Params):
    """What estimators and their models have both: the columns that a model takes, and how params are set."""

    featuresCols: Param[list[str]] = Param(
        Params._dummy(),
        "featuresCols",
        "columns that the model takes in place of featuresCol: one for each of its inputs, or several "
        "columns of numbers for its only one.",
        typeConverter=TypeConverters.toListString,
    )

    def setParams(self, **params: Any) -> Self:
        """Set params by their names; None leaves one as it is.

        Raises:
            OptionError: there is no such param.
            TypeError: a value has the wrong type.

        Example:
            >>> from nbkeras.ml import KerasRegressor
            >>> KerasRegressor().setParams(epochs=3).getOrDefault("epochs")
            3
        """
        for name in params:
            if not self.hasParam(name):
                known = [one.name for one in self.params]
                near = difflib.get_close_matches(name, known, 1)
                hint = f"did you mean {near[0]}? " if near else ""
                raise OptionError(
                    f"{type(self).__name__} has no param {name}: {hint}it has {', '.join(known)}"
                )
        return self._set(**{name: value for name, value in params.items() if value is not None})

    def features(self) -> list[str]:
        """The columns that the model takes.

        Example:
            >>> from nbkeras.ml import KerasRegressor
            >>> KerasRegressor().features(), KerasRegressor(featuresCols=["a", "b"]).features()
            (['features'], ['a', 'b'])
        """
        if self.isSet("featuresCols"):
            return list(self.getOrDefault("featuresCols"))
        return [self.getOrDefault("featuresCol")]


class TrainingParams(KerasParams):
    """How an estimator trains; :func:`nbkeras.fit` says what each means."""

    epochs: Param[int] = Param(
        Params._dummy(), "epochs", "times that all rows are trained on.", typeConverter=TypeConverters.toInt
    )
    batchSize: Param[int] = Param(
        Params._dummy(),
        "batchSize",
        "rows of a batch over all workers; 32 if not set.",
        typeConverter=TypeConverters.toInt,
    )
    learningRate: Param[float] = Param(
        Params._dummy(),
        "learningRate",
        "of the optimizer; that of the compiled model if not set.",
        typeConverter=TypeConverters.toFloat,
    )
    shuffle: Param[bool] = Param(
        Params._dummy(),
        "shuffle",
        "whether each epoch visits the rows in another order.",
        typeConverter=TypeConverters.toBoolean,
    )
    seed: Param[int] = Param(
        Params._dummy(), "seed", "of the order of the rows.", typeConverter=TypeConverters.toInt
    )
    workers: Param[int] = Param(
        Params._dummy(), "workers", "tasks that share a training.", typeConverter=TypeConverters.toInt
    )
    gpus: Param[int] = Param(
        Params._dummy(),
        "gpus",
        "that each worker requests; those that Spark assigns if not set.",
        typeConverter=TypeConverters.toInt,
    )
    backend: Param[str] = Param(
        Params._dummy(),
        "backend",
        "Keras backend of the workers: tensorflow, torch or jax; auto for the notebook's own.",
        typeConverter=TypeConverters.toString,
    )
    modelArguments: Param[dict[str, Any]] = Param(
        Params._dummy(),
        "modelArguments",
        "of the function that builds the model, by their names.",
        typeConverter=to_arguments,
    )
    verbose: Param[int] = Param(
        Params._dummy(),
        "verbose",
        "1 for a chart of a training that the notebook waits for and a line for each that runs in a thread, "
        "as the trials of CrossValidator do; 0 for neither.",
        typeConverter=TypeConverters.toInt,
    )

    def __init__(self) -> None:
        super().__init__()
        self._setDefault(epochs=1, shuffle=True, workers=1, backend="auto", verbose=1)

    def changed(self) -> str:
        """The params of the training that were set, in words.

        Example:
            >>> from nbkeras.ml import KerasRegressor
            >>> KerasRegressor(epochs=3, learningRate=0.1, labelCol="y").changed()
            'epochs=3, learningRate=0.1'
        """
        own = [name for name, one in vars(TrainingParams).items() if isinstance(one, Param)]
        return ", ".join(f"{name}={self.getOrDefault(name)!r}" for name in own if self.isSet(name))
