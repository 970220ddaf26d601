"""TensorFlow as a backend: batches from mapped memory, and sums across workers."""

from __future__ import annotations

import json
import os
import socket
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from nbkeras.errors import PortTaken
from nbkeras.model.state import Vector
from nbkeras.transport import ports
from nbkeras.worker.collectives import Flag
from nbkeras.worker.feed import Feed
from nbkeras.worker.ring import Member, Ring
from nbkeras.worker.schedule import Steps
from nbkeras.worker.together import Together

#: More than the messages of a step.
_KEYS = 1000


def use_threads(number: int) -> None:
    """Use so many threads; must come before the first operation."""
    tf.config.threading.set_intra_op_parallelism_threads(number)
    tf.config.threading.set_inter_op_parallelism_threads(number)


def batches(feed: Feed) -> tf.data.Dataset:
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
        return feed.schema.nest(
            {name: tf.gather(array, chosen) for name, array in zip(names, arrays, strict=True)}
        )

    steps = tf.data.Dataset.range(len(feed.counts))
    held = tf.data.Dataset.from_tensors(tensors).repeat()
    pairs = tf.data.Dataset.zip((steps, held))
    # It looks at no value; to have AutoGraph rewrite it takes longer than to trace it.
    traced = tf.autograph.experimental.do_not_convert(batch)
    mapped = pairs.map(traced, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)
    options = tf.data.Options()
    # To optimise its graph, tf.data would write it out with all that it holds: every row, in memory.
    options.experimental_optimization.apply_default_optimizations = False
    return mapped.with_options(options)


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


class _Places:
    """The steps of an epoch as tensors, and which of them comes next.

    Attributes:
        share: this worker's share of the rows of the step in work.
        rows: of the step, on all workers.
    """

    def __init__(self, steps: Steps) -> None:
        self._shares = tf.constant(steps.shares)
        self._numbers = tf.constant(np.stack([steps.totals, steps.counts, steps.firsts], axis=1), tf.int32)
        self._stride = steps.stride
        self._next = tf.Variable(0, dtype=tf.int64, trainable=False)

    def advance(self) -> None:
        """Go on to the next step."""
        step = self._next % tf.size(self._shares, out_type=tf.int64)
        self._next.assign_add(1)
        self.share = tf.gather(self._shares, step)
        self.rows, self._own, self._first = tf.unstack(tf.gather(self._numbers, step))

    def spread(self, values: Any) -> Any:
        """Values that each row has several of, at their rows' places in the whole batch, zeros elsewhere."""
        own = tf.maximum(self._own, 1)
        number = tf.shape(values)[0]
        each = number // own
        whole = tf.debugging.assert_equal(
            each * own, number, "an embedding's gradient that is not of rows alone: use --workers 1"
        )
        with tf.control_dependencies([whole]):
            index = tf.range(number)
        place = (self._first + index // each * self._stride) * each + index % each
        # A filler has no place.
        place = tf.where(self.share > 0, place, tf.zeros_like(place))
        return tf.scatter_nd(place[:, None], values, tf.stack([self.rows * each, tf.shape(values)[1]]))


class _Dense:
    """A gradient on its way: all its numbers."""

    def __init__(self, gradient: Any, variable: Any) -> None:
        self._gradient, self._shape = gradient, variable.shape
        self.wide = gradient.dtype == tf.float64
        self.size: Any = int(np.prod(self._shape))

    def flat(self, dtype: Any, weight: Any, places: _Places) -> Any:
        """As a vector, weighted; its length must be known to TensorFlow, that of an embedding's is not."""
        vector = tf.reshape(tf.cast(tf.convert_to_tensor(self._gradient), dtype), [-1])
        return weight * tf.ensure_shape(vector, [self.size])

    def unpacked(self, vector: Any) -> Any:
        """The sum in the form that the gradient had."""
        return tf.cast(tf.reshape(vector, self._shape), self._gradient.dtype)


class _Sparse:
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

    def flat(self, dtype: Any, weight: Any, places: _Places) -> Any:
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


def _of_rows(gradient: Any) -> bool:
    """Whether this is the gradient of look-ups by the rows of a batch, whose number depends on the rows'."""
    return isinstance(gradient, tf.IndexedSlices) and gradient.indices.shape[0] is None


class Workers(Together):
    """Workers that train with TensorFlow: what a traced step does.

    Args:
        rank: of this worker.
        size: number of workers.
    """

    def __init__(self, rank: int, size: int) -> None:
        super().__init__(rank, size)
        # What a traced step reads and writes has to be TensorFlow's own.
        self._asked = tf.Variable(self._flags, trainable=False)
        self._seen = tf.Variable(self._flags, trainable=False)
        self._places: dict[bool, _Places] = {}
        self._now: _Places
        self._messages = 0

    def _summed(self, vector: Any) -> Any:
        """The sum of all workers' vectors in the graph of a step, of which it is the latest message."""
        raise NotImplementedError

    def synchronise(self, model: Any, training: Steps, validation: Steps | None) -> None:
        """Make the model's optimizers sum the gradients of all workers."""
        # XLA cannot compile the sum.
        model.jit_compile = False
        self._places = {True: _Places(training)}
        if validation is not None:
            self._places[False] = _Places(validation)
        super().synchronise(model, training, validation)

    def begin(self, *, training: bool) -> Any:
        """Enter the next step; this worker's share of its rows."""
        self._messages, self.summed = 0, False
        self._now = self._places[training]
        self._now.advance()
        self.share = self._now.share
        return self.share

    def sum_gradients(self, pairs: list[tuple[Any, Any]], *, apart: bool) -> list[Any]:
        """One packed all-reduce of the gradients of some variables."""
        present = [(gradient, variable) for gradient, variable in pairs if gradient is not None]
        pieces = [_Sparse(*pair) if apart and _of_rows(pair[0]) else _Dense(*pair) for pair in present]
        wide = tf.float64 if any(one.wide for one in pieces) else tf.float32
        weight = tf.cast(self.share, wide) if self._weighted else 1.0
        flat = tf.concat([one.flat(wide, weight, self._now) for one in pieces], axis=0)
        # Replaced where the batch was a filler, never multiplied: it may hold NaN.
        flat = tf.where(self.share > 0, flat, tf.zeros_like(flat))
        total = self.add_up(flat)
        summed = iter(
            one.unpacked(part)
            for one, part in zip(pieces, tf.split(total, [one.size for one in pieces]), strict=True)
        )
        return [None if gradient is None else next(summed) for gradient, _ in pairs]

    def add_up(self, vector: Any) -> Any:
        """The sum of all workers' vectors, inside a step; the flags ride with it."""
        self._messages += 1
        flags = tf.cast(self._asked, vector.dtype)
        total = self._summed(tf.concat([tf.stop_gradient(vector), flags], axis=0))
        self._seen.assign(tf.cast(total[-len(Flag) :], tf.float32))
        return total[: -len(Flag)]

    def share_sum(self, vector: Any) -> Any:
        """The same for a vector that gradients flow through, in both directions."""
        weighted, share = self._weighted, tf.cast(self.share, vector.dtype)

        @tf.custom_gradient  # type: ignore[untyped-decorator]
        def summed(own: Any) -> Any:
            def back(upstream: Any) -> Any:
                # What a worker without rows has to say may be NaN.
                heard = tf.where(share > 0, upstream, tf.zeros_like(upstream))
                if not weighted:
                    return self.add_up(heard)
                return tf.math.divide_no_nan(self.add_up(heard * share), share)

            return self.add_up(own), back

        return summed(vector)

    def own_gradient(self, gradient: Any) -> Any:
        """The gradient of this worker's rows as if the step had no others; none where it has no rows."""
        if isinstance(gradient, tf.IndexedSlices):
            values = super().own_gradient(gradient.values)
            return tf.IndexedSlices(values, gradient.indices, gradient.dense_shape)
        return super().own_gradient(gradient)

    def steered(self) -> None:
        """Forget what was asked for: the workers have met, or are about to."""
        super().steered()
        self._seen.assign(tf.tensor_scatter_nd_update(self._seen, [[Flag.STEER]], [0.0]))

    def _show_flags(self) -> None:
        self._asked.assign(self._flags)

    def _heard(self) -> npt.NDArray[np.float32]:
        heard: npt.NDArray[np.float32] = super()._heard() + self._seen.numpy()
        return heard


class Sockets(Member, Workers):
    """Workers that sum by a ring of sockets, on which every one has proved the run's secret.

    Between processes of one machine that takes a fraction of what TensorFlow's own runtime takes:
    ``tests/benchmarks/collective.py``.

    Args:
        port: listens for the worker before.
        addresses: ``host:port`` of every worker, by rank.
        rank: of this worker.
        secret: of the run.
    """

    def __init__(self, port: socket.socket, addresses: list[str], rank: int, secret: bytes) -> None:
        super().__init__(rank, len(addresses))
        self._ring = Ring(port, addresses, rank, secret)

    def _summed(self, vector: Any) -> Any:
        # What the sum before has left behind is read first: so sums of one step have one order.
        total = tf.numpy_function(
            lambda numbers, _: self._ring.sum(numbers), [vector, self._seen.read_value()], vector.dtype
        )
        return tf.ensure_shape(total, vector.shape)


class Runtime(Workers):
    """TensorFlow's own collective runtime: NCCL between GPUs, a ring over gRPC where there are none.

    The strategy object only starts that runtime, which works once in a process.
    The sums themselves are ``CollectiveReduceV2`` ops. It accepts unauthenticated connections.

    Args:
        addresses: ``host:port`` of every worker, by rank.
        rank: of this worker.

    Raises:
        PortTaken: somebody else listens at this worker's address.
    """

    _GROUP = 1

    def __init__(self, addresses: list[str], rank: int) -> None:
        self._hint = "nccl" if tf.config.list_physical_devices("GPU") else "auto"
        os.environ["TF_CONFIG"] = json.dumps(
            {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": rank}}
        )
        try:
            self._runtime = tf.distribute.MultiWorkerMirroredStrategy()
        except tf.errors.UnknownError as error:
            raise PortTaken(
                f"{addresses[rank]}, where worker {rank} had to listen, was taken by another program "
                f"({error.message}): run it again"
            ) from error
        finally:
            # Keras and user code must not take this for a job of their own.
            del os.environ["TF_CONFIG"]
        # The runtime wants to come before any variable.
        super().__init__(rank, len(addresses))
        self._eager_sum = tf.function(self._reduce, reduce_retracing=True)
        # The runtime ties an instance key to one shape.
        self._keys: dict[tuple[Any, ...], int] = {}

    def sum(self, vector: Vector) -> Vector:
        """The element-wise sum of all workers' vectors of one length."""
        if not len(vector):
            return vector
        key = self._key("between steps", len(vector))
        return np.asarray(self._eager_sum(tf.constant(vector, dtype=tf.float64), tf.constant(key)))

    def broke(self, error: BaseException) -> bool:
        """Whether an exception is what the runtime raises when another worker is gone."""
        return isinstance(
            error, (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError)
        )

    def _summed(self, vector: Any) -> Any:
        length = vector.shape[0]
        key = self._key(self._messages, length, vector.dtype)
        if length is None:
            # What depends on the rows of the step: the same number on all workers.
            key += _KEYS * self._now.rows
        return self._reduce(vector, key)

    def _reduce(self, tensor: Any, key: Any) -> Any:
        return tf.raw_ops.CollectiveReduceV2(
            input=tensor,
            group_size=self.size,
            group_key=self._GROUP,
            instance_key=key,
            ordering_token=[],
            merge_op="Add",
            final_op="Id",
            communication_hint=self._hint,
        )

    def _key(self, *purpose: Any) -> int:
        # All workers meet the purposes in one order, so they count alike.
        return self._keys.setdefault(purpose, 1 + len(self._keys))
