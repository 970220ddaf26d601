"""What is drawn of a run, in the browser as in the static picture: charts, curves, points."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Points = tuple[NDArray[np.float64], NDArray[np.float64]]

#: Okabe and Ito's colours that are readable on white and on black, told apart
#: by everyone; lines differ by dashes and labels too.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")

MAX_POINTS = 400  # of one curve: more than a chart has pixels to tell them apart
MAX_CHARTS = 12
MAX_ENTRIES = 10  # of one chart: the classes of a per-class metric
#: What float32 and every axis can take.
LIMIT = 1e37

#: Whole words of a metric's name, behind which may stand what it is measured at; of several outputs each
#: name begins with the output's, which may be any word.
_LOWER_IS_BETTER = re.compile(
    r"(^|_)(\w*loss|error|mae|r?mse|mape|msle|crossentropy|entropy|hinge|divergence)$"
)
_HIGHER_IS_BETTER = re.compile(
    r"(^|_)([a-z]*acc|[a-z]*accuracy|[a-z]*auc|auroc|precision|recall|f1|fbeta|score|r2|m?iou|io_u|dice|similarity|"
    r"sensitivity|specificity|true|bleu|correlation)($|_)"
)
#: The entry of an array, or the number of a metric that is there twice.
_NUMBER = re.compile(r"(\[\d+\]|_\d+)$")
_NEITHER_IS_BETTER = re.compile(r"learning_rate|^lr$")


@dataclass(frozen=True)
class Curve:
    """One line of one chart.

    Attributes:
        name: the key in ``run.history``, for arrays with the entry's index.
        chart: the title of the chart that it belongs to.
        entry: its name within the chart, empty when the chart has only one
            metric.
        validation: whether it was measured on validation rows (drawn dashed).
        colour: an index of ``COLOURS``, the same for training and validation.
    """

    name: str
    chart: str
    entry: str
    validation: bool
    colour: int


def arrange(names: Iterable[str]) -> list[Curve]:
    """Give every curve its chart and colour, the loss first.

    Losses share one chart, so do the entries of an array metric; every other
    metric has its own. Curves beyond ``MAX_CHARTS`` and ``MAX_ENTRIES`` are
    left out.

    Example:
        >>> [(curve.name, curve.chart) for curve in arrange(["auc", "loss", "val_loss"])]
        [('loss', 'loss'), ('val_loss', 'loss'), ('auc', 'auc')]
    """
    charts: dict[str, dict[str, list[str]]] = {"loss": {}}
    for name in names:
        metric = name.removeprefix("val_")
        chart = "loss" if metric.endswith("loss") else re.sub(r"\[\d+\]$", "", metric)
        charts.setdefault(chart, {}).setdefault(metric, []).append(name)
    shown = [(chart, metrics) for chart, metrics in charts.items() if metrics][:MAX_CHARTS]
    return [
        Curve(
            name=name,
            chart=chart,
            entry="" if len(metrics) == 1 else metric.removeprefix(chart) or metric,
            validation=name.startswith("val_"),
            colour=(place if len(metrics) == 1 else index) % len(COLOURS),
        )
        for place, (chart, metrics) in enumerate(shown)
        for index, (metric, curves) in enumerate(list(metrics.items())[:MAX_ENTRIES])
        for name in curves
    ]


def thin(epochs: Sequence[int], values: Sequence[float], limit: int = MAX_POINTS) -> Points:
    """Reduce a curve to the points that can be seen, lowest and highest of each stretch.

    NaN and infinity cannot be drawn and are left out.

    Args:
        epochs: the epoch of every value.
        values: one value per epoch.
        limit: the most points to keep.

    Example:
        >>> epochs, values = thin(range(1, 1001), [0.5] * 999 + [9.0], limit=10)
        >>> len(epochs) <= 10, epochs[-1], values[-1]
        (True, np.float64(1000.0), np.float64(9.0))
    """
    import numpy as np

    x, y = np.asarray(epochs, float), np.asarray(values, float)
    finite = np.isfinite(y)
    if not finite.all():
        x, y = x[finite], y[finite]
    if (np.diff(x) < 0).any():  # an epoch that was missed on the wire came late
        order = np.argsort(x)
        x, y = x[order], y[order]
    if len(x) > limit:
        width = -(-len(x) // ((limit - 2) // 2))
        rows = np.pad(y, (0, -len(y) % width), mode="edge").reshape(-1, width)
        starts = np.arange(len(rows)) * width
        picked = np.concatenate(([0, len(x) - 1], starts + rows.argmin(1), starts + rows.argmax(1)))
        picked = np.unique(picked.clip(max=len(x) - 1))
        x, y = x[picked], y[picked]
    return x, y.clip(-LIMIT, LIMIT)


def packed(points: Points) -> bytes:
    """Points as the page reads them: float32 pairs (epoch, value).

    Example:
        >>> len(packed(thin([1, 2], [0.5, 0.25])))
        16
    """
    import numpy as np

    return np.column_stack(points).astype("<f4").tobytes()


def best(name: str, epochs: Sequence[int], values: Sequence[float]) -> tuple[float, int] | None:
    """Find a curve's best value and its epoch; None when no value is better than another.

    Example:
        >>> best("accuracy", [1, 2, 3], [0.5, 0.9, 0.8])
        (0.9, 2)
        >>> best("val_loss", [1, 2, 3], [0.5, 0.4, float("nan")])
        (0.4, 2)
    """
    if _NEITHER_IS_BETTER.search(name):
        return None
    finite = [(value, epoch) for value, epoch in zip(values, epochs, strict=True) if math.isfinite(value)]
    if not finite:
        return None
    metric = _NUMBER.sub("", name.removeprefix("val_").lower())
    higher = not _LOWER_IS_BETTER.search(metric) and _HIGHER_IS_BETTER.search(metric)
    sign = -1 if higher else 1
    return min(finite, key=lambda pair: (sign * pair[0], pair[1]))


def judged(
    metric: str, epochs: Sequence[int], curves: Mapping[str, Sequence[float]]
) -> tuple[str, tuple[float, int]] | None:
    """Find the curve on which a metric is judged, validation's where there is one, and its best.

    Example:
        >>> judged("loss", [1, 2], {"loss": [0.5, 0.25], "val_loss": [0.4, 0.6]})
        ('val_loss', (0.4, 1))
    """
    for name in (f"val_{metric}", metric):
        values = curves.get(name)
        if values and any(map(math.isfinite, values)):
            found = best(name, epochs, values)
            return None if found is None else (name, found)
    return None


def ring(
    metric: str, name: str, epochs: Sequence[int], curves: Mapping[str, Sequence[float]]
) -> tuple[int, float] | None:
    """Find the best point of a metric, epoch and value as they are drawn, if it is one of this curve's.

    The parts of a loss and the entries of an array have none: a chart would be full of rings.

    Example:
        >>> values = {"loss": [0.5, 0.25], "val_loss": [0.4, 0.6]}
        >>> [ring("loss", name, [1, 2], values) for name in values]
        [None, (1, 0.4)]
    """
    found = judged(metric, epochs, curves)
    if found is None or found[0] != name:
        return None
    value, epoch = found[1]
    return epoch, drawn(value)


def drawn(value: float) -> float:
    """A value, finite, as every axis can take it.

    Example:
        >>> drawn(0.5), drawn(-1e300)
        (0.5, -1e+37)
    """
    return min(max(value, -LIMIT), LIMIT)


def spread(places: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Push labels apart until none covers another, each as near to its place as that allows.

    Example:
        >>> spread([50.0, 52.0, 90.0], gap=12, low=0, high=100)
        [50.0, 62.0, 90.0]
    """
    order = sorted(range(len(places)), key=places.__getitem__)
    moved = list(places)
    floor = low
    for index in order:
        moved[index] = floor = max(moved[index], floor)
        floor += gap
    ceiling = high
    for index in reversed(order):
        moved[index] = ceiling = min(moved[index], ceiling)
        ceiling -= gap
    return moved


def nice_step(rough: float) -> int:
    """Round a distance of ticks up to 1, 2 or 5 times a power of ten.

    Example:
        >>> nice_step(0.4), nice_step(2.25), nice_step(2400)
        (1, 5, 5000)
    """
    power = 1
    while True:
        for digit in (1, 2, 5):
            if digit * power >= rough:
                return digit * power
        power *= 10
