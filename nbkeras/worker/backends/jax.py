"""JAX as a backend.

JAX's own way to train in several processes needs equal steps of equal sizes on
all of them and hangs without. Here each worker compiles its own step; the sum
of the gradients leaves it by a callback, in order, and comes back.
"""

from __future__ import annotations

import functools
import os
import socket
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import numpy.typing as npt
from jax.experimental import io_callback

from nbkeras.model.state import Vector
from nbkeras.worker.backends.arrays import Circle, batches, is_free, reserve, trace  # noqa: F401  # offered on
from nbkeras.worker.schedule import Schedule


def use_threads(number: int) -> None:
    """Use so many threads; must come before the first operation."""
    # XLA has no option for it; this is where it looks for the number of cores.
    os.environ["PJRT_NPROC"] = str(number)


def draw(seeds: list[int]) -> None:
    """Layers draw from generators of their own."""


def join(port: socket.socket, addresses: list[str], rank: int, secret: bytes, *, gpus: bool) -> Jax:  # noqa: ARG001
    """Meet the other workers; sums pass through main memory, also those of GPUs."""
    return Jax(port, addresses, rank, secret)


class Jax(Circle):
    """Workers that train with JAX."""

    def synchronise(self, model: Any, training: Schedule, validation: Schedule | None) -> None:
        """Make the model's optimizers sum the gradients of all workers."""
        self._others = model.non_trainable_variables
        super().synchronise(model, training, validation)

    def sum(self, vector: Vector) -> Vector:
        """The element-wise sum of all workers' vectors of one length."""
        # The sums of steps that still run come first, on all workers alike.
        jax.effects_barrier()
        return super().sum(vector)

    def begin(self, batch: Any, *, training: bool) -> Any:
        """Enter the next step, of a batch; this worker's share of its rows."""
        self.summed = False
        self._now = self._steps[training]
        advance = functools.partial(self._advance, training=training)
        number = jax.ShapeDtypeStruct((), np.int32)
        results = jax.ShapeDtypeStruct((), np.float32), number, number
        self.share, self._traced_rows, self._traced_first = io_callback(advance, results, ordered=True)
        return self.share

    def _advance(self, *, training: bool) -> tuple[Any, ...]:
        share = self.advance(training=training)
        return share, np.int32(self._rows), np.int32(self._first)

    def cut(self, draw: Callable[[Any], Any], number: Any, each: int) -> Any:
        """What is drawn for the rows of the step in work, cut to those of this worker.

        How many are drawn has to be known where a step is traced. Most often all steps with so many
        rows of this worker have as many rows on all workers.
        """
        steps = self._now
        places = steps.places(self._traced_first, number, each)
        known = steps.rows_beside(number // each)
        drawn = [draw(int(rows) * each)[places] for rows in known]
        chosen = [self._traced_rows == rows for rows in known]
        return drawn[0] if len(drawn) == 1 else jax.numpy.select(chosen, drawn)

    def add_up(self, vector: Any) -> Any:
        """The sum of all workers' vectors, inside a step; the flags ride with it."""
        still = jax.lax.stop_gradient(vector)
        return io_callback(
            self._sum_host, jax.ShapeDtypeStruct(still.shape, still.dtype), still, ordered=True
        )

    def sum_gradients(self, pairs: list[tuple[Any, Any]], *, apart: bool) -> list[Any]:
        """One packed all-reduce of the gradients of some variables; those of embeddings are dense."""
        present = [gradient for gradient, _ in pairs if gradient is not None]
        wide = jax.numpy.result_type(np.float32, *(one.dtype for one in present))
        flat = jax.numpy.concatenate([one.ravel().astype(wide) for one in present])
        if self._weighted:
            flat = flat * self.share.astype(wide)
        # Replaced where the batch was a filler, never multiplied: it may hold NaN.
        total = self.add_up(jax.numpy.where(self.share > 0, flat, jax.numpy.zeros_like(flat)))
        pieces = iter(jax.numpy.split(total, np.cumsum([one.size for one in present])[:-1]))
        return [
            None if one is None else next(pieces).reshape(one.shape).astype(one.dtype) for one, _ in pairs
        ]

    def traceless(self, step: Callable[..., Any], arguments: tuple[Any, ...], untrained: list[Any]) -> Any:
        """What a step returns; without rows of this worker in it, it leaves no trace beside the weights."""
        share, before = self.share, arguments[0]
        logs, after = step(*arguments)
        own = {id(one) for one in untrained}

        def kept(new: Any, old: Any) -> Any:
            return jax.tree.map(lambda one, other: jax.numpy.where(share > 0, one, other), new, old)

        # Keras' state: trainable and other variables, the optimizer's if it trains, and the metrics'.
        trained, others, *optimizer, metrics = after
        others = [
            kept(new, old) if id(one) in own else new
            for one, new, old in zip(self._others, others, before[1], strict=True)
        ]
        return logs, (trained, others, *optimizer, kept(metrics, before[-1]))

    def _sum_host(self, flat: Any) -> Any:
        return self.sum_step(np.asarray(flat))

    def _last_flags(self) -> npt.NDArray[np.float32]:
        # Steps are only sent on their way: the last one may not have summed yet.
        jax.effects_barrier()
        return super()._last_flags()
