"""Logs over all workers: the states of metrics are added up, results are never averaged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from nbkeras.model import state
from nbkeras.model.state import Vector
from nbkeras.worker.collectives import Collective

#: Numbers in the metrics' states that are added up in each step at most.
MOST = 1024
#: Bytes of a number in JSON at most, with what is around it.
WIDEST = 32
Arrays = list[npt.NDArray[np.float64]]


class Totals:
    """The logs over the rows of all workers.

    Args:
        group: the workers.
        add_up: sums a vector over them within an epoch.
    """

    def __init__(self, group: Collective, add_up: Callable[[Vector], Vector]) -> None:
        self._group, self._add_up = group, add_up
        #: What the metrics' states are before the first batch, and whether the logs of a batch are theirs.
        self._begun: Arrays | None = None
        self._of_metrics: bool | None = None

    def final(self, model: Any, logs: dict[str, Any], share: Any) -> dict[str, Any]:
        """Return the logs at the end of an epoch or a validation; the metrics then hold the sums.

        Args:
            model: with the metrics.
            logs: of this worker: of the metrics, or what a step of the user's own has returned.
            share: of this worker in the last step.
        """
        if not _of_metrics(model, logs):
            return self._shared(logs, share, self._group.sum)
        return self._summed(model)

    def so_far(self, model: Any, logs: dict[str, Any], share: Any) -> dict[str, Any]:
        """Return the logs within an epoch; each worker's metrics go on as they were.

        Rank 0 alone looks at them. Where the metrics have too many numbers, they are those of its own rows.
        """
        if self._of_metrics is None:
            self._of_metrics = _of_metrics(model, logs)
        if not self._of_metrics:
            return self._shared(logs, share, self._add_up)
        if not affordable(model):
            return logs
        variables = model.metrics_variables
        states = _values(variables)
        begun = self._begun = self._begun or self._beginnings(model, variables, states)
        total = self._add_up(packed([now - start for now, start in zip(states, begun, strict=True)]))
        if self._group.rank:
            return logs
        whole = [start + part for start, part in zip(begun, unpacked(total, begun), strict=True)]
        _assign(variables, whole)
        found = {key: state.plain(value) for key, value in model.get_metrics_result().items()}
        _assign(variables, states)
        return found

    def _shared(self, logs: dict[str, Any], share: Any, add_up: Callable[[Vector], Vector]) -> dict[str, Any]:
        # What a filler row has come to is dropped, never multiplied: it may be NaN.
        numbers = [float(np.mean(value)) * float(share) if share else 0.0 for value in logs.values()]
        total = add_up(np.array(numbers, dtype=np.float64))
        return dict(zip(logs, map(float, total), strict=True))

    def _summed(self, model: Any) -> dict[str, Any]:
        variables = model.metrics_variables
        states = _values(variables)
        model.reset_metrics()
        begun = _values(variables)
        gained = [now - start for now, start in zip(states, begun, strict=True)]
        total = unpacked(self._group.sum(packed(gained)), gained)
        _assign(variables, [start + part for start, part in zip(begun, total, strict=True)])
        return {key: state.plain(value) for key, value in model.get_metrics_result().items()}

    def _beginnings(self, model: Any, variables: list[Any], states: Arrays) -> Arrays:
        model.reset_metrics()
        begun = _values(variables)
        _assign(variables, states)
        return begun


def affordable(model: Any) -> bool:
    """Whether the metrics' states are few enough numbers to be added up in each step."""
    return sum(int(np.prod(one.shape)) for one in model.metrics_variables) <= MOST


def sendable(logs: dict[str, Any]) -> dict[str, Any]:
    """Return logs as JSON takes them."""
    return {key: value.tolist() if hasattr(value, "tolist") else value for key, value in logs.items()}


def packed(arrays: list[npt.NDArray[Any]]) -> npt.NDArray[np.float64]:
    """Return arrays as one vector."""
    return np.concatenate([np.ravel(one) for one in arrays]) if arrays else np.empty(0)


def unpacked(vector: npt.NDArray[np.float64], like: list[npt.NDArray[Any]]) -> Arrays:
    """Return a vector as arrays of the shapes of others."""
    ends = np.cumsum([one.size for one in like])[:-1]
    return (
        [part.reshape(one.shape) for part, one in zip(np.split(vector, ends), like, strict=True)]
        if like
        else []
    )


def _of_metrics(model: Any, logs: dict[str, Any]) -> bool:
    return set(model.get_metrics_result()) == set(logs)


def _values(variables: list[Any]) -> Arrays:
    return [state.value(one).astype(np.float64) for one in variables]


def _assign(variables: list[Any], values: Arrays) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value.astype(variable.dtype))
