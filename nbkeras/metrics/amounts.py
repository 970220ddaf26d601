"""Regression: sums from which all figures of predicted amounts follow, and a sample of the rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nbkeras.metrics.scores import Floats
from nbkeras.metrics.sums import Arrays, Sums

#: Rows of the sample.
SAMPLE = 2_000


class Amounts(Sums):
    """Sums over rows of one or more amounts.

    Means and spreads are merged pairwise: T. Chan, G. Golub and R. LeVeque, "Updating formulae and a pairwise
    algorithm for computing sample variances", 1979.

    Args:
        number: of amounts a row.
        seed: of the sample, another one for each part of the rows.
    """

    def __init__(self, number: int, seed: int = 0) -> None:
        shapes: dict[str, tuple[int, ...]] = dict.fromkeys(("absolute", "squares"), (number,))
        super().__init__(shapes, 0, 1)
        self.number = number
        #: Mean and sum of squares around it, of the amounts and of the errors.
        self.moments: Floats = np.zeros((4, number))
        self.largest: Floats = np.zeros(number)
        self._random = np.random.default_rng(seed)
        #: The rows with the smallest of random numbers, which are drawn for each.
        self._sample = np.empty((0, 1 + 2 * number))

    @property
    def sample(self) -> tuple[Floats, Floats]:
        """Rows drawn at random, each as likely: the amounts, and what was predicted, each (rows, amounts)."""
        return self._sample[:, 1 : self.number + 1], self._sample[:, self.number + 1 :]

    def add(self, actual: Floats, predicted: Floats, weights: Floats) -> Floats:
        """Add rows.

        Args:
            actual, predicted: of shape (rows, amounts).
            weights: of shape (rows,).

        Returns:
            How wrong each row is: the mean of its absolute errors.
        """
        errors = predicted - actual
        self.sums["rows"] += len(actual)
        self.sums["absolute"] += weights @ np.abs(errors)
        self.sums["squares"] += weights @ errors**2
        self._spread(
            float(weights.sum()), np.concatenate([_moments(one, weights) for one in (actual, errors)])
        )
        self.largest = np.maximum(self.largest, np.abs(errors).max(axis=0, initial=0.0))
        draws = self._random.random((len(actual), 1))
        self._draw(np.concatenate([draws, actual, predicted], axis=1))
        return np.asarray(np.abs(errors).mean(axis=1))

    def merge(self, packed: Arrays) -> None:
        """Add what another part has packed."""
        own = self.sums["weight"].copy()
        super().merge(packed)
        self.sums["weight"] = own
        self._spread(float(packed["weight"]), packed["moments"])
        self.largest = np.maximum(self.largest, packed["largest"])
        self._draw(packed["sample"])

    def packed(self) -> dict[str, npt.NDArray[Any]]:
        """All as arrays."""
        rest = {"moments": self.moments, "largest": self.largest, "sample": self._sample}
        return {**super().packed(), **rest}

    def _spread(self, weight: float, moments: Floats) -> None:
        """Merge means and spreads of rows of that weight."""
        before = float(self.sums["weight"])
        if not weight:
            return
        self.sums["weight"] += weight
        part = weight / (before + weight)
        for mean in (0, 2):
            apart = moments[mean] - self.moments[mean]
            self.moments[mean + 1] += moments[mean + 1] + apart**2 * before * part
            self.moments[mean] += apart * part

    def _draw(self, rows: Floats) -> None:
        self._sample = np.concatenate([self._sample, rows])
        if len(self._sample) > SAMPLE:
            self._sample = self._sample[np.argpartition(self._sample[:, 0], SAMPLE)[:SAMPLE]]


def _moments(values: Floats, weights: Floats) -> Floats:
    """The mean of each column, and the sum of squares around it."""
    total = weights.sum()
    if not total:
        return np.zeros((2, values.shape[1]))
    mean = weights @ values / total
    return np.stack([mean, weights @ (values - mean) ** 2])
