"""Terminate: a loss that is NaN or infinite ends the training of all workers."""

from __future__ import annotations

import math
from typing import Any

import keras

from nbkeras.worker.collectives import Collective, Flag


class Terminate(keras.callbacks.Callback):  # type: ignore[misc]
    """TerminateOnNaN for a group: whoever sees it tells all the others.

    Args:
        group: the workers.
        raises: whether to raise an error instead, which ends the others too.
    """

    def __init__(self, group: Collective, *, raises: bool) -> None:
        super().__init__()
        self._group, self._raises = group, raises

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Ask all workers to stop when the loss is NaN or infinite."""
        loss = (logs or {}).get("loss")
        if loss is not None and not math.isfinite(loss):
            if self._raises:
                raise RuntimeError(f"NaN or Inf loss encountered at batch {batch}. Loss value: {loss}.")
            self._group.request(Flag.END)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """End with the epoch: the others have not seen yet what its last steps request."""
        if not math.isfinite((logs or {}).get("loss", 0.0)):
            self.model.stop_training = True
