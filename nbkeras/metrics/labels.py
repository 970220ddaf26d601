"""Several labels a row, each of which may hold or not: sums from which all figures follow."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nbkeras.metrics.classes import CURVES
from nbkeras.metrics.confusion import precision_recall_f1
from nbkeras.metrics.scores import Floats
from nbkeras.metrics.sums import CELLS, Sums, calibration, log_losses

Flags = npt.NDArray[np.bool_]


class Labels(Sums):
    """Sums over rows that have any number of labels.

    Args:
        number: of labels.
        scored: whether there are probabilities.
        cells: scores that are told apart at most.

    Attributes:
        questions: the labels that have curves.
    """

    def __init__(self, number: int, *, scored: bool, cells: int) -> None:
        self.number: int = number
        self.scored: bool = scored
        self.questions: tuple[int, ...] = tuple(range(number)) if scored and number <= CURVES else ()
        shapes: dict[str, tuple[int, ...]] = {"true": (number,), "predicted": (number,), "actual": (number,)}
        shapes |= {"whole": (), "samples": (3,), "wrong": ()}
        if scored:
            shapes |= {"log loss": (), "calibration": (len(self.questions), 3, CELLS)}
        super().__init__(shapes, len(self.questions), cells)

    def add(self, actual: Flags, predicted: Flags, probabilities: Floats | None, weights: Floats) -> Floats:
        """Add rows.

        Args:
            actual, predicted: of shape (rows, labels).
            probabilities: of shape (rows, labels); None where there are none.
            weights: of shape (rows,).

        Returns:
            How wrong each row is: the mean log loss of its labels, or the part of them that is wrong.
        """
        sums, both, wrong = self.sums, actual & predicted, actual != predicted
        sums["rows"] += len(actual)
        sums["weight"] += weights.sum()
        for name, flags in (("true", both), ("predicted", predicted), ("actual", actual)):
            sums[name] += weights @ flags
        sums["whole"] += weights @ ~wrong.any(axis=1)
        sums["wrong"] += weights @ wrong.mean(axis=1)
        of_rows = precision_recall_f1(both.sum(axis=1), predicted.sum(axis=1), actual.sum(axis=1))
        sums["samples"] += [weights @ one for one in of_rows]
        if probabilities is None:
            return np.asarray(wrong.mean(axis=1))
        losses: Floats = log_losses(np.where(actual, probabilities, 1 - probabilities)).mean(axis=1)
        sums["log loss"] += weights @ losses
        for index, (question, scores) in enumerate(zip(self.questions, self.scores, strict=True)):
            score, positive = probabilities[:, question], actual[:, question]
            scores.add(score, positive, weights)
            sums["calibration"][index] += calibration(score, positive.astype(float), weights)
        return losses
