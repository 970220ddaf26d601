"""Gradients in TensorFlow on their way through the sum: as one vector, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from nbkeras.worker.schedule import Schedule, Steps

#: Operations that look at the shape of a tensor.
_OF_SHAPES = ("Shape", "ShapeN", "Size", "Rank")


class Places:
    """The step in work as tensors: its rows, and this worker's places in it.

    Attributes:
        share: this worker's share of the rows of the step in work.
        rows: of the step, on all workers.
    """

    def __init__(self, steps: Schedule) -> None:
        self._steps, self._stride = steps, steps.stride
        if isinstance(steps, Steps):
            numbers = np.stack([steps.totals, steps.counts, steps.firsts], axis=1)
            self._numbers = tf.constant(numbers, tf.int32)
            self._next = tf.Variable(0, dtype=tf.int64, trainable=False)

    def advance(self, batch: Any) -> None:
        """Go on to the next step, of a batch."""
        if isinstance(self._steps, Steps):
            step = self._next % tf.shape(self._numbers, out_type=tf.int64)[0]
            self._next.assign_add(1)
            numbers = tf.gather(self._numbers, step)
        else:
            with tf.control_dependencies(tf.nest.flatten(batch, expand_composites=True)):
                # Known once the batch was read.
                taken = tf.numpy_function(lambda: np.array(self._steps.take(), np.int32), [], tf.int32)
            numbers = tf.ensure_shape(taken, [3])
        self.rows, self._own, self._first = tf.unstack(numbers)
        self.share = tf.cast(self._own, tf.float64) / tf.cast(self.rows, tf.float64)

    def of(self, number: Any, each: Any) -> Any:
        """Places in the whole batch of a number of values, of which each row has so many."""
        index = tf.range(tf.cast(number, tf.int32))
        place = (self._first + index // each * self._stride) * each + index % each
        # A filler has no place.
        return tf.where(self._own > 0, place, tf.zeros_like(place))

    def spread(self, values: Any) -> Any:
        """Values that each row has several of, at their rows' places in the whole batch, zeros elsewhere."""
        own = tf.maximum(self._own, 1)
        number = tf.shape(values)[0]
        each = number // own
        whole = tf.debugging.assert_equal(
            each * own, number, "an embedding's gradient that is not of rows alone: use --workers 1"
        )
        with tf.control_dependencies([whole]):
            place = self.of(number, each)
        return tf.scatter_nd(place[:, None], values, tf.stack([self.rows * each, tf.shape(values)[1]]))


class Dense:
    """A gradient on its way: all its numbers."""

    def __init__(self, gradient: Any, variable: Any) -> None:
        self._gradient, self._shape = gradient, variable.shape
        self.wide = gradient.dtype == tf.float64
        self.size: Any = int(np.prod(self._shape))

    def flat(self, dtype: Any, weight: Any, places: Places) -> Any:
        """As a vector, weighted; its length must be known to TensorFlow, that of an embedding's is not."""
        vector = tf.reshape(tf.cast(tf.convert_to_tensor(self._gradient), dtype), [-1])
        return weight * tf.ensure_shape(vector, [self.size])

    def unpacked(self, vector: Any) -> Any:
        """The sum in the form that the gradient had."""
        return tf.cast(tf.reshape(vector, self._shape), self._gradient.dtype)


class Sparse:
    """A gradient on its way: the rows of an embedding that were looked up, each with its number.

    Keras' optimizers square and clip the gradient of each look-up, before they
    add up those of one row. So all workers' look-ups must be seen one by one,
    in the order of the whole batch.
    """

    def __init__(self, gradient: Any, variable: Any) -> None:
        self._gradient, self._shape = gradient, variable.shape
        self._width = int(np.prod(self._shape[1:]))
        # Beyond, float32 does not hold every whole number.
        self.wide = gradient.dtype == tf.float64 or self._shape[0] > 1 << 24
        self.size: Any

    def flat(self, dtype: Any, weight: Any, places: Places) -> Any:
        """As a vector, weighted."""
        values = weight * tf.reshape(tf.cast(self._gradient.values, dtype), [-1, self._width])
        numbers = tf.cast(self._gradient.indices, dtype)[:, None]
        vector = tf.reshape(places.spread(tf.concat([values, numbers], axis=1)), [-1])
        self.size = tf.size(vector)
        return vector

    def unpacked(self, vector: Any) -> Any:
        """The look-ups of all workers."""
        rows = tf.reshape(vector, [-1, self._width + 1])
        values = tf.cast(tf.reshape(rows[:, :-1], [-1, *self._shape[1:]]), self._gradient.dtype)
        numbers = tf.cast(tf.round(rows[:, -1]), self._gradient.indices.dtype)
        return tf.IndexedSlices(values, numbers, self._gradient.dense_shape)


def of_rows(gradient: Any) -> bool:
    """Whether this is the gradient of look-ups by the rows of a batch, whose number depends on the rows'."""
    if not isinstance(gradient, tf.IndexedSlices) or gradient.indices.shape[0] is not None:
        return False
    return _is_read(gradient.indices)


def _is_read(tensor: Any) -> bool:
    """Whether a tensor depends on values that its graph is given, and not on their shapes alone.

    The places of a sequence's steps are known by its shape, and the same for all rows.
    """
    seen, left = set(), [tensor.op]
    while left:
        operation = left.pop()
        if operation.name in seen or operation.type in _OF_SHAPES:
            continue
        seen.add(operation.name)
        if not operation.inputs and operation.type != "Const":
            return True
        left += [one.op for one in operation.inputs]
    return False
