"""Implement what a group of several workers does on every backend."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from nbkeras.errors import ModelError
from nbkeras.model import exactness, state
from nbkeras.model.settings import unwrapped
from nbkeras.model.state import Vector
from nbkeras.worker.collectives import Flag
from nbkeras.worker.schedule import Schedule


class Together:
    """Several workers, as far as their backend does not matter.

    A backend adds how vectors are summed. The flags that ask all workers for
    something ride with them, so that all see them after the same step.

    Args:
        rank: of this worker.
        size: number of workers.

    Attributes:
        share: this worker's share of the rows of the step in work.
        summed: whether the step in work has summed gradients.
        local: whether each worker applies the gradients of its own rows instead.
    """

    def __init__(self, rank: int, size: int) -> None:
        self.rank: int = rank
        self.size: int = size
        self.share: Any = 1.0
        self.summed = self.local = False
        self._flags = np.zeros(len(Flag), dtype=np.float32)
        self._seen_flags = self._flags.copy()
        self._raising = threading.Lock()
        self._applying = self._weighted = False

    def sum(self, vector: Vector) -> Vector:
        """The element-wise sum of all workers' vectors of one length."""
        raise NotImplementedError

    def add_up(self, vector: Any) -> Any:
        """The sum of all workers' vectors, inside a step; the flags ride with it."""
        raise NotImplementedError

    def sum_gradients(self, pairs: list[tuple[Any, Any]], *, apart: bool) -> list[Any]:
        """One packed all-reduce of the gradients of some variables.

        Args:
            pairs: gradients, None where a variable has none, and their variables.
            apart: keep the gradients of single rows of an embedding apart.
        """
        raise NotImplementedError

    def begin(self, batch: Any, *, training: bool) -> Any:
        """Enter the next step, of a batch; this worker's share of its rows."""
        raise NotImplementedError

    def cut(self, draw: Callable[[Any], Any], number: Any, each: int) -> Any:
        """What is drawn for the rows of the step in work, cut to those of this worker.

        Args:
            draw: gives so many random numbers, along the first axis.
            number: of those that this worker needs.
            each: how many of them each row has.
        """
        raise NotImplementedError

    def broke(self, error: BaseException) -> bool:
        """Whether an exception means that another worker is gone."""
        raise NotImplementedError

    def share_sum(self, vector: Any) -> Any:
        """The sum of vectors that gradients flow through, in both directions.

        Raises:
            ModelError: the backend has none; Keras has no synchronised layers for it either.
        """
        raise ModelError(
            "BatchNormalization(synchronized=True) is of TensorFlow alone: add --backend tensorflow "
            "(backend='tensorflow'), or leave out synchronized=True"
        )

    def synchronise(self, model: Any, training: Schedule, validation: Schedule | None) -> None:
        """Make the model's optimizers sum the gradients of all workers.

        An optimizer keeps its state and its implementation: the instance gets a
        subclass as its class, so that the sum comes before clipping, accumulation
        and loss scaling, on every worker alike.

        Args:
            model: a compiled model.
            training: this worker's steps.
            validation: likewise, None where there are none.
        """
        # What a training step of the user's own hands over are gradients of its rows' mean.
        self._weighted = not exactness.plain(model)
        for optimizer in state.optimizers(model):
            self._synchronise(optimizer)

    def _synchronise(self, optimizer: Any) -> None:
        group, apart = self, not _linear(optimizer)

        class Synchronised(type(optimizer)):  # type: ignore[misc]
            def apply(self, grads: Any, trainable_variables: Any = None) -> Any:
                # One optimizer may hold another, as the one that scales the loss does.
                if group._applying:
                    return super().apply(grads, trainable_variables)
                variables = self._trainable_variables if trainable_variables is None else trainable_variables
                pairs = list(zip(grads, list(variables), strict=True))
                group._applying, group.summed = True, True
                try:
                    if group.local:
                        grads = [None if one is None else group.own_gradient(one) for one in grads]
                    else:
                        grads = group.sum_gradients(pairs, apart=apart)
                    return super().apply(grads, trainable_variables)
                finally:
                    group._applying = False

        Synchronised.__name__ = type(optimizer).__name__
        optimizer.__class__ = Synchronised

    def own_gradient(self, gradient: Any) -> Any:
        """The gradient of this worker's rows as if the step had no others; none where it has no rows."""
        whole = gradient
        if not self._weighted:
            # It is this worker's part of a whole.
            whole = ops.divide_no_nan(gradient, ops.cast(self.share, gradient.dtype))
        return ops.where(self.share > 0, whole, ops.zeros_like(gradient))

    def traceless(self, step: Callable[..., Any], arguments: tuple[Any, ...], untrained: list[Any]) -> Any:
        """What a step returns, where this worker may have no rows in it: then it leaves no trace.

        Args:
            step: of training or validation.
            arguments: that Keras gives it.
            untrained: variables that the step changes by this worker's rows.
        """
        share = self.share
        kept = [(one, ops.copy(one.value)) for one in untrained]

        def restore() -> None:
            for variable, value in kept:
                variable.assign(value)

        logs = step(*arguments)
        ops.cond(share > 0, lambda: None, restore)
        return logs

    def meet(self, vector: Vector) -> Vector:
        """The sum of all workers' vectors, between steps; the flags ride with it."""
        return self._without_flags(self.sum(self._with_flags(vector)))

    def agree(self, numbers: list[float]) -> list[float]:
        """The sums of some numbers of all workers."""
        return [float(one) for one in self.sum(np.array(numbers, dtype=np.float64))]

    def request(self, flag: Flag) -> None:
        """Raise a flag, from any thread: it rides with the next sum of a step."""
        self._set(flag)

    def requested(self, flag: Flag) -> bool:
        """Whether this worker has raised the flag."""
        return bool(self._flags[flag])

    def seen(self, *flags: Flag) -> bool:
        """Whether a worker had raised one of the flags by the last sum: the same answer on all."""
        return bool(self._last_flags()[list(flags)].any())

    def clear(self, flag: Flag) -> None:
        """Lower the flag on this worker, and forget that it was seen."""
        self._seen_flags[flag] = 0
        self._set(flag, 0)

    def _set(self, flag: Flag, value: float = 1) -> None:
        # From several threads; a backend may keep a copy.
        with self._raising:
            self._flags[flag] = value
            self._show_flags()

    def _show_flags(self) -> None:
        """Let the next step see the flags."""

    def _last_flags(self) -> npt.NDArray[np.float32]:
        """The flags of the last sum."""
        return self._seen_flags

    def _with_flags(self, vector: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return np.concatenate([vector, self._flags.astype(vector.dtype)])

    def _without_flags(self, total: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """A sum without the flags at its end, which are kept."""
        self._seen_flags = total[-len(Flag) :].astype(np.float32)
        return total[: -len(Flag)]


def _linear(optimizer: Any) -> bool:
    """Whether it makes no difference to an optimizer in how many parts a gradient comes."""
    optimizer = unwrapped(optimizer)
    clips = (optimizer.clipnorm, optimizer.clipvalue, optimizer.global_clipnorm)
    plain = type(optimizer) is keras.optimizers.SGD and not any(clips)
    return plain or bool(optimizer.gradient_accumulation_steps)
