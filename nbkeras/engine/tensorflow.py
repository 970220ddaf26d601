"""TensorFlow as a backend: batches from mapped memory, and sums across workers."""

from __future__ import annotations

import json
import os
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from nbkeras.engine.collectives import Vector
from nbkeras.engine.feed import Feed


def use_threads(number: int) -> None:
    """Use so many threads; must come before the first operation."""
    tf.config.threading.set_intra_op_parallelism_threads(number)
    tf.config.threading.set_inter_op_parallelism_threads(number)


def dataset(feed: Feed) -> tf.data.Dataset:
    """The feed's batches, one epoch of them each time it is iterated.

    Rows are gathered in TensorFlow's own threads straight from the mapped files.
    """
    names = list(feed.arrays)
    tensors = tuple(_borrowed(array) for array in (feed.order, *feed.arrays.values()))
    rows = len(feed.order)
    ends = np.cumsum(feed.counts)
    # A step without rows takes one that is there, to stand in.
    sizes = tf.constant(np.maximum(feed.counts, 1), dtype=tf.int64)
    starts = tf.constant(np.minimum(ends - feed.counts, rows - 1), dtype=tf.int64)

    def batch(step: Any, held: Any) -> Any:
        order, *arrays = held
        chosen = order[starts[step] : starts[step] + sizes[step]]
        return feed.structure.nest(
            {name: tf.gather(array, chosen) for name, array in zip(names, arrays, strict=True)}
        )

    steps = tf.data.Dataset.range(len(feed.counts))
    held = tf.data.Dataset.from_tensors(tensors).repeat()
    pairs = tf.data.Dataset.zip((steps, held))
    batches = pairs.map(batch, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)
    options = tf.data.Options()
    # To optimise its graph, tf.data would write it out with all that it holds: every row, in memory.
    options.experimental_optimization.apply_default_optimizations = False
    return batches.with_options(options)


def _borrowed(array: npt.NDArray[Any]) -> Any:
    """The array's own memory as a tensor, by DLPack."""
    return tf.experimental.dlpack.from_dlpack(array.__dlpack__())


class Ring:
    """TensorFlow's own collective runtime: a ring over gRPC, NCCL between GPUs.

    The strategy object only starts that runtime, which works once in a process.
    The sums themselves are ``CollectiveReduceV2`` ops.

    Args:
        addresses: ``host:port`` of every worker, by rank.
        rank: of this worker.
    """

    _GROUP = 1
    _GRADIENTS = 1

    def __init__(self, addresses: list[str], rank: int) -> None:
        self.rank, self.size = rank, len(addresses)
        os.environ["TF_CONFIG"] = json.dumps(
            {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": rank}}
        )
        try:
            self._runtime = tf.distribute.MultiWorkerMirroredStrategy()
        finally:
            # Keras and user code must not take this for a job of their own.
            del os.environ["TF_CONFIG"]
        self._wanted = False
        self._flag = tf.Variable(0.0, trainable=False)
        self._flag_seen = tf.Variable(0.0, trainable=False)
        self._step = tf.Variable(0, dtype=tf.int64, trainable=False)
        self._eager_sum = tf.function(self._reduce, reduce_retracing=True)
        # The runtime ties an instance key to one shape.
        self._keys: dict[int, int] = {}

    def _reduce(self, tensor: Any, key: Any) -> Any:
        return tf.raw_ops.CollectiveReduceV2(
            input=tensor,
            group_size=self.size,
            group_key=self._GROUP,
            instance_key=key,
            ordering_token=[],
            merge_op="Add",
            final_op="Id",
            communication_hint="auto",
        )

    def sum(self, vector: Vector) -> Vector:
        """The element-wise sum of all workers' vectors of one length."""
        if not len(vector):
            return vector
        key = self._keys.setdefault(len(vector), self._GRADIENTS + 1 + len(self._keys))
        return np.asarray(self._eager_sum(tf.constant(vector, dtype=tf.float64), tf.constant(key)))

    def synchronise(self, model: Any, shares: npt.NDArray[np.float32]) -> None:
        """Make the model's optimizer sum the weighted gradients of all workers.

        The optimizer keeps its state and its implementation: the instance gets a
        subclass as its class, so that the sum comes before clipping, accumulation
        and loss scaling, on every worker alike.

        Args:
            model: a compiled model.
            shares: this worker's share of each step's rows, shape (steps,).
        """
        # XLA cannot compile the collective.
        model.jit_compile = False
        optimizer, ring = model.optimizer, self
        table = tf.constant(shares)

        class Synchronised(type(optimizer)):  # type: ignore[misc]
            def apply(self, grads: Any, trainable_variables: Any = None) -> Any:
                summed = ring._sum_gradients(list(grads), table)
                return super().apply(summed, trainable_variables)

        Synchronised.__name__ = type(optimizer).__name__
        optimizer.__class__ = Synchronised

    def _sum_gradients(self, gradients: list[Any], table: Any) -> list[Any]:
        """One packed all-reduce: gradients, weighted by this worker's share, and the stop flag."""
        share = tf.gather(table, self._step % tf.size(table, out_type=tf.int64))
        self._step.assign_add(1)
        dense = [None if one is None else tf.convert_to_tensor(one) for one in gradients]
        present = [one for one in dense if one is not None]
        wide = tf.float64 if any(one.dtype == tf.float64 for one in present) else tf.float32
        flat = tf.concat([tf.reshape(tf.cast(one, wide), [-1]) for one in present], axis=0)
        # Replaced where the batch was a filler, never multiplied: it may hold NaN.
        flat = tf.where(share > 0, flat * tf.cast(share, wide), tf.zeros_like(flat))
        flag = tf.reshape(tf.cast(self._flag, wide), [1])
        total = self._reduce(tf.concat([flat, flag], axis=0), self._GRADIENTS)
        self._flag_seen.assign(tf.cast(total[-1], tf.float32))
        sizes = [int(np.prod(one.shape)) for one in present]
        pieces = iter(tf.split(total[:-1], sizes))
        return [
            None if one is None else tf.cast(tf.reshape(next(pieces), one.shape), one.dtype) for one in dense
        ]

    def agree(self, numbers: list[float]) -> list[float]:
        """The sums of some numbers of all workers."""
        return [float(one) for one in self.sum(np.array(numbers, dtype=np.float64))]

    def request_stop(self) -> None:
        """Stop on the user's wish: the flag rides with the next gradients."""
        self._wanted = True
        self._flag.assign(1.0)

    def request_end(self) -> None:
        """Stop because of what training has come to."""
        self._flag.assign(1.0)

    def stop_requested(self) -> bool:
        """Whether a worker had asked for either in the last step: the same answer on all."""
        return bool(self._flag_seen.numpy() > 0)

    def stop_wanted(self) -> bool:
        """Whether the user's wish to stop has reached this worker."""
        return self._wanted
