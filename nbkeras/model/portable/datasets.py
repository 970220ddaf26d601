"""Datasets: what is one, and batches of tensors that have no form in NumPy."""

from __future__ import annotations

import sys
from typing import Any

import keras

#: ``tf.data.INFINITE_CARDINALITY``.
_INFINITE = -1


def is_dataset(thing: Any) -> bool:
    """Whether this is a ``tf.data.Dataset``, without an import of TensorFlow."""
    tf: Any = sys.modules.get("tensorflow")
    return tf is not None and hasattr(tf, "data") and isinstance(thing, tf.data.Dataset)


def is_endless(thing: Any) -> bool:
    """Whether this is known to give batches for ever."""
    if is_dataset(thing):
        return int(thing.cardinality()) == _INFINITE
    return isinstance(thing, keras.utils.PyDataset) and thing.num_batches is None


def is_no_array(thing: Any) -> bool:
    """Whether this is a tensor of TensorFlow without a form in NumPy: of words, or ragged."""
    return type(thing).__name__ == "RaggedTensor" or str(getattr(thing, "dtype", "")) == "<dtype: 'string'>"


def taken(tensor: Any, which: Any) -> Any:
    """Return some rows of such a tensor, by a slice or by their positions."""
    import tensorflow as tf

    return tensor[which] if isinstance(which, slice) else tf.gather(tensor, which)


def alike(batch: Any) -> Any:
    """Return a batch with tensors alone if a part has no other form: Keras calls no model with a mixture."""
    if not any(is_no_array(one) for one in keras.tree.flatten(batch)):
        return batch
    import tensorflow as tf

    def tensor(one: Any) -> Any:
        return one if is_no_array(one) else tf.convert_to_tensor(one)

    return keras.tree.map_structure(tensor, batch, none_is_leaf=False)


def shuffles(dataset: Any) -> set[int]:
    """Identify the shuffles of a dataset that give another order each time; datasets made of one share it."""
    found, waiting = set(), [dataset]
    while waiting:
        one = waiting.pop()
        # A graph tells too, but to make one copies all arrays.
        waiting += one._inputs()  # noqa: SLF001  # tf.data shows no other way
        if getattr(one, "_reshuffle_each_iteration", False):
            found.add(id(one))
    return found
