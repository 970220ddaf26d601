"""Sums over rows: each part of the rows has its own, and they are added up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from nbkeras.metrics.scores import Floats, Scores

Arrays = Mapping[str, npt.NDArray[Any]]


class Sums:
    """Sums by name, and counts by score.

    Args:
        shapes: of each sum, by its name.
        questions: yes-or-no questions whose scores are counted.
        cells: scores that are told apart at most, over all questions.

    Attributes:
        sums: the sums; ``rows`` is the number of rows, of whatever weight, and ``weight`` what they weigh.
        scores: of each question.
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]], questions: int, cells: int) -> None:
        self._most = max(1024, cells // max(1, questions))
        self.sums: dict[str, Floats] = {name: np.zeros(shape) for name, shape in shapes.items()}
        self.sums |= {"rows": np.zeros(()), "weight": np.zeros(())}
        self.scores: list[Scores] = [Scores(self._most) for _ in range(questions)]

    @property
    def rows(self) -> int:
        """The number of rows."""
        return int(self.sums["rows"])

    @property
    def weight(self) -> float:
        """The sum of the weights of the rows."""
        return float(self.sums["weight"])

    def merge(self, packed: Arrays) -> None:
        """Add what another part has packed."""
        for name in self.sums:
            self.sums[name] += packed[name]
        for index, scores in enumerate(self.scores):
            prefix = f"scores {index} "
            own = {name.removeprefix(prefix): one for name, one in packed.items() if name.startswith(prefix)}
            scores.merge(Scores.unpacked(own, self._most))

    def packed(self) -> dict[str, npt.NDArray[Any]]:
        """All as arrays."""
        made: dict[str, npt.NDArray[Any]] = dict(self.sums)
        for index, scores in enumerate(self.scores):
            made |= {f"scores {index} {name}": one for name, one in scores.packed().items()}
        return made


#: Cells of a calibration curve.
CELLS = 15


def calibration(probabilities: Floats, happened: Floats, weights: Floats) -> Floats:
    """Sum up probabilities in cells of equal width, a value on an edge in the lower one.

    Args:
        probabilities: of shape (rows,).
        happened: 1 where it was so, 0 where not, of shape (rows,).
        weights: of shape (rows,).

    Returns:
        Of shape (3, cells): the weights, those times the probabilities, and of the rows where it was so.
    """
    cell = np.clip(np.ceil(probabilities * CELLS).astype(np.int64) - 1, 0, CELLS - 1)
    return np.stack(
        [np.bincount(cell, weights * one, CELLS) for one in (np.ones(len(cell)), probabilities, happened)]
    )


def log_losses(probabilities: Floats) -> Floats:
    """Return the log loss for each probability of what was so, none of which counts as impossible."""
    smallest = np.finfo(np.float64).eps
    losses: Floats = -np.log(np.clip(probabilities, smallest, 1 - smallest))
    return losses
