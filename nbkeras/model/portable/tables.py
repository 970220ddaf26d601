"""TensorFlow in Keras' lookup layers, on every backend: tensors that they take; pickling of their tables."""

from __future__ import annotations

import sys
from typing import Any


def reduced(thing: Any, *, unlearned: bool = False) -> tuple[Any, ...] | None:
    """Return how to pickle a table or a variable of TensorFlow, or None for anything else.

    Args:
        thing: whatever is pickled.
        unlearned: whether a table may be without content yet.

    Raises:
        ValueError: a table has no content yet, and must have some.

    Example:
        >>> from nbkeras.model.portable import tables
        >>> print(tables.reduced({}))
        None
    """
    tf: Any = sys.modules.get("tensorflow")
    if tf is None or not hasattr(tf, "lookup"):
        return None
    if isinstance(thing, tf.lookup.StaticHashTable):
        default = thing.default_value.numpy()
        try:
            return _static, (*_content(thing), default)
        except ValueError:
            if not unlearned:
                raise
            return _empty, (thing.key_dtype.name, thing.value_dtype.name, default)
    if isinstance(thing, tf.lookup.experimental.MutableHashTable):
        return _mutable, (*_content(thing), thing._default_value.numpy())  # noqa: SLF001  # it has no other name
    if isinstance(thing, tf.Variable):
        return _variable, (thing.numpy(), thing.dtype.name, thing.trainable)
    return None


def tensor(values: Any) -> Any:
    """Return an array as a tensor of TensorFlow; words come as objects of bytes.

    Example:
        >>> import numpy as np
        >>> from nbkeras.model.portable import tables
        >>> tables.tensor(np.array([b"iris"], object)).dtype.name
        'string'
    """
    import tensorflow as tf

    return tf.constant(values, tf.string if values.dtype.kind == "O" else None)


def _content(table: Any) -> tuple[Any, Any, str, str]:
    import tensorflow as tf

    try:
        keys, values = table.export()
    except (tf.errors.AbortedError, tf.errors.FailedPreconditionError):
        raise ValueError("its vocabulary is empty: call its adapt(…) first") from None
    return keys.numpy(), values.numpy(), table.key_dtype.name, table.value_dtype.name


def _static(keys: Any, values: Any, key: str, value: str, default: Any) -> Any:
    import tensorflow as tf

    content = tf.lookup.KeyValueTensorInitializer(keys, values, tf.as_dtype(key), tf.as_dtype(value))
    return tf.lookup.StaticHashTable(content, tf.constant(default, tf.as_dtype(value)))


def _empty(key: str, value: str, default: Any) -> Any:
    """A table as Keras makes it before a layer has learned."""
    import tensorflow as tf
    from keras.src.layers.preprocessing.index_lookup import get_null_initializer

    content = get_null_initializer(tf.as_dtype(key), tf.as_dtype(value))
    return tf.lookup.StaticHashTable(content, tf.constant(default, tf.as_dtype(value)))


def _mutable(keys: Any, values: Any, key: str, value: str, default: Any) -> Any:
    import tensorflow as tf

    table = tf.lookup.experimental.MutableHashTable(tf.as_dtype(key), tf.as_dtype(value), default)
    table.insert(tf.constant(keys, tf.as_dtype(key)), tf.constant(values, tf.as_dtype(value)))
    return table


def _variable(value: Any, dtype: str, trainable: bool) -> Any:
    import tensorflow as tf

    return tf.Variable(value, dtype=tf.as_dtype(dtype), trainable=trainable)
