"""Outputs: what the numbers that a classifier gives mean, and MLlib's columns of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from pyspark.sql import Column
from pyspark.sql import functions as F

from nbkeras.driver.columns.class_names import gives_logits
from nbkeras.errors import ModelError, OptionError

_ENDS = "end it with Dense({}), or compile it with a loss that has from_logits=True"
#: Activations that make probabilities, and the one that makes none.
_PROBABLE, _PLAIN = {"softmax", "sigmoid"}, "linear"


@dataclass(frozen=True)
class Head:
    """The last layer of a classifier.

    Attributes:
        units: numbers for each row; one alone is that of class 1 of two.
        logits: whether they are logits, and not probabilities.
    """

    units: int
    logits: bool

    @property
    def classes(self) -> int:
        """The number of classes."""
        return max(self.units, 2)

    def raw(self, output: Column) -> Column:
        """A score for each class, an array of doubles: the model's outputs, as they are.

        One output stands for two: the logit and its negative, or the probability and what is left of 1.
        """
        if self.units > 1:
            return output.cast("array<double>")
        one = output.cast("double")
        return F.array(-one, one) if self.logits else F.array(1 - one, one)

    def probability(self, raw: Column) -> Column:
        """The probability of each class, an array of doubles, from :meth:`raw`."""
        if not self.logits:
            return raw
        if self.units == 1:
            return F.transform(raw, lambda one: 1 / (1 + F.exp(-one)))
        # What a function of one element refers to would be computed again for each: it comes as an array.
        most = F.array_repeat(F.array_max(raw), self.units)
        powers = F.zip_with(raw, most, lambda one, high: F.exp(one - high))
        total = F.array_repeat(F.aggregate(powers, F.lit(0.0), lambda sofar, one: sofar + one), self.units)
        return F.zip_with(powers, total, lambda one, whole: one / whole)

    def raw_values(self, outputs: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """What :meth:`raw` gives for one row.

        Example:
            >>> from nbkeras.ml.outputs import Head
            >>> Head(1, logits=False).raw_values([0.25]).tolist()
            [0.75, 0.25]
        """
        values = np.asarray(outputs, np.float64).reshape(-1)
        if self.units > 1:
            return values
        return np.array([-values[0] if self.logits else 1 - values[0], values[0]])

    def probabilities(self, raw: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """What :meth:`probability` gives for one row.

        Example:
            >>> from nbkeras.ml.outputs import Head
            >>> Head(3, logits=True).probabilities([0.0, 0.0, 0.0]).round(2).tolist()
            [0.33, 0.33, 0.33]
        """
        values = np.asarray(raw)
        if not self.logits:
            return values
        # Of one output, the two scores are the logit and its negative, half of what a softmax would take.
        powers = np.exp((values - values.max()) * (0.5 if self.units == 1 else 1.0))
        return np.asarray(powers / powers.sum())


def best(probability: Column, thresholds: list[float] | None) -> Column:
    """The class of the highest probability, the first of equals, as a double.

    Args:
        probability: of each class, an array.
        thresholds: that the probabilities are divided by before.
    """
    if thresholds:
        limits = F.array(*[F.lit(float(one)) for one in thresholds])
        probability = F.zip_with(probability, limits, lambda one, limit: one / limit)
    # Spark 3.5 has a function of Python for numbers that are known before alone.
    place = F.call_function("array_position", probability, F.array_max(probability))
    return (place - 1).cast("double")


def units(model: Any, owner: str) -> int | None:
    """The numbers that a model gives for each row; None before that is known.

    Raises:
        ModelError: it has several outputs, or gives more than a vector for each row.

    Example:
        >>> import keras
        >>> from nbkeras.ml.outputs import units
        >>> units(keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)]), "KerasClassifier")
        3
    """
    outputs = getattr(model, "outputs", None)
    if not outputs:
        return None
    if len(outputs) != 1:
        raise ModelError(
            f"{owner} takes a model with one output, and {model.name} has {len(outputs)}: make a keras.Model "
            "of one of them, or use nbkeras.fit"
        )
    shape = tuple(outputs[0].shape[1:])
    if len(shape) > 1 or None in shape:
        raise ModelError(
            f"{owner} takes a model that gives one row of numbers for each row, and {model.name} gives shape "
            f"{shape}: use nbkeras.fit"
        )
    return int(shape[0]) if shape else 1


def head(model: Any, owner: str, known: int | None = None) -> Head | None:
    """What the outputs of a compiled classifier mean; None before their number is known.

    Args:
        model: compiled.
        owner: the class that asks, for messages.
        known: the number of outputs of a model that does not say it.

    Raises:
        ModelError: they are neither probabilities nor logits.
        OptionError: the loss takes other labels than numbers of classes.
    """
    number = units(model, owner) or known
    if number is None:
        return None
    _require_loss(model, number)
    activation = _activation(model)
    if activation == "sigmoid" and number > 1:
        raise ModelError(
            f"{model.name} gives {number} sigmoids, which are no probabilities of one class out of {number}: "
            + _ENDS.format(f"{number}, activation='softmax'")
        )
    if activation in _PROBABLE:
        return Head(number, logits=False)
    if gives_logits(model, 0):
        return Head(number, logits=True)
    function = _function(model.loss)
    if activation == _PLAIN or "crossentropy" not in getattr(function, "__name__", ""):
        end = f"{number}, activation='softmax'" if number > 1 else "1, activation='sigmoid'"
        raise ModelError(
            f"{model.name} gives neither probabilities nor logits, as far as its last layer and loss say: "
            + _ENDS.format(end)
        )
    return Head(number, logits=False)


def _require_loss(model: Any, number: int) -> None:
    """Check that a loss of Keras takes one number of a class for each row.

    Raises:
        OptionError: it does not.
    """
    function, sparse = _function(model.loss), keras.losses.sparse_categorical_crossentropy
    if not getattr(function, "__module__", "").startswith("keras."):
        return
    if number > 1 and function is not sparse:
        better = "sparse_categorical_crossentropy"
    elif number == 1 and function is sparse:
        better = "binary_crossentropy"
    else:
        return
    raise OptionError(
        f"the loss {function.__name__} does not take numbers of classes beside {number} "
        f"output{'s' if number > 1 else ''}: compile the model with loss='{better}'"
    )


def _function(loss: Any) -> Any:
    loss = keras.losses.get(loss) if isinstance(loss, str) else loss
    return getattr(loss, "fn", loss)


def _activation(model: Any) -> str | None:
    """The name of what makes a model's outputs, None where that is not known."""
    outputs = getattr(model, "outputs", None)
    if not outputs:
        return None
    operation = outputs[0]._keras_history.operation  # there is no public one
    if isinstance(operation, keras.Model):
        return _activation(operation)
    function = getattr(operation, "activation", None)
    name = type(operation).__name__.lower() if function is None else getattr(function, "__name__", "")
    return name if name in {*_PROBABLE, _PLAIN} else None
