"""What training changes in a model: read, packed to bytes, and put back."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from nbkeras.errors import ModelError


def variables(model: Any) -> list[Any]:
    """The variables that training changes: the model's own, then the optimizer's.

    Metric states are left out: they begin anew in each epoch.
    """
    metrics = {id(one) for one in model.metrics_variables}
    own = [one for one in model.variables if id(one) not in metrics]
    optimizer = getattr(model, "optimizer", None)
    return own + (list(optimizer.variables) if optimizer is not None else [])


def pack(these: list[Any]) -> bytes:
    """The values of variables, one after the other."""
    return b"".join(np.ascontiguousarray(one.value).tobytes() for one in these)


def size(these: list[Any]) -> int:
    """Bytes of the packed values."""
    return sum(_dtype(one).itemsize * int(np.prod(one.shape)) for one in these)


def assign(these: list[Any], data: bytes) -> None:
    """Put packed values back.

    Raises:
        ModelError: the bytes are not those of these variables; none is changed then.
    """
    if len(data) != size(these):
        raise ModelError(f"the workers returned {len(data)} bytes of weights, the model has {size(these)}")
    offset = 0
    for one in these:
        end = offset + size([one])
        one.assign(np.frombuffer(data[offset:end], dtype=_dtype(one)).reshape(one.shape))
        offset = end


def learning_rate(optimizer: Any) -> float | None:
    """The learning rate, or None where a schedule sets it by the step."""
    rate = optimizer._learning_rate  # noqa: SLF001  # the public one hides the schedule
    if isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
        return None
    return float(np.asarray(optimizer.learning_rate))


def plain(value: Any) -> Any:
    """A metric's result as a float, or as an array where it is one."""
    array = np.asarray(value)
    return float(array) if array.ndim == 0 else array


def _dtype(variable: Any) -> np.dtype[Any]:
    return np.asarray(variable.value).dtype
