"""Save: rank 0 keeps a checkpoint of each whole epoch."""

from __future__ import annotations

import inspect
import socket
import time
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from nbkeras.errors import ClusterError, OptionError
from nbkeras.job.checkpoint import Checkpoint, Origin
from nbkeras.job.store import Store
from nbkeras.model import randomness, state
from nbkeras.plan import Plan
from nbkeras.transport.channel import Channel
from nbkeras.transport.messages import Note, Saved
from nbkeras.worker.callbacks.combine import Combine
from nbkeras.worker.callbacks.follow import Follow


class Save(keras.callbacks.Callback):  # type: ignore[misc]
    """Behind all others on rank 0: keeps a checkpoint of each whole epoch, and goes on from one.

    Args:
        combine: knows which epochs are whole.
        follow: knows the epochs so far.
        channel: to the notebook.
        store: takes the checkpoints; None keeps none.
        origin: what the training is made with.
        callbacks: the callbacks that run on the workers.
        resume: the checkpoint to go on from.
        plan: of the training: what a checkpoint tells of it.
    """

    def __init__(
        self,
        combine: Combine,
        follow: Follow,
        channel: Channel,
        store: Store | None,
        origin: Origin,
        callbacks: list[Any],
        resume: Checkpoint | None,
        plan: Plan,
    ) -> None:
        super().__init__()
        self._combine, self._follow, self._channel, self._store = combine, follow, channel, store
        self._plan, self._failed = plan, False
        self._origin, self._callbacks, self._resume = origin, callbacks, resume

    def on_train_begin(self, logs: Any = None) -> None:
        """Give the callbacks back what they knew: their own beginning has made them forget."""
        if self._resume is not None:
            self._follow.epochs[:0] = self._resume.epochs
            for one, (plain, lists) in zip(self._callbacks, self._resume.callbacks, strict=True):
                vars(one).update(plain | lists)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Write the epoch, once everything about it is decided."""
        if self._store is None or self._combine.partial is not None or self._combine.stopped:
            return
        variables = state.variables(self.model)
        checkpoint = Checkpoint(
            self._origin,
            self._follow.epochs,
            bool(self.model.stop_training),
            state.layout(variables),
            state.built(self.model),
            state.pack(variables),
            [(attributes(one), _array_lists(one)) for one in self._callbacks],
            {**self._plan.about, "saved": time.time(), "weights": state.places(self.model)},
            self._plan.training,
            randomness.Common().state,
        )
        try:
            self._store.write(checkpoint)
        except (ClusterError, OptionError) as error:
            # The folder may have been taken in the meantime, a full disk may have room again; what was
            # learned so far is worth more than its copy.
            if not self._failed:
                sentence = f"{error}: the training goes on, and tries it again after each epoch"
                self._channel.send(Note(type="note", sentence=sentence))
            self._failed = True
            return
        self._failed = False
        self._channel.send(Saved(type="saved", epoch=epoch, host=socket.gethostname()))


def attributes(callback: Any) -> dict[str, Any]:
    """What a callback has found out, such as ``best`` and ``stopped_epoch``.

    What it was made with stays as it is: Keras turns the sign of ``min_delta`` once it knows the direction,
    and would turn it again in a callback that has the number but not the direction.
    """
    plain = (bool, int, float, str, type(None), np.number)
    made_with = inspect.signature(type(callback)).parameters
    return {
        key: value.item() if isinstance(value, np.number) else value
        for key, value in vars(callback).items()
        if isinstance(value, plain) and not key.startswith("_") and key not in made_with
    }


def _array_lists(callback: Any) -> dict[str, list[npt.NDArray[Any]]]:
    """The arrays that a callback keeps, such as ``best_weights``."""
    return {
        key: [np.asarray(one) for one in value]
        for key, value in vars(callback).items()
        if isinstance(value, list) and value and all(hasattr(one, "dtype") for one in value)
    }
