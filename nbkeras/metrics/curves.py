"""Curves of a yes-or-no question, and the areas under them with the error that they can have."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from nbkeras.metrics.scores import Floats, Scores


@dataclass(frozen=True)
class Roc:
    """The receiver operating characteristic, as ``sklearn.metrics.roc_curve`` gives it with all points.

    Attributes:
        false_positive_rate, true_positive_rate: from 0 to 1.
        thresholds: falling; the first is infinite.
    """

    false_positive_rate: Floats
    true_positive_rate: Floats
    thresholds: Floats


@dataclass(frozen=True)
class PrecisionRecall:
    """Precision against recall, as ``sklearn.metrics.precision_recall_curve`` gives them.

    Attributes:
        precision, recall: with rising thresholds; the last point is (1, 0) and has none.
        thresholds: rising.
    """

    precision: Floats
    recall: Floats
    thresholds: Floats


@dataclass(frozen=True)
class Area:
    """The area under a curve.

    Attributes:
        value: NaN where all rows have one answer.
        error: how far from it the exact value can be; 0 where each distinct score was counted.
    """

    value: float
    error: float = 0.0

    def __str__(self) -> str:
        return f"{self.value:.4f}" + (f" ± {self.error:.1g}" if self.error else "")


def roc(scores: Scores) -> Roc:
    """Return the curve; NaN where all rows have one answer.

    Example:
        >>> found = Scores(most=100)
        >>> found.add(np.array([0.9, 0.2, 0.9]), np.array([True, False, False]), np.ones(3))
        >>> roc(found).true_positive_rate.tolist()
        [0.0, 1.0, 1.0]
    """
    thresholds, positive, negative = scores.cells()
    with np.errstate(invalid="ignore"):
        true, false = (np.concatenate([[0.0], np.cumsum(one)]) / one.sum() for one in (positive, negative))
    return Roc(false, true, np.concatenate([[math.inf], thresholds]))


def precision_recall(scores: Scores) -> PrecisionRecall:
    """Return the curve."""
    thresholds, positive, negative = scores.cells()
    true, false = np.cumsum(positive), np.cumsum(negative)
    with np.errstate(invalid="ignore"):
        precision, recall = true / (true + false), true / positive.sum()
    return PrecisionRecall(
        np.append(precision[::-1], 1.0), np.append(recall[::-1], 0.0), thresholds[::-1].copy()
    )


def roc_auc(scores: Scores) -> Area:
    """Return the area under the ROC curve; pairs of rows within a cell count one half."""
    _, positive, negative = scores.cells()
    pairs = positive.sum() * negative.sum()
    if not pairs:
        return Area(math.nan)
    above = np.cumsum(positive) - positive / 2
    error = 0.0 if scores.exact else float((positive * negative).sum() / (2 * pairs))
    return Area(float((negative * above).sum() / pairs), error)


def average_precision(scores: Scores) -> Area:
    """Return the average precision, the mean of precisions weighted by the rise of recall.

    Within a cell of several scores it lies between that with all negative rows first, and with all positive
    ones first.
    """
    _, positive, negative = scores.cells()
    total = positive.sum()
    if not total:
        return Area(math.nan)
    true, false = np.cumsum(positive), np.cumsum(negative)
    value = float((positive * true / np.maximum(true + false, np.finfo(float).tiny)).sum() / total)
    if scores.exact:
        return Area(value)
    before = true - positive
    low = np.divide(before, before + false, out=np.ones_like(true), where=before + false > 0)
    high = true / np.maximum(true + false - negative, np.finfo(float).tiny)
    ends = [float((positive * one).sum() / total) for one in (low, np.minimum(high, 1.0))]
    return Area(value, max(value - ends[0], ends[1] - value))
