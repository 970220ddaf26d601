"""Workers that train with TensorFlow and sum by a ring of sockets, or by TensorFlow's own runtime."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from nbkeras.errors import PortTaken
from nbkeras.model.state import Vector
from nbkeras.worker.backends.tensorflow_gradients import Dense, Places, Sparse, of_rows
from nbkeras.worker.collectives import Flag
from nbkeras.worker.member import Member
from nbkeras.worker.schedule import Schedule
from nbkeras.worker.together import Together

#: More than the messages of a step.
_KEYS = 1000


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
        self._places: dict[bool, Places] = {}
        self._now: Places
        self._messages = 0

    def _summed(self, vector: Any) -> Any:
        """The sum of all workers' vectors in the graph of a step, of which it is the latest message."""
        raise NotImplementedError

    def synchronise(self, model: Any, training: Schedule, validation: Schedule | None) -> None:
        """Make the model's optimizers sum the gradients of all workers."""
        # XLA cannot compile the sum.
        model.jit_compile = False
        self._places = {True: Places(training)}
        if validation is not None:
            self._places[False] = Places(validation)
        super().synchronise(model, training, validation)

    def begin(self, batch: Any, *, training: bool) -> Any:
        """Enter the next step, of a batch; this worker's share of its rows."""
        self._messages, self.summed = 0, False
        self._now = self._places[training]
        self._now.advance(batch)
        self.share = self._now.share
        return self.share

    def cut(self, draw: Callable[[Any], Any], number: Any, each: int) -> Any:
        """What is drawn for the rows of the step in work, cut to those of this worker."""
        return tf.gather(draw(self._now.rows * each), self._now.of(number, each))

    def sum_gradients(self, pairs: list[tuple[Any, Any]], *, apart: bool) -> list[Any]:
        """One packed all-reduce of the gradients of some variables."""
        present = [(gradient, variable) for gradient, variable in pairs if gradient is not None]
        pieces = [Sparse(*pair) if apart and of_rows(pair[0]) else Dense(*pair) for pair in present]
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
                received = tf.where(share > 0, upstream, tf.zeros_like(upstream))
                if not weighted:
                    return self.add_up(received)
                return tf.math.divide_no_nan(self.add_up(received * share), share)

            return self.add_up(own), back

        return summed(vector)

    def own_gradient(self, gradient: Any) -> Any:
        """The gradient of this worker's rows as if the step had no others; none where it has no rows."""
        if isinstance(gradient, tf.IndexedSlices):
            values = super().own_gradient(gradient.values)
            return tf.IndexedSlices(values, gradient.indices, gradient.dense_shape)
        return super().own_gradient(gradient)

    def clear(self, flag: Flag) -> None:
        """Lower the flag on this worker, and forget that it was seen."""
        super().clear(flag)
        self._seen.assign(tf.tensor_scatter_nd_update(self._seen, [[flag]], [0.0]))

    def _show_flags(self) -> None:
        self._asked.assign(self._flags)

    def _last_flags(self) -> npt.NDArray[np.float32]:
        flags: npt.NDArray[np.float32] = super()._last_flags() + self._seen.numpy()
        return flags


class Sockets(Member, Workers):
    """A member of a ring, with TensorFlow.

    Between processes of one machine that takes a fraction of what TensorFlow's own runtime takes:
    ``tests/benchmarks/collective.py``.
    """

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
