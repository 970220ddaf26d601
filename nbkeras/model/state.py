"""State: read what training changes in a model, pack it into bytes, and put it back."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from nbkeras.errors import ModelError
from nbkeras.model.digits import shortest
from nbkeras.model.settings import unwrapped

Vector = npt.NDArray[np.float64]


def variables(model: Any) -> list[Any]:
    """Return the variables that training changes: the model's own, then the optimizers'.

    States of metrics are not included: each epoch resets them.
    """
    return own(model) + [variable for optimizer in optimizers(model) for variable in optimizer.variables]


def built(model: Any) -> list[list[int] | None]:
    """Return, for each optimizer, the places of the variables that it was built for; None if not built."""
    places = {id(one): index for index, one in enumerate(own(model))}
    return [
        [places[id(one)] for one in optimizer._trainable_variables] if optimizer.built else None  # noqa: SLF001
        for optimizer in optimizers(model)
    ]


def has_built_layers(model: Any) -> bool:
    """Whether all layers have their variables."""
    return all(one.built for one in model._flatten_layers())  # noqa: SLF001  # public `layers` are not all


def unbuilt(model: Any) -> tuple[bool, bool]:
    """Return whether loss and metrics of ``compile`` wait for the first batch, which gives them their states.

    With several outputs the loss has a state for each output.
    """
    loss, metrics = (getattr(model, name, None) for name in ("_compile_loss", "_compile_metrics"))
    return loss is not None and not loss.built, metrics is not None and not metrics.built


def build(model: Any, places: list[list[int] | None]) -> None:
    """Build the optimizers as in another process, where a custom training step has built them."""
    these = own(model)
    for optimizer, indices in zip(optimizers(model), places, strict=True):
        if indices is not None and not optimizer.built:
            optimizer.build([these[index] for index in indices])


def own(model: Any) -> list[Any]:
    """Return the model's own variables that training changes, without those of its optimizers."""
    metrics = {id(one) for one in model.metrics_variables}
    found = [one for one in model.variables if id(one) not in metrics]
    return found + states(model)


def states(model: Any) -> list[Any]:
    """Return what stateful RNNs carry from batch to batch, which Keras does not count among the variables."""
    layers = model._flatten_layers()  # noqa: SLF001  # public `layers` does not look into layers
    found = [getattr(one, "states", None) for one in layers if getattr(one, "stateful", False) is True]
    return [one for one in keras.tree.flatten(found) if isinstance(one, keras.Variable)]


@contextlib.contextmanager
def restored(model: Any) -> Iterator[None]:
    """Put what layers keep besides their weights, such as a count of batches, back to what it was before."""
    layers = model._flatten_layers()  # noqa: SLF001  # public `layers` does not look into layers
    kept = [one for layer in layers for one in layer._non_trainable_variables] + states(model)  # noqa: SLF001
    before = [value(one).copy() for one in kept]
    try:
        yield
    finally:
        for one, old in zip(kept, before, strict=True):
            one.assign(old)


def places(model: Any) -> list[int]:
    """Return the places of the model's weights among its own variables, which include seeds."""
    known = {id(one): index for index, one in enumerate(own(model))}
    return [known[id(one)] for one in model.weights if id(one) in known]


def optimizers(model: Any) -> list[Any]:
    """Return the optimizer of ``compile``, then other optimizers that the model or its layers hold.

    Example:
        >>> import keras
        >>> from nbkeras.model import state
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> model.compile("adam", "mse")
        >>> model.second = keras.optimizers.SGD()
        >>> [type(one).__name__ for one in state.optimizers(model)]
        ['Adam', 'SGD']
    """
    held = [getattr(model, "optimizer", None)]
    for layer in model._flatten_layers():  # noqa: SLF001  # public `layers` does not look into layers
        for one in vars(layer).values():
            # By +=, a tuple that TensorFlow has wrapped would be added to the list, and fail.
            held.extend(
                one.values() if isinstance(one, dict) else one if isinstance(one, (list, tuple)) else [one]
            )
    found = {id(one): one for one in held if isinstance(one, keras.optimizers.Optimizer)}
    inner = {id(getattr(one, "inner_optimizer", None)) for one in found.values()}
    return [one for key, one in found.items() if key not in inner]


def statistics(model: Any) -> list[Any]:
    """Return the statistics that layers keep of their inputs, such as moving means; no frozen weights."""
    found = {
        id(one): one
        for layer in model._flatten_layers()  # noqa: SLF001  # public `layers` does not look into layers
        for one in layer._non_trainable_variables  # noqa: SLF001  # the public ones include frozen weights
        if "float" in str(one.dtype)
    }
    return list(found.values())


def moments(model: Any) -> list[Any]:
    """Return the moments that optimizers keep of the gradients."""
    kept = [one for optimizer in optimizers(model) for one in optimizer.variables]
    return [one for one in kept if "float" in str(one.dtype) and one.name != "learning_rate"]


def value(variable: Any) -> npt.NDArray[Any]:
    """Return a copy of a variable's value."""
    array: npt.NDArray[Any] = keras.ops.convert_to_numpy(variable.value)
    return array


def synchronise(model: Any) -> None:
    """Write the state of training into the model's variables, within an epoch.

    On JAX, Keras keeps this state apart until the epoch ends. After this call it reads
    the variables again, also if they were changed.
    """
    if hasattr(model, "jax_state_sync"):
        model.jax_state_sync()


def pack(these: list[Any]) -> bytes:
    """Pack the values of variables, one after the other."""
    # A view as bytes works for any type; join copies each value once.
    arrays = (np.ascontiguousarray(value(one), dtype=_dtype(one)) for one in these)
    return b"".join(one.reshape(-1).view(np.uint8).data for one in arrays)


def size(these: list[Any]) -> int:
    """Return the number of bytes of the packed values."""
    return sum(_dtype(one).itemsize * int(np.prod(one.shape)) for one in these)


def layout(these: list[Any]) -> list[tuple[str, tuple[int, ...]]]:
    """Return type and shape of each variable."""
    return [(_dtype(one).name, tuple(int(size) for size in one.shape)) for one in these]


def bound(model: Any) -> int:
    """Return an upper bound of the bytes of the packed variables, also before optimizers are built."""
    waiting = sum(not one.built for one in optimizers(model))
    # No optimizer of Keras stores more than five numbers for each weight.
    return size(variables(model)) + waiting * (5 * size(own(model)) + 1024)


def assign(these: list[Any], data: bytes) -> None:
    """Put packed values back.

    Raises:
        ModelError: the number of bytes is not that of these variables; then no variable is changed.
    """
    if len(data) != size(these):
        raise ModelError(
            f"the workers returned {len(data)} bytes of weights, the model has {size(these)}: "
            "do not change the model while it trains"
        )
    offset, view = 0, memoryview(data)
    for one in these:
        end = offset + size([one])
        array = np.frombuffer(view[offset:end], dtype=_dtype(one)).reshape(one.shape)
        one.assign(array.astype(one.dtype))
        offset = end


def learning_rate(optimizer: Any) -> float | None:
    """Return the learning rate, or None where a schedule sets it for each step."""
    optimizer = unwrapped(optimizer)
    rate = optimizer._learning_rate  # noqa: SLF001  # the public one hides the schedule
    if isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
        return None
    return float(keras.ops.convert_to_numpy(optimizer.learning_rate))


def settable(model: Any) -> list[tuple[Any, str]]:
    """Return what a callback may set of each optimizer: the optimizer and the name of a number.

    Example:
        >>> import keras
        >>> from nbkeras.model import state
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> model.compile(keras.optimizers.SGD(0.5, momentum=0.25), "mse")
        >>> {"learning_rate", "momentum"} <= {name for _, name in state.settable(model)}
        True
    """
    return [
        (optimizer, name)
        for optimizer in map(unwrapped, optimizers(model))
        for name in ("learning_rate", *vars(optimizer))
        if name == "learning_rate" or (type(vars(optimizer)[name]) is float and not name.startswith("_"))
    ]


def setting(optimizer: Any, name: str) -> float:
    """Return a number of an optimizer; NaN where a schedule sets it, or where it is not a number."""
    value = learning_rate(optimizer) if name == "learning_rate" else getattr(optimizer, name)
    return float(value) if isinstance(value, (int, float)) else math.nan


def steps(optimizer: Any) -> int:
    """Count the steps that an optimizer has taken."""
    optimizer = unwrapped(optimizer)
    return int(value(optimizer._iterations))  # noqa: SLF001  # the public ones are updates


def rates(optimizer: Any) -> Callable[[int], float | None]:
    """Return a function that gives the learning rate after a number of further steps.

    A schedule depends on the steps. A rate that is a number is read now only: on JAX,
    Keras keeps it apart while it trains.

    Example:
        >>> import keras
        >>> from nbkeras.model import state
        >>> halves = keras.optimizers.schedules.ExponentialDecay(0.1, decay_steps=2, decay_rate=0.25)
        >>> rate = state.rates(keras.optimizers.SGD(halves))
        >>> rate(0), rate(1), state.rates(keras.optimizers.SGD(0.001))(5)
        (0.1, 0.05, 0.001)
    """
    optimizer = unwrapped(optimizer)
    rate = optimizer._learning_rate  # noqa: SLF001  # the public one hides the schedule
    if not isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
        now = shortest(keras.ops.convert_to_numpy(optimizer.learning_rate))
        return lambda _: now
    begun = steps(optimizer)
    return lambda more: shortest(keras.ops.convert_to_numpy(rate(begun + more)))


def plain(value: Any) -> Any:
    """Convert a metric's result into a float, or into an array if it is one."""
    array = np.asarray(keras.ops.convert_to_numpy(value))
    return float(array) if array.ndim == 0 else array


def _dtype(variable: Any) -> np.dtype[Any]:
    """Return the type in which a variable's values are sent: the same on every backend."""
    # Backends have different types for seeds, see model/pickling.py.
    return np.dtype("int64" if variable.path.endswith("seed_generator_state") else variable.dtype)
