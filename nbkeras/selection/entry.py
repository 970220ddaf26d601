"""Entry: one contestant's line in a comparison, and what all of them come to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from nbkeras.errors import OptionError
from nbkeras.metrics.figures import Figures

Status = Literal["waiting", "training", "scoring", "done", "failed", "stopped"]
#: Figures of which a lower one is better; of all others a higher one is.
_LOWER = (
    *("log loss", "brier", "ece", "hamming loss"),
    *("mae", "mse", "rmse", "max error"),
)
#: What a comparison is judged by, and the figures of its table.
JUDGED = {"classification": "accuracy", "regression": "rmse"}
MACRO_F1 = "macro f1"
SHOWN: dict[str, tuple[str, ...]] = {
    "classification": ("accuracy", MACRO_F1, "log loss", "roc auc"),
    "regression": ("rmse", "mae", "r2"),
}
_KNOWN = {
    "classification": (
        *SHOWN["classification"],
        *("balanced accuracy", "average precision", "kappa", "mcc", "brier", "ece"),
    ),
    "regression": (*SHOWN["regression"], "mse", "explained variance", "max error"),
}


@dataclass(frozen=True)
class Entry:
    """What is known of a contestant.

    Attributes:
        name: of it, each once.
        kind: "Keras", "MLlib" or "baseline".
        status: where it is.
        reports: what it reached on the rows to score on, of each fold.
        train_seconds, predict_seconds: over all folds.
        rows: that were predicted in these seconds.
        size: how much it has learned, in words.
        note: what the reader should know; of a failed one why.
        models: what was trained, of the last fold.
    """

    name: str
    kind: str
    status: Status = "waiting"
    reports: tuple[Figures, ...] = ()
    train_seconds: float = 0.0
    predict_seconds: float = 0.0
    rows: int = 0
    size: str = ""
    note: str = ""
    models: tuple[Any, ...] = ()

    def values(self, metric: str) -> list[float]:
        """A figure of each fold; none where it has none."""
        found = [figure(one, metric) for one in self.reports]
        return [] if any(map(math.isnan, found)) else found

    def mean(self, metric: str) -> float:
        """A figure, on average over the folds; NaN where there is none."""
        values = self.values(metric)
        return float(np.mean(values)) if values else math.nan

    def spread(self, metric: str) -> float:
        """The standard deviation of a figure over the folds; NaN where there are not two.

        Example:
            >>> from nbkeras.metrics.figures import Figures
            >>> folds = tuple(Figures("regression", 10, {"rmse": value}) for value in (1.0, 2.0, 3.0))
            >>> Entry("forest", "MLlib", reports=folds).spread("rmse")
            1.0
        """
        values = self.values(metric)
        return float(np.std(values, ddof=1)) if len(values) > 1 else math.nan


@dataclass(frozen=True)
class Verdict:
    """What won, and by how much.

    Attributes:
        winner, second: the best two; the same where there is one alone.
        difference: how much better the winner is, not below 0.
        spread: standard deviation of the difference over the folds, 0 where there are none.
        ahead: in how many folds it is.
        folds: their number.
        over_baseline: whether the winner is better than the baseline, or is not known to be worse.
    """

    winner: Entry
    second: Entry
    difference: float
    spread: float
    ahead: int
    folds: int
    over_baseline: bool


def require_metric(metric: Any, task: str) -> None:
    """Refuse what is no figure of a report.

    Raises:
        OptionError: it is none.
    """
    known = _KNOWN[task]
    if metric not in known:
        raise OptionError(f"metric={metric!r}: use one of {', '.join(map(repr, known))} for {task}")


def figure(report: Figures, metric: str) -> float:
    """A figure of a report; NaN where it has none."""
    if metric == MACRO_F1 and report.averages is not None:
        return float(report.averages.loc["macro avg", "f1-score"])
    return report.figures.get(metric, math.nan)


def is_lower_better(metric: str) -> bool:
    """Whether the lowest value of a figure is the best."""
    return metric in _LOWER


def ranked(entries: Sequence[Entry], metric: str) -> list[Entry]:
    """Those that have ended, the best first, then all others, in their order.

    Example:
        >>> from nbkeras.metrics.figures import Figures
        >>> def entry(name, value):
        ...     return Entry(name, "MLlib", "done", (Figures("regression", 10, {"rmse": value}),))
        >>> [one.name for one in ranked([entry("a", 2.0), Entry("b", "MLlib"), entry("c", 1.0)], "rmse")]
        ['c', 'a', 'b']
    """
    sign = 1 if is_lower_better(metric) else -1
    ended = [one for one in entries if one.status == "done"]
    key = {one.name: sign * one.mean(metric) for one in ended}
    best = sorted(ended, key=lambda one: (math.isnan(key[one.name]), key[one.name]))
    return [*best, *(one for one in entries if one.status != "done")]


def verdict(entries: Sequence[Entry], metric: str) -> Verdict | None:
    """Say what won; None where nothing has ended.

    Example:
        >>> from nbkeras.metrics.figures import Figures
        >>> def entry(name, value):
        ...     return Entry(name, "MLlib", "done", (Figures("regression", 10, {"rmse": value}),))
        >>> verdict([entry("forest", 2.0), entry("linear", 1.5)], "rmse").difference
        0.5
    """
    ended = [one for one in ranked(entries, metric) if one.status == "done" and one.values(metric)]
    if not ended:
        return None
    winner, second = ended[0], ended[min(1, len(ended) - 1)]
    sign = -1 if is_lower_better(metric) else 1
    better = [
        sign * (ours - theirs)
        for ours, theirs in zip(winner.values(metric), second.values(metric), strict=True)
    ]
    baseline = next((one for one in ended if one.kind == "baseline"), None)
    return Verdict(
        winner,
        second,
        float(np.mean(better)),
        float(np.std(better, ddof=1)) if len(better) > 1 else 0.0,
        sum(one > 0 for one in better),
        len(better),
        baseline is None or (baseline is not winner and winner.mean(metric) != baseline.mean(metric)),
    )
