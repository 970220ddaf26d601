"""Renewal: a model as if it had never been trained, for a training whose result is compared with others'."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from nbkeras.errors import ModelError
from nbkeras.model import pickling

#: Where a layer keeps its own variables, not those of layers within it.
_KINDS = ("_trainable_variables", "_non_trainable_variables")


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
        for old, new in _pairs(own, model):
            _take(old, new)
        own.optimizer = type(own.optimizer).from_config(own.optimizer.get_config())
    except Exception as error:  # whatever a layer of the user's raises
        raise ModelError(
            f"{model.name} is trained, and Keras cannot make it again ({error}): give a function that builds "
            "and compiles it"
        ) from error
    return own


def has_moved(model: Any) -> bool | None:
    """Whether a weight that always begins with the same number, such as a bias, has another one now.

    A model that was compiled again, or whose weights were loaded, has no other sign that it has learned.

    Args:
        model: any; one that is not built has no weights yet.

    Returns:
        Whether; None where Keras cannot make the model again, or where no weight tells.

    Example:
        >>> import keras, numpy as np
        >>> from nbkeras.model.renewal import has_moved
        >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        >>> before = has_moved(model)
        >>> _ = model.layers[0].bias.assign([0.5])
        >>> before, has_moved(model)
        (False, True)
    """
    if not model.built:
        return False
    told = None
    try:
        for (old, one), (_, other) in zip(_pairs(model, model), _pairs(model, model), strict=True):
            for held, first, second in zip(*map(_numbers, (old, one, other)), strict=True):
                if np.array_equal(first, second):
                    told = bool(told) or not np.array_equal(held, first)
    except Exception:  # noqa: BLE001  # whatever a layer of the user's raises
        return None
    return told


def _pairs(own: Any, model: Any) -> list[tuple[Any, Any]]:
    """The layers of a model that learn, each with one of its kind that has new weights."""
    drawn = keras.models.clone_model(model)
    if model.built and not drawn.built:
        drawn.build_from_config(model.get_build_config())
    pairs = zip(_layers(own), _layers(drawn), strict=True)
    return [(old, new) for old, new in pairs if old.trainable and not hasattr(old, "adapt")]


def _numbers(layer: Any) -> list[Any]:
    """What the variables of a layer hold, but for seeds."""
    variables = (one for kind in _KINDS for one in getattr(layer, kind))
    return [keras.ops.convert_to_numpy(one) for one in variables]


def _layers(model: Any) -> Iterator[Any]:
    yield from model._flatten_layers()  # noqa: SLF001  # nested ones too


def _take(old: Any, new: Any) -> None:
    """Give a layer the values of another one, of its own variables alone."""
    for kind in _KINDS:
        for ours, theirs in zip(getattr(old, kind), getattr(new, kind), strict=True):
            ours.assign(keras.ops.convert_to_numpy(theirs))
