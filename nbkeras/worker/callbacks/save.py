"""Save: rank 0 keeps a checkpoint of each whole epoch."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any

import keras

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
        changed: gives what each callback that runs on the workers has changed.
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
        changed: Callable[[], list[dict[str, Any]]],
        resume: Checkpoint | None,
        plan: Plan,
    ) -> None:
        super().__init__()
        self._combine, self._follow, self._channel, self._store = combine, follow, channel, store
        self._plan, self._failed = plan, False
        self._origin, self._changed, self._resume = origin, changed, resume

    def on_train_begin(self, logs: Any = None) -> None:
        """Begin with the epochs that were trained before."""
        before = self._plan.before if self._resume is None else self._resume.epochs
        self._follow.epochs[:0] = before

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Write the epoch, once everything about it is decided."""
        if self._store is None or self._combine.partial is not None or self._combine.stopped:
            return
        variables = state.variables(self.model)
        checkpoint = Checkpoint(
            self._origin,
            self._follow.epochs,
            self._combine.ended,
            state.layout(variables),
            state.built(self.model),
            state.pack(variables),
            self._changed(),
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
