"""Estimators: the models of MLlib that a comparison knows by a word."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pyspark.ml import classification, regression

from nbkeras.errors import OptionError
from nbkeras.selection.target import Target

#: Units of the perceptron's hidden layer.
_HIDDEN = 64


def _logistic(_: Target) -> Any:
    return classification.LogisticRegression()


def _linear(_: Target) -> Any:
    return regression.LinearRegression()


def _forest(target: Target) -> Any:
    if target.task == "regression":
        return regression.RandomForestRegressor(seed=0)
    return classification.RandomForestClassifier(seed=0)


def _boosting(target: Target) -> Any:
    if target.task == "regression":
        return regression.GBTRegressor(seed=0)
    one = classification.GBTClassifier(seed=0)
    # It tells two classes apart.
    return one if len(target.classes) == 2 else classification.OneVsRest(classifier=one)


def _perceptron(_: Target) -> Any:
    return classification.MultilayerPerceptronClassifier(seed=0)


#: By task, the words and what they stand for.
WORDS: dict[str, dict[str, Callable[[Target], Any]]] = {
    "classification": {
        "logistic": _logistic,
        "forest": _forest,
        "boosting": _boosting,
        "perceptron": _perceptron,
    },
    "regression": {"linear": _linear, "forest": _forest, "boosting": _boosting},
}


def estimator(word: str, target: Target) -> Any:
    """The estimator that a word stands for.

    Raises:
        OptionError: it stands for none of this task.

    Example:
        >>> from nbkeras.selection.target import Target
        >>> sorted(WORDS["regression"])
        ['boosting', 'forest', 'linear']
    """
    known = WORDS[target.task]
    if word not in known:
        other = next((task for task, words in WORDS.items() if word in words), None)
        hint = "" if other is None else f"; task={other!r} takes '{target.name}' so that it can"
        raise OptionError(
            f"there is no model {word!r} for {target.task}: use {', '.join(map(repr, known))}, a Keras "
            f"model, a function that builds one, or an estimator of pyspark.ml{hint}"
        )
    return known[word](target)


def sized(estimator: Any, width: int, target: Target) -> Any:
    """Tell an estimator that asks for it how many numbers a row has, and how many classes there are."""
    if isinstance(estimator, classification.MultilayerPerceptronClassifier) and not estimator.isSet("layers"):
        return estimator.copy({estimator.layers: [width, _HIDDEN, len(target.classes)]})
    return estimator


def size(model: Any) -> str:
    """How much a fitted model has learned, in words; empty where it does not say."""
    if isinstance(model, classification.OneVsRestModel):
        return f"{len(model.models)} x {size(model.models[0])}"
    if hasattr(model, "totalNumNodes"):
        return f"{len(model.treeWeights)} trees, {model.totalNumNodes:,} nodes"
    if isinstance(model, classification.LogisticRegressionModel):
        matrix = model.coefficientMatrix
        return f"{matrix.numRows * matrix.numCols + len(model.interceptVector):,} weights"
    if isinstance(model, classification.MultilayerPerceptronClassificationModel):
        return f"{len(model.weights):,} weights"
    return f"{len(model.coefficients) + 1:,} weights" if hasattr(model, "coefficients") else ""
