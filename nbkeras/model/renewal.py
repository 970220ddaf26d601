"""Renewal: a model as if it had never been trained, for a training whose result is compared with others'."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras

from nbkeras.errors import ModelError
from nbkeras.model import pickling


def is_trained(model: Any) -> bool:
    """Whether an optimizer has changed the weights of a compiled model."""
    optimizer = getattr(model, "optimizer", None)
    return optimizer is not None and int(keras.ops.convert_to_numpy(optimizer.iterations)) > 0


def copy(model: Any) -> Any:
    """A copy of a compiled model, with its weights."""
    return pickling.loads(pickling.dumps(model, unlearned=True))


def renewed(model: Any) -> Any:
    """A copy of a compiled model whose weights are drawn again, and whose optimizer has not stepped yet.

    Layers that are frozen keep their weights, and layers that learn from data by ``adapt`` what they have
    learned: neither comes from the training.

    Args:
        model: built and compiled.

    Raises:
        ModelError: Keras cannot make its layers again.

    Example:
        >>> import keras
        >>> from nbkeras.model.renewal import renewed
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> renewed(model).get_weights()[0].shape
        (2, 1)
    """
    own = copy(model)
    try:
        drawn = keras.models.clone_model(model)
        if model.built and not drawn.built:
            drawn.build_from_config(model.get_build_config())
        pairs = list(zip(_layers(own), _layers(drawn), strict=True))
        for old, new in pairs:
            if old.trainable and not hasattr(old, "adapt"):
                _take(old, new)
        own.optimizer = type(own.optimizer).from_config(own.optimizer.get_config())
    except Exception as error:  # whatever a layer of the user's raises
        raise ModelError(
            f"{model.name} is trained, and Keras cannot make it again ({error}): give a function that builds "
            "and compiles it"
        ) from error
    return own


def _layers(model: Any) -> Iterator[Any]:
    yield from model._flatten_layers()  # noqa: SLF001  # nested ones too


def _take(old: Any, new: Any) -> None:
    """Give a layer the values of another one, of its own variables alone."""
    for kind in ("_trainable_variables", "_non_trainable_variables"):
        for ours, theirs in zip(getattr(old, kind), getattr(new, kind), strict=True):
            ours.assign(keras.ops.convert_to_numpy(theirs))
