"""Changes: whether the user's callbacks on rank 0 have changed weights, which all workers then take over."""

from __future__ import annotations

import zlib
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from nbkeras.model import state
from nbkeras.model.settings import unwrapped

Values = list[npt.NDArray[Any]]


class Changes(keras.callbacks.Callback):  # type: ignore[misc]
    """Right before the user's callbacks on rank 0: looks at the weights that they find.

    Args:
        within: whether they may change some around a step too.
    """

    def __init__(self, *, within: bool) -> None:
        super().__init__()
        self._within = within
        #: None where there is nothing to find.
        self._found: list[int] | None = None

    def on_train_begin(self, logs: Any = None) -> None:
        """Look before the training."""
        self._look()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Look before an epoch."""
        self._look()

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Look before a step."""
        self._look(within=True)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Look after a step."""
        self._look(within=True)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Look after an epoch."""
        self._look()

    def made(self) -> bool:
        """Whether the weights are others than they were before the user's callbacks."""
        return self._found is not None and self._sums() != self._found

    def _look(self, *, within: bool = False) -> None:
        self._found = self._sums() if self._within or not within else None

    def _sums(self) -> list[int]:
        # Checksums, since a copy of everything would need the memory for it.
        found = map(np.ascontiguousarray, values(shared(self.model)))
        return [zlib.crc32(one.view(np.uint8).data) for one in found]


def shared(model: Any) -> list[Any]:
    """Return the variables that are the same on all workers; learning rates are followed apart from them."""
    rates = [getattr(one, "_learning_rate", None) for one in map(unwrapped, state.optimizers(model))]
    return [
        one
        for one in state.variables(model)
        if not one.path.endswith("seed_generator_state") and all(one is not rate for rate in rates)
    ]


def values(variables: list[Any]) -> Values:
    """Return copies of what they hold."""
    return [np.atleast_1d(state.value(one)) for one in variables]
