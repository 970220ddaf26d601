"""Figures of a confusion matrix, as scikit-learn defines them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nbkeras.metrics.scores import Floats


def ratio(part: Any, whole: Any) -> Floats:
    """Divide; 0 where nothing is divided by, as scikit-learn has it."""
    part, whole = np.broadcast_arrays(np.asarray(part, float), np.asarray(whole, float))
    divided: Floats = np.divide(part, whole, out=np.zeros(part.shape), where=whole != 0)
    return divided


def precision_recall_f1(true: Floats, predicted: Floats, actual: Floats) -> tuple[Floats, Floats, Floats]:
    """Return precision, recall and F1 of each class or label.

    Args:
        true: weight of the rows that are rightly said to be of it.
        predicted: that are said to be of it.
        actual: that are of it.
    """
    return ratio(true, predicted), ratio(true, actual), ratio(2 * true, predicted + actual)


def kappa(confusion: Floats) -> float:
    """Return Cohen's kappa; NaN where all rows are of one class and are said to be."""
    total, expected = confusion.sum(), confusion.sum(axis=0) @ confusion.sum(axis=1) / confusion.sum()
    if np.count_nonzero(confusion) == 1 and np.trace(confusion):
        return math.nan
    return float((np.trace(confusion) - expected) / (total - expected))


def matthews(confusion: Floats) -> float:
    """Return Matthews' correlation coefficient; 0 where all rows are of one class, or are said to be.

    J. Gorodkin, "Comparing two K-category assignments by a K-category correlation coefficient", 2004.
    """
    actual, predicted, total = confusion.sum(axis=1), confusion.sum(axis=0), confusion.sum()
    shared = np.trace(confusion) * total - actual @ predicted
    spread = (total**2 - predicted @ predicted) * (total**2 - actual @ actual)
    return float(shared / math.sqrt(spread)) if spread > 0 else 0.0


def balanced_accuracy(confusion: Floats) -> float:
    """Return the mean of the recalls of the classes that there are."""
    actual = confusion.sum(axis=1)
    return float(ratio(np.diag(confusion), actual)[actual > 0].mean())


def mistaken(confusion: Floats, most: int) -> list[tuple[int, int, float]]:
    """Return the pairs of classes that are mistaken for each other most, as actual, predicted and weight.

    Args:
        confusion: of shape (classes, classes).
        most: pairs, of which those that never happened are left out.

    Example:
        >>> mistaken(np.array([[5, 2], [0, 7]]), most=3)
        [(0, 1, 2.0)]
    """
    apart = np.array(confusion, float)
    np.fill_diagonal(apart, 0)
    chosen = np.argsort(-apart, axis=None, kind="stable")[:most]
    rows, columns = np.unravel_index(chosen, apart.shape)
    found = zip(rows.tolist(), columns.tolist(), apart[rows, columns].tolist(), strict=True)
    return [one for one in found if one[2] > 0]
