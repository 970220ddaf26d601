"""Terminate: a loss that is NaN or infinite ends the training of all workers."""

from __future__ import annotations

import math
from typing import Any

import keras

from nbkeras.worker.collectives import Collective, Flag


class Terminate(keras.callbacks.Callback):  # type: ignore[misc]
    """TerminateOnNaN for a group: whoever sees it tells all the others."""

    def __init__(self, group: Collective) -> None:
        super().__init__()
        self._group = group

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Ask all workers to stop when the loss is NaN or infinite."""
        loss = (logs or {}).get("loss")
        if loss is not None and not math.isfinite(loss):
            self._group.request(Flag.END)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """End with the epoch: the others have not seen yet what its last steps request."""
        if not math.isfinite((logs or {}).get("loss", 0.0)):
            self.model.stop_training = True
