"""Check: stops, pauses and sums a validation."""

from __future__ import annotations

from typing import Any

import keras

from nbkeras.worker.callbacks.live import Live
from nbkeras.worker.callbacks.totals import Totals
from nbkeras.worker.collectives import Collective, Flag
from nbkeras.worker.schedule import Schedule
from nbkeras.worker.steering import Steering


class Check(keras.callbacks.Callback):  # type: ignore[misc]
    """First in a validation: stops and pauses it, and makes its logs those of all workers' rows.

    Args:
        group: the workers.
        steering: applies the user's requests between two steps.
        live: the user's callbacks that are called within an epoch.
        steps: this worker's steps of a validation, None where it is alone.
        meets: whether the workers meet in each step: then they stop in the same one.

    Attributes:
        logs: of all rows, at the end.
    """

    def __init__(
        self, group: Collective, steering: Steering, live: Live, steps: Schedule | None, *, meets: bool
    ) -> None:
        super().__init__()
        self._group, self._steering, self._live, self._steps = group, steering, live, steps
        self._meets = meets
        # The flags ride with these sums.
        self._totals = Totals(group, group.meet)
        self.logs: dict[str, Any] = {}
        self._last = 0

    def before(self, callbacks: list[Any], model: Any) -> Any:
        """Return itself and the user's callbacks, which have their model, as Keras calls them."""
        self.set_model(model)
        return keras.callbacks.CallbackList([self, *callbacks])

    def on_test_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Stop or pause, as all workers have seen."""
        if not self._meets:
            self._steering.alone()
            return
        if self._group.seen(Flag.STOP):
            self.model.stop_evaluating = True
        if self._group.seen(Flag.STEER):
            self._steering.between_checks(self.model)

    def on_test_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Sum the logs of the batch, where a callback looks at them."""
        if logs is None or self._steps is None or self._group.size == 1:
            return
        # An execution of several steps may end behind the last one.
        self._last = min(batch, (self._steps.number or batch + 1) - 1)
        if self._live.meets_in_tests:
            logs.update(self._totals.so_far(self.model, logs, self._steps.share(self._last)))

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        """Replace the local logs by those of all rows."""
        if logs is None:
            return
        if self._steps is not None and self._group.size > 1:
            logs.update(self._totals.final(self.model, logs, self._steps.share(self._last)))
        self.logs = dict(logs)
