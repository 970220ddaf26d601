"""Classification: sums from which all figures of a model of classes follow."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nbkeras.metrics.scores import Floats
from nbkeras.metrics.sums import CELLS, Sums, calibration, log_losses

#: Classes up to which each has curves.
CURVES = 50
Numbers = npt.NDArray[np.int64]


class Classes(Sums):
    """Sums over rows of which each is of one class.

    Args:
        number: of classes.
        scored: whether there are probabilities; otherwise only what was predicted.
        cells: scores that are told apart at most.

    Attributes:
        questions: the classes that have curves: of two the second, of more each.
    """

    def __init__(self, number: int, *, scored: bool, cells: int) -> None:
        self.number: int = number
        self.scored: bool = scored
        self.questions: tuple[int, ...] = ()
        if scored and number <= CURVES:
            self.questions = (1,) if number == 2 else tuple(range(number))  # yes or no
        shapes: dict[str, tuple[int, ...]] = {"confusion": (number, number), "seen": (number,)}
        if scored:
            shapes |= {"ranks": (number,), "log loss": (), "brier": (), "confidence": (3, CELLS)}
            shapes |= {"calibration": (len(self.questions), 3, CELLS)}
        super().__init__(shapes, len(self.questions), cells)

    def add(
        self, actual: Numbers, predicted: Numbers, probabilities: Floats | None, weights: Floats
    ) -> Floats:
        """Add rows.

        Args:
            actual, predicted: numbers of classes, of shape (rows,).
            probabilities: of shape (rows, classes); None where there are none.
            weights: of shape (rows,).

        Returns:
            How wrong each row is: its log loss, or without probabilities 1 where it is wrong.
        """
        sums, places = self.sums, np.arange(len(actual))
        sums["rows"] += len(actual)
        sums["weight"] += weights.sum()
        # Also of rows whose weight is 0: their classes are there.
        sums["seen"] += sum(np.bincount(one, minlength=self.number) for one in (actual, predicted))
        pairs = np.bincount(actual * self.number + predicted, weights, self.number**2)
        sums["confusion"] += pairs.reshape(self.number, self.number)
        if probabilities is None:
            return np.asarray(actual != predicted, float)
        own = probabilities[places, actual]
        higher = (probabilities > own[:, np.newaxis]).sum(axis=1)
        sums["ranks"] += np.bincount(higher, weights, self.number)
        losses = log_losses(own)
        sums["log loss"] += weights @ losses
        squares = (probabilities**2).sum(axis=1) - 2 * own + 1
        sums["brier"] += weights @ squares
        surest = probabilities[places, predicted]
        sums["confidence"] += calibration(surest, (actual == predicted).astype(float), weights)
        for index, (question, scores) in enumerate(zip(self.questions, self.scores, strict=True)):
            score, positive = probabilities[:, question], actual == question
            scores.add(score, positive, weights)
            sums["calibration"][index] += calibration(score, positive.astype(float), weights)
        return losses
