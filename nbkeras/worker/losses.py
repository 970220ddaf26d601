"""Losses that give one worker's part of the loss of a whole batch."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any

import keras
from keras import ops
from keras.src import backend
from keras.src.losses.loss import reduce_weighted_values

from nbkeras.errors import ModelError
from nbkeras.worker.together import Together


class Loss:
    """A loss of ``compile`` that gives this worker's part.

    Attributes:
        seen: losses of the rows of the last call, or the loss where there is but one number.
        summed: whether a loss of one number is a sum over rows.
        counted: whether the divisor is added up in each step.
        judged: whether it gives parts; until then the whole, without a word to others.
    """

    def __init__(self, loss: Any, group: Together) -> None:
        self.name: str = loss.name
        self._loss, self._group = loss, group
        self.summed: bool = False
        self.counted: bool = False
        self.judged: bool = False
        self._plain = type(loss).__call__ is keras.Loss.__call__
        self.seen: Any = None
        self._rows: Any = None
        self._call = loss.call
        loss.call = self._remembered

    def _remembered(self, *args: Any) -> Any:
        self._rows = self._call(*args)
        return self._rows

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """This worker's part of the loss, as Keras calls it."""
        value = self._loss(y_true, y_pred, sample_weight)
        # Now: outputs that share a loss object remember in each other's calls.
        rows = self._rows
        alone = not self._plain or not len(rows.shape)
        self.seen = value if alone else rows
        masks = [backend.get_keras_mask(one) for one in (y_pred, rows) if one is not None]
        masks = [one for one in masks if one is not None]
        if alone:
            if masks:
                raise ModelError(
                    f"loss {self.name!r} is one number for all rows, and the model masks steps: "
                    "what it is divided by is not known; use --workers 1"
                )
            return value if self.summed else value * self._share(value)
        reduction = self._loss.reduction
        if reduction in (None, "none", "sum"):
            return value
        weighted = reduction == "mean_with_sample_weight"
        if not masks and not (weighted and sample_weight is not None):
            return value * self._share(value)
        self.counted = True
        if not self.judged:
            return value
        mask = functools.reduce(operator.and_, masks) if masks else None
        return value * ops.cast(self._quotient(rows, mask, sample_weight, weighted), value.dtype)

    def _share(self, value: Any) -> Any:
        return ops.cast(self._group.share, value.dtype)

    def _quotient(self, rows: Any, mask: Any, weights: Any, weighted: bool) -> Any:
        """This worker's divisor to that of all workers."""
        ones = ops.ones_like(rows)
        if weights is not None and not weighted:
            weights = ops.ones_like(weights)
        total, mean = (
            reduce_weighted_values(ones, weights, mask, reduction, self._loss.dtype)
            for reduction in ("sum", self._loss.reduction)
        )
        mine = ops.divide_no_nan(total, mean)
        mine = ops.where(self._group.share > 0, mine, ops.zeros_like(mine))
        return ops.divide_no_nan(mine, self._group.add_up(ops.reshape(mine, (1,)))[0])


def tracked(update: Callable[..., Any], group: Together) -> Callable[..., Any]:
    """How a tracker of losses takes a part: so that all workers' totals and counts add up to Keras' own."""

    def update_state(values: Any, sample_weight: Any = None) -> Any:
        if len(values.shape):
            # reduction=None: a loss for each row, which adds up as it is.
            return update(values, sample_weight)
        share = ops.cast(group.share, values.dtype)
        return update(ops.divide_no_nan(values, share), share if sample_weight is None else sample_weight)

    return update_state
