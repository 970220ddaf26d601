"""Curves: the logged values of a run, by metric and epoch."""

from __future__ import annotations

import math
from typing import Any

#: A metric with more entries makes no curves: it is in the history only.
_MOST_ENTRIES = 1000


class Curves:
    """The logs of a run's epochs: as Keras keeps them, and as curves with one number per epoch.

    Attributes:
        history: metric name to one value per epoch, as in ``keras.callbacks.History.history``.
        epochs: of these values, from 0.
        of_metrics: curve name to one float per epoch, NaN where an epoch has none.
        measured: likewise, for values that are not in the history.
        last: curve name to its last logged value.

    Example:
        >>> curves = Curves()
        >>> curves.add(0, {"loss": 0.5, "f1_score": [0.2, 0.4]}, {"learning_rate": 0.01})
        >>> curves.of_metrics
        {'loss': [0.5], 'f1_score[0]': [0.2], 'f1_score[1]': [0.4]}
    """

    def __init__(self) -> None:
        self.history: dict[str, list[Any]] = {}
        self.epochs: list[int] = []
        #: One list per curve, so that a snapshot of 10,000 epochs copies a few lists.
        self.of_metrics: dict[str, list[float]] = {}
        self.measured: dict[str, list[float]] = {}
        self.last: dict[str, float] = {}
        self._known: set[int] = set()

    def __contains__(self, epoch: int) -> bool:
        return epoch in self._known

    def add(self, epoch: int, logs: dict[str, Any], measured: dict[str, float | None]) -> None:
        """Add the logs and the measured values of a new epoch."""
        self._known.add(epoch)
        self.epochs.append(epoch)
        for key, value in logs.items():
            self.history.setdefault(key, []).append(value)
        point, before = _split(logs), len(self.epochs) - 1
        self.last |= point
        known = {name: value for name, value in measured.items() if value is not None}
        for curves, values in ((self.of_metrics, point), (self.measured, known)):
            for name in values:
                curves.setdefault(name, [math.nan] * before)
            for name, curve in curves.items():
                curve.append(values.get(name, math.nan))


def _split(logs: dict[str, Any]) -> dict[str, float]:
    """Split logs into one float per curve: an array metric gives one curve for each entry.

    A callback may log any value: one that is not a number is in the history only.
    """
    import numpy as np

    point: dict[str, float] = {}
    for key, value in logs.items():
        try:
            entries = np.asarray(value)
        except (TypeError, ValueError):
            continue
        if entries.dtype.kind not in "biuf" or entries.size > _MOST_ENTRIES:
            continue
        for index in np.ndindex(entries.shape):
            place = f"[{', '.join(map(str, index))}]" if index else ""
            point[f"{key}{place}"] = float(entries[index])
    return point


def arrays(logs: dict[str, Any]) -> dict[str, Any]:
    """Logs that came as JSON, with arrays in the place of lists."""
    import numpy as np

    return {key: np.asarray(value) if isinstance(value, list) else value for key, value in logs.items()}
