"""Mean and variance over the rows of all workers, for layers that normalise by them."""

from __future__ import annotations

from typing import Any

from keras import ops

from nbkeras.worker.together import Together


def moments(layer: Any, group: Together, inputs: Any, mask: Any) -> tuple[Any, Any]:
    """Mean and variance over the rows of all workers, for BatchNormalization(synchronized=True)."""
    axes = layer._reduction_axes  # noqa: SLF001
    counted = ops.ones_like(inputs) if mask is None else ops.broadcast_to(mask[..., None], ops.shape(inputs))
    counted = ops.cast(counted, "bool") & (group.share > 0)
    # Replaced where they do not count, never multiplied: they may be NaN.
    values = ops.where(counted, inputs, ops.zeros_like(inputs))
    sums = [ops.sum(one, axes) for one in (values, ops.square(values), ops.cast(counted, inputs.dtype))]
    total, squares, number = ops.split(group.share_sum(ops.concatenate(sums)), 3)
    mean = ops.divide_no_nan(total, number)
    return mean, ops.maximum(ops.divide_no_nan(squares, number) - ops.square(mean), 0.0)
