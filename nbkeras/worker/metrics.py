"""Weight the updates of metrics by this worker's share of the batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from nbkeras.worker.together import Together


def scalar(update: Callable[..., Any], group: Together) -> Callable[..., Any]:
    """How a mean takes a number that stands for a whole batch: by this worker's share of it."""

    def update_state(values: Any, sample_weight: Any = None) -> Any:
        if sample_weight is None and not len(ops.shape(values)):
            sample_weight = ops.cast(group.share, keras.config.floatx())
        return update(values, sample_weight)

    return update_state


def weighed(metric: Any, group: Together) -> Callable[..., Any]:
    """The update of a metric that takes a batch as one: what it adds counts by this worker's share."""
    update = metric.update_state

    def update_state(*args: Any, **kwargs: Any) -> None:
        before = [ops.copy(one.value) for one in metric.variables]
        update(*args, **kwargs)
        for variable, start in zip(metric.variables, before, strict=True):
            gained = ops.cast(variable.value - start, "float64") * ops.cast(group.share, "float64")
            variable.assign(start + ops.cast(gained, start.dtype))

    return update_state
