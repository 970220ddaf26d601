"""Reseed: each epoch draws its own numbers, so that an interrupted epoch changes no later one."""

from __future__ import annotations

from typing import Any

import keras

from nbkeras.model import randomness, state
from nbkeras.worker.backends import Backend


class Reseed(keras.callbacks.Callback):  # type: ignore[misc]
    """Reseeds what is drawn past the generators of the layers.

    Args:
        backend: the functions of the backend.
        rank: of this worker.
    """

    def __init__(self, backend: Backend, rank: int) -> None:
        super().__init__()
        self._backend, self._rank, self._epoch = backend, rank, 0

    def on_train_begin(self, logs: Any = None) -> None:
        """Take the seeds that the layers begin with."""
        self._seeds = [int(state.value(one)[0]) % 2**32 for one in randomness.generators(self.model)]

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Take in which epoch this is."""
        self._epoch = epoch

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Reseed before the first batch: only now the loader of the epoch has drawn what it draws."""
        if batch == 0:
            self._backend.draw([*self._seeds, self._rank, self._epoch])
