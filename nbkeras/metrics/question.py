"""What is asked of predictions: how labels and scores of rows become the numbers that are summed up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from nbkeras.errors import DataError
from nbkeras.metrics.amounts import Amounts
from nbkeras.metrics.classes import Classes
from nbkeras.metrics.labels import Labels
from nbkeras.metrics.scores import Floats

Array = npt.NDArray[Any]
Statistics = Classes | Labels | Amounts
#: Adds rows to sums: which ones, or all.
Add = Callable[[Statistics, Any], Floats]


@dataclass(frozen=True)
class Question:
    """What is asked of all rows.

    Attributes:
        task: whether a row is of one class, has any of several labels, or amounts.
        number: of classes, labels or amounts.
        scored: whether predictions are probabilities; otherwise they are the classes or labels themselves.
        logits: whether they are what a sigmoid or softmax makes probabilities of.
        threshold: probability above which a yes-or-no question is answered with yes.
        title: of the label column, for messages.
        advice: what to do where predictions are no probabilities.
        cells: scores that are told apart at most.
    """

    task: Literal["classification", "labels", "regression"]
    number: int
    scored: bool = True
    logits: bool = False
    threshold: float = 0.5
    title: str = "the label"
    advice: str = "name a column of probabilities, or give task='regression'"
    cells: int = 2_000_000

    def sums(self, part: int = 0) -> Statistics:
        """Make empty sums.

        Args:
            part: of the rows, from 0.
        """
        if self.task == "classification":
            return Classes(self.number, scored=self.scored, cells=self.cells)
        if self.task == "labels":
            return Labels(self.number, scored=self.scored, cells=self.cells)
        return Amounts(self.number, part)

    def actual(self, labels: Array) -> Array:
        """Turn the labels of some rows into numbers of classes, flags or amounts.

        Args:
            labels: of shape (rows,), (rows, 1) or (rows, number).

        Raises:
            DataError: one is none that there are predictions for.
        """
        if self.task == "classification":
            return self._numbers(labels)
        if self.task == "labels":
            return self._flags(labels)
        values = np.asarray(labels, np.float64).reshape(len(labels), -1)
        if values.shape[1] != self.number:
            raise DataError(
                f"{self.title} has {values.shape[1]} numbers a row, the prediction {self.number}: give as "
                "many, or task='classification' if these are classes"
            )
        if (strange := ~np.isfinite(values).all(axis=1)).any():
            raise DataError(f"{self.title} is NaN or infinite in {_rows(strange)}: fill or filter these")
        return values

    def answered(self, actual: Array, outputs: Array, weights: Floats) -> tuple[Add, Array]:
        """Turn the outputs for some rows into what is summed up.

        Args:
            actual: what :meth:`actual` has made.
            outputs: of shape (rows,), (rows, 1) or (rows, number).
            weights: of shape (rows,).

        Returns:
            What adds the rows of a mask to sums, and the predicted classes, flags or amounts.

        Raises:
            DataError: a score is NaN, or no probability.
        """
        values = np.asarray(outputs).reshape(len(outputs), -1)
        if values.dtype.kind == "f" and (strange := np.isnan(values).any(axis=1)).any():
            raise DataError(
                f"{_rows(strange)} are predicted as NaN: look for NaN among the features, or for a training "
                "that has diverged (its loss is NaN)"
            )
        predicted: Array
        probabilities: Floats | None = None
        if self.task == "regression":
            predicted = values.astype(np.float64)
            if (strange := ~np.isfinite(predicted).all(axis=1)).any():
                raise DataError(
                    f"{_rows(strange)} are predicted as infinite: look at what the model has learned"
                )
        elif self.task == "labels":
            predicted, probabilities = self._several(values)
        else:
            predicted, probabilities = self._one(values)

        def add(sums: Statistics, chosen: Any) -> Floats:
            if isinstance(sums, Amounts):
                return sums.add(actual[chosen], predicted[chosen], weights[chosen])
            scores = None if probabilities is None else probabilities[chosen]
            return sums.add(actual[chosen], predicted[chosen], scores, weights[chosen])

        return add, predicted

    def _one(self, outputs: Array) -> tuple[Array, Floats | None]:
        """The predicted class of each row, and the probability of each class."""
        if not self.scored:
            return self._numbers(outputs, "the prediction"), None
        values = outputs.astype(np.float64)
        if values.shape[1] == 1:
            chance = _sigmoid(values[:, 0]) if self.logits else values[:, 0]
            self._require_probabilities(chance)
            # As Keras' BinaryAccuracy.
            return (chance > self.threshold).astype(np.int64), np.stack([1 - chance, chance], axis=1)
        probabilities = _softmax(values) if self.logits else values
        self._require_probabilities(probabilities)
        # Of the outputs as they are: near ones may become equal.
        return outputs.argmax(axis=1), probabilities

    def _several(self, outputs: Array) -> tuple[Array, Floats | None]:
        if not self.scored:
            return self._flags(outputs, "the prediction"), None
        values = outputs.astype(np.float64)
        probabilities = _sigmoid(values) if self.logits else values
        self._require_probabilities(probabilities)
        return probabilities > self.threshold, probabilities

    def _require_probabilities(self, values: Floats) -> None:
        slack = 1e-4
        if values.size and not (values.min() >= -slack and values.max() <= 1 + slack):
            raise DataError(
                f"predictions go from {values.min():.4g} to {values.max():.4g}, and are no probabilities: "
                f"{self.advice}"
            )

    def _numbers(self, labels: Array, title: str = "") -> Array:
        """Numbers of classes, from numbers or from one-hot rows."""
        values, title = np.asarray(labels), title or self.title
        if values.ndim > 1 and values.shape[1] > 1:
            ones = self._flags(values, title)
            strange = ones.sum(axis=1) != 1
            if strange.any():
                raise DataError(
                    f"{title} has not exactly one 1 in {_rows(strange)}: a row of several labels is "
                    "reported with task='labels'"
                )
            return np.asarray(ones.argmax(axis=1))
        values = values.reshape(len(values))
        whole = values if values.dtype.kind in "iub" else np.rint(values)
        strange = ~((whole >= 0) & (whole < self.number) & (whole == values))
        if strange.any():
            advice = "number the classes so, or filter these rows"
            if (whole != values).any():
                advice = "task='regression' reports on amounts; else number the classes so"
            raise DataError(
                f"{title} is {_some(values[strange])} in {_rows(strange)}, and the model has outputs for the "
                f"classes 0 to {self.number - 1}: {advice}"
            )
        return whole.astype(np.int64)

    def _flags(self, labels: Array, title: str = "") -> Array:
        values = np.asarray(labels).reshape(len(labels), -1)
        strange = ((values != 0) & (values != 1)).any(axis=1)
        if strange.any():
            raise DataError(
                f"{title or self.title} is other than 0 and 1 in {_rows(strange)}: a label that holds is 1, "
                "one that does not is 0"
            )
        if values.shape[1] != self.number:
            raise DataError(
                f"{title or self.title} has {values.shape[1]} numbers a row, the prediction {self.number}: "
                "give as many"
            )
        return np.asarray(values == 1)


def _sigmoid(values: Floats) -> Floats:
    smaller = np.exp(-np.abs(values))
    return np.asarray(np.where(values >= 0, 1, smaller) / (1 + smaller))


def _softmax(values: Floats) -> Floats:
    powers = np.exp(values - values.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def _rows(strange: Any) -> str:
    number = int(strange.sum())
    return f"{number:,} of {len(strange):,} rows" if number > 1 else f"1 of {len(strange):,} rows"


def _some(values: Array) -> str:
    shown = [f"{one:g}" for one in np.unique(values)[:3].astype(float)]
    return ", ".join(shown) + (", …" if len(np.unique(values)) > len(shown) else "")
