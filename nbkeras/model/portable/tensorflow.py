"""Pickling of Keras objects on TensorFlow."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from nbkeras.model import portable

#: Attributes that Keras adds on TensorFlow only: other backends cannot load them.
_OWN = {
    "_distribute_strategy",
    "_distribution_strategy",
    "_saved_model_arg_spec",
    "_saved_model_inputs_spec",
}


def widen() -> None:
    """Do nothing: TensorFlow always computes in the given type."""


def held(thing: Any) -> dict[str, Any]:
    """Return the attributes of a Keras object that are the same on every backend."""
    return {key: value for key, value in vars(thing).items() if not (key in _OWN or key.startswith("_self_"))}


def hold(thing: Any, attributes: dict[str, Any]) -> None:
    """Set the attributes of a blank Keras object, and those of TensorFlow."""
    own = {key: value for key, value in portable.fresh(thing).items() if not key.startswith("_self_")}
    # Bypass __setattr__, which would track them again.
    vars(thing).update({**own, **attributes})


def reduced(thing: Any) -> tuple[Any, ...] | None:
    """Return how to pickle an object of TensorFlow, or None for the usual way."""
    if isinstance(thing, tf.distribute.Strategy):
        return tf.distribute.get_strategy, ()
    if isinstance(thing, tf.Tensor):
        return portable.tensor, (keras.ops.convert_to_numpy(thing), thing.dtype.name)
    # TensorFlow wraps lists and dicts that are attributes of a layer.
    kind = type(thing).__name__ if type(thing).__module__.startswith("tensorflow.") else ""
    if kind == "ListWrapper":
        return list, (list(thing),)
    if kind == "_DictWrapper":
        return dict, (dict(thing),)
    return None
