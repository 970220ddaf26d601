"""TensorFlow as a backend: threads, batches from mapped memory, ports, and how workers meet."""

from __future__ import annotations

import socket
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from nbkeras.data import kinds
from nbkeras.devices import cores
from nbkeras.schema import Schema
from nbkeras.transport import ports
from nbkeras.worker.backends.tensorflow_workers import Runtime, Sockets, Workers
from nbkeras.worker.feed import Feed

#: Bytes of batches that may wait for their step, and how many batches of that size are left to tf.data.
_AHEAD, _MANY = 1 << 27, 64


def use_threads(number: int) -> None:
    """Use so many threads; must come before the first operation."""
    tf.config.threading.set_intra_op_parallelism_threads(number)
    tf.config.threading.set_inter_op_parallelism_threads(number)


def batches(feed: Feed) -> tf.data.Dataset:
    """The feed's batches, one epoch of them each time it is iterated.

    Rows are gathered in TensorFlow's own threads straight from the mapped files.
    """
    names, types = list(feed.arrays), feed.types
    tensors = tuple(_borrowed(array) for array in (feed.order, *feed.arrays.values()))
    rows = len(feed.order)
    ends = np.cumsum(feed.counts)
    # A step without rows takes one that is there, to stand in.
    sizes = tf.constant(np.maximum(feed.counts, 1), dtype=tf.int64)
    starts = tf.constant(np.minimum(ends - feed.counts, rows - 1), dtype=tf.int64)

    def batch(step: Any, held: Any) -> Any:
        order, *arrays = held
        chosen = order[starts[step] : starts[step] + sizes[step]]
        found = {
            name: tf.gather(array, feed.places(name, chosen))
            for name, array in zip(names, arrays, strict=True)
        }
        return feed.schema.batch(
            {name: tf.cast(one, types.get(name, one.dtype)) for name, one in found.items()}
        )

    steps = tf.data.Dataset.range(len(feed.counts))
    held = tf.data.Dataset.from_tensors(tensors).repeat()
    pairs = tf.data.Dataset.zip((steps, held))
    # It looks at no value; to have AutoGraph rewrite it takes longer than to trace it.
    traced = tf.autograph.experimental.do_not_convert(batch)
    # Left to itself, tf.data keeps the more batches the longer it tunes, whatever their size.
    within = _AHEAD // max(1, feed.batch_bytes)
    at_once, ahead = (tf.data.AUTOTUNE,) * 2 if within > _MANY else (max(1, min(within, cores())), 1)
    mapped = pairs.map(traced, num_parallel_calls=at_once).prefetch(ahead)
    options = tf.data.Options()
    # To optimise its graph, tf.data would write it out with all that it holds: every row, in memory.
    options.experimental_optimization.apply_default_optimizations = False
    return mapped.with_options(options)


def trace(model: Any, schema: Schema) -> None:
    """Trace the step of a model before there are rows: nothing is computed, no variable or seed changes.

    A step that cannot be traced fails where Keras traces it, on the first batch.
    """
    rows = {}
    for one in schema.given:
        shape = schema.taken(one, kinds.shape(one))
        if shape is None or one.dtype is None:
            return
        rows[one.name] = tf.TensorSpec((None, *shape), np.dtype(one.dtype))
    if model.run_eagerly:
        return
    model.make_train_function()
    batches = tf.data.IteratorSpec(schema.batch(rows))
    step = tf.function(model.train_function, input_signature=[batches], autograph=False)
    try:
        step.get_concrete_function()
    except tf.errors.OperatorNotAllowedInGraphError:
        pass  # Behind the step, which is traced by then, Keras asks whether there was a batch.
    except Exception:  # noqa: BLE001  # Keras says it better, and of values
        model.train_function = None


def _borrowed(array: npt.NDArray[Any]) -> Any:
    """The array's own memory as a tensor, by DLPack."""
    return tf.experimental.dlpack.from_dlpack(array.__dlpack__())


def draw(seeds: list[int]) -> None:
    """Layers draw from generators of their own."""


def reserve(host: str, *, gpus: bool) -> socket.socket:
    """A socket that listens on a free port of this address; for TensorFlow's own server one bound on all."""
    return ports.reserve("") if gpus else ports.reserve(host, listen=True)


def is_free(port: socket.socket) -> bool:
    """Whether it listens already, or nobody else does."""
    return bool(port.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)) or ports.is_free(port)


def join(port: socket.socket, addresses: list[str], rank: int, secret: bytes, *, gpus: bool) -> Workers:
    """Meet the other workers."""
    return Runtime(addresses, rank) if gpus else Sockets(port, addresses, rank, secret)
