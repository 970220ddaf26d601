"""Settings: the settings of a training by name, ready for a table and for JSON."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

from nbkeras.model.digits import shortest
from nbkeras.plan import Plan
from nbkeras.schema import Schema

#: Keys of Keras' configurations that are generated names, or are shown elsewhere.
_APART = ("name", "dtype", "learning_rate", "inner_optimizer", "fn")


def of(
    model: Any,
    plan: Plan,
    schema: Schema | None = None,
    callbacks: Sequence[Any] = (),
    validation_split: float = 0.0,
) -> dict[str, Any]:
    """Collect the settings of a training: numbers, words, and lists of them.

    Most settings with their default value are omitted, so that two runs differ only in
    what the user has changed.

    Args:
        model: compiled.
        plan: of the training.
        schema: of its rows, where its columns have names.
        callbacks: of the user.
        validation_split: as in ``fit``.

    Example:
        >>> import keras
        >>> from nbkeras.model import settings
        >>> from nbkeras.plan import Plan
        >>> from nbkeras.schema import Schema
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "mse")
        >>> chosen = settings.of(model, Plan(Schema(), epochs=5, seed=1))
        >>> [chosen[name] for name in ("epochs", "batch_size", "optimizer", "learning_rate", "momentum")]
        [5, 32, 'SGD', 0.1, 0.9]
    """
    chosen: dict[str, Any] = {
        "workers": plan.workers,
        "epochs": plan.epochs,
        "batch_size": plan.batch_size or 32,
        **_of_optimizer(getattr(model, "optimizer", None)),
        "loss": described(getattr(model, "loss", None)),
        "metrics": _metrics(model),
        "precision": _precision(model),
        "backend": plan.backend,
        "sync_every": plan.sync_every,
    }
    if schema is not None:
        chosen["label"] = list(schema.targets)
        chosen["features"] = list(schema.columns)
    for name in ("steps_per_epoch", "validation_steps", "class_weight", "gpus", "initial_epoch"):
        if value := getattr(plan, name):
            chosen[name] = described(value)
    if callbacks:
        chosen["callbacks"] = [described(one) for one in callbacks]
    if validation_split:
        chosen["validation_split"] = float(validation_split)
    if plan.seed is None:
        chosen["shuffle"] = False
    steps = getattr(model, "steps_per_execution", 1)
    if isinstance(steps, int) and steps > 1:
        chosen["steps_per_execution"] = steps
    return chosen


def weights(model: Any) -> int:
    """Count the numbers in a model's weights: 0 before it is built."""
    return sum(math.prod(one.shape) for one in model.weights) if model.built else 0


def described(value: Any) -> Any:
    """Describe a value by numbers and words; an object by its class and its non-default arguments.

    Example:
        >>> import keras
        >>> described(keras.losses.BinaryCrossentropy(from_logits=True))
        'BinaryCrossentropy(from_logits=True)'
        >>> described([len, 2.5, None])
        ['len', 2.5, None]
    """
    if isinstance(value, dict):
        return {str(key): described(one) for key, one in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [described(one) for one in value]
    if hasattr(value, "tolist") and getattr(value, "ndim", 0) == 0:
        value = value.tolist()
    if isinstance(value, float):
        value = shortest(value) if math.isfinite(value) else str(value)  # JSON has no NaN
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if hasattr(value, "get_config"):
        arguments = ", ".join(f"{name}={described(one)!r}" for name, one in _unusual(value).items())
        return f"{type(value).__name__}({arguments})" if arguments else type(value).__name__
    return str(getattr(value, "__name__", type(value).__name__))


def same_loss(one: Any, other: Any) -> bool:
    """Whether two descriptions mean the same loss, which Keras knows under several names.

    Example:
        >>> from nbkeras.model import settings
        >>> settings.same_loss("mse", "MeanSquaredError"), settings.same_loss("mse", "mae")
        (True, False)
    """
    return bool(_function(one) == _function(other))


def _function(loss: Any) -> Any:
    """Return the function that Keras uses for a loss; an unknown loss is returned as it is."""
    import keras

    if isinstance(loss, dict):
        return {name: _function(one) for name, one in loss.items()}
    if isinstance(loss, list):
        return [_function(one) for one in loss]
    try:
        found = keras.losses.get(loss)
    except Exception:  # noqa: BLE001  # a custom loss, or one with arguments
        return loss
    return getattr(found, "fn", found if inspect.isfunction(found) else loss)


def unwrapped(optimizer: Any) -> Any:
    """Return an optimizer without the one that mixed precision wraps around it."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def arguments(optimizer: Any) -> list[str]:
    """List the names of an optimizer's arguments except its learning rate; none without an optimizer.

    Example:
        >>> import keras
        >>> "momentum" in arguments(keras.optimizers.SGD())
        True
    """
    if optimizer is None:
        return []
    try:
        config = unwrapped(optimizer).get_config()
    except Exception:  # noqa: BLE001  # a custom class
        return []
    return [name for name in config if name not in _APART]


def _of_optimizer(optimizer: Any) -> dict[str, Any]:
    optimizer = unwrapped(optimizer)
    if optimizer is None:
        return {"optimizer": None}
    rate = getattr(optimizer, "_learning_rate", None)  # the public one hides a schedule
    if hasattr(rate, "value"):
        rate = _number(lambda: float(optimizer.learning_rate))
    chosen = {"optimizer": type(optimizer).__name__, "learning_rate": described(rate)}
    return chosen | {name: described(value) for name, value in _unusual(optimizer).items()}


def _metrics(model: Any) -> list[Any]:
    compiled = getattr(getattr(model, "_compile_config", None), "config", {})
    found = [one for key in ("metrics", "weighted_metrics") for one in _flat(described(compiled.get(key)))]
    return list(dict.fromkeys(map(str, found)))


def _flat(value: Any) -> list[Any]:
    if value is None:
        return []
    if isinstance(value, dict):
        value = list(value.values())
    return [leaf for one in value for leaf in _flat(one)] if isinstance(value, list) else [value]


def _precision(model: Any) -> str:
    policy = getattr(model, "dtype_policy", None)
    return str(getattr(policy, "name", ""))


def _unusual(value: Any) -> dict[str, Any]:
    """Return the arguments of a Keras object that differ from their defaults."""
    try:
        # Some losses leave arguments out of their configuration.
        config = getattr(value, "_fn_kwargs", {}) | value.get_config()
        usual = {
            name: one.default
            for kind in reversed(type(value).__mro__)
            if "__init__" in vars(kind)
            for name, one in inspect.signature(vars(kind)["__init__"]).parameters.items()
        }
    except Exception:  # noqa: BLE001  # a custom class: its name is enough
        return {}
    return {
        name: one
        for name, one in config.items()
        if name in usual and name not in _APART and one is not None and not _same(one, usual[name])
    }


def _same(one: Any, other: Any) -> bool:
    try:
        return bool(one == other)
    except ValueError:  # arrays
        return False


def _number(read: Callable[[], float]) -> float | None:
    try:
        return read()
    except Exception:  # noqa: BLE001  # a variable that cannot be read must not end a training
        return None
