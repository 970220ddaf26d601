"""Keras objects on TensorFlow, as another process can take them."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from nbkeras.model import portable

#: What TensorFlow's part of Keras keeps for itself: other backends cannot load it.
_OWN = {
    "_distribute_strategy",
    "_distribution_strategy",
    "_saved_model_arg_spec",
    "_saved_model_inputs_spec",
}


def widen() -> None:
    """TensorFlow always computes in the type that it is given."""


def held(thing: Any) -> dict[str, Any]:
    """The attributes of a Keras object that any backend understands."""
    return {key: value for key, value in vars(thing).items() if not (key in _OWN or key.startswith("_self_"))}


def hold(thing: Any, attributes: dict[str, Any]) -> None:
    """Give a blank Keras object its attributes, and those that TensorFlow has for itself."""
    own = {key: value for key, value in portable.fresh(thing).items() if not key.startswith("_self_")}
    # Past __setattr__: tracking is part of the attributes already.
    vars(thing).update({**own, **attributes})


def reduced(thing: Any) -> tuple[Any, ...] | None:
    """How a thing of TensorFlow's own is pickled, or None if as any other."""
    if isinstance(thing, tf.distribute.Strategy):
        return tf.distribute.get_strategy, ()
    if isinstance(thing, tf.Variable):
        return tf.Variable, (thing.numpy(), thing.trainable)
    if isinstance(thing, tf.Tensor):
        return portable.tensor, (keras.ops.convert_to_numpy(thing), thing.dtype.name)
    # TensorFlow wraps the lists and dicts that are attributes of a layer.
    kind = type(thing).__name__ if type(thing).__module__.startswith("tensorflow.") else ""
    if kind == "ListWrapper":
        return list, (list(thing),)
    if kind == "_DictWrapper":
        return dict, (dict(thing),)
    return None
