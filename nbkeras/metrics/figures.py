"""Figures: what a report says of predictions, as numbers, arrays and tables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from nbkeras.metrics import confusion, curves
from nbkeras.metrics.amounts import Amounts
from nbkeras.metrics.classes import Classes
from nbkeras.metrics.curves import Area, PrecisionRecall, Roc
from nbkeras.metrics.labels import Labels
from nbkeras.metrics.scores import Floats
from nbkeras.metrics.sums import CELLS

if TYPE_CHECKING:
    import pandas as pd


_WHOLE = "all amounts are whole numbers: if they are classes, give task='classification'"


@dataclass(frozen=True, repr=False)
class Figures:
    """What predictions are worth.

    Attributes:
        task: "classification", "labels" where a row may have several, or "regression".
        rows: their number.
        figures: by name, as scikit-learn defines them.
        areas: of these, the ones that may be inexact: how far the exact value can be off.
        classes: names of the classes or labels, or of the amounts.
        per_class: precision, recall, F1, support, and the areas under the curves, by class.
        averages: precision, recall, F1 and support, by kind of average.
        confusion: weights of rows, by actual and by predicted class.
        roc, precision_recall: curves by class; of two classes for the second one.
        calibration: by class, and of all as "confidence", the predicted and the actual frequency in cells of
            equal width.
        top: by k up to 10, the part of the rows whose class is among the k most probable ones; a class as
            probable as the actual one does not push it out.
        sample: up to 2,000 rows drawn at random, actual and predicted.
        metrics: the model's own loss and metrics.
        slices: the figures by the values of a column.
        worst: the rows that are predicted worst, with their own columns.
        notes: sentences.
        title: what it is a report of: the model, or the column of predictions.
        made: time, in seconds since 1970.
    """

    task: str
    rows: int
    figures: dict[str, float]
    areas: dict[str, float] = field(default_factory=dict)
    classes: tuple[str, ...] = ()
    per_class: pd.DataFrame | None = None
    averages: pd.DataFrame | None = None
    confusion: pd.DataFrame | None = None
    roc: dict[str, Roc] = field(default_factory=dict)
    precision_recall: dict[str, PrecisionRecall] = field(default_factory=dict)
    calibration: dict[str, pd.DataFrame] = field(default_factory=dict)
    top: dict[int, float] = field(default_factory=dict)
    sample: pd.DataFrame | None = None
    metrics: dict[str, Any] = field(default_factory=dict)
    slices: pd.DataFrame | None = None
    worst: pd.DataFrame | None = None
    notes: tuple[str, ...] = ()
    title: str = "report"
    made: float = 0.0


def of(sums: Classes | Labels | Amounts, names: Sequence[str], *, weighted: bool = False) -> Figures:
    """Compute all figures.

    Args:
        sums: over all rows, of which there is at least one.
        names: of the classes, the labels or the amounts.
        weighted: whether rows have weights.

    Example:
        >>> import numpy as np
        >>> sums = Classes(2, scored=False, cells=100)
        >>> _ = sums.add(np.array([0, 1, 1, 0]), np.array([0, 1, 0, 0]), None, np.ones(4))
        >>> of(sums, ["no", "yes"]).figures["accuracy"]
        0.75
    """
    if isinstance(sums, Classes):
        return _of_classes(sums, tuple(names), weighted=weighted)
    if isinstance(sums, Labels):
        return _of_labels(sums, tuple(names), weighted=weighted)
    return _of_amounts(sums, tuple(names))


def _of_classes(sums: Classes, names: tuple[str, ...], *, weighted: bool) -> Figures:
    import pandas as pd

    matrix, found = sums.sums["confusion"], {}
    total, right = matrix.sum(), np.diag(matrix)
    actual, predicted = matrix.sum(axis=1), matrix.sum(axis=0)
    # As scikit-learn's: classes that neither occur nor are predicted are none.
    there = np.flatnonzero(sums.sums["seen"])
    found["accuracy"] = float(right.sum() / total)
    found["balanced accuracy"] = confusion.balanced_accuracy(matrix)
    found["kappa"], found["mcc"] = confusion.kappa(matrix), confusion.matthews(matrix)
    if sums.scored:
        found["log loss"] = float(sums.sums["log loss"] / total)
        half = 2 if sums.number == 2 else 1  # of two classes, that of the second
        found["brier"] = float(sums.sums["brier"] / total / half)
        found["ece"] = _expected_error(sums.sums["confidence"])
    per_class, averages = _tables(
        right[there], predicted[there], actual[there], [names[one] for one in there]
    )
    drawn = _Curves(sums, names)
    drawn.into(per_class)
    areas = drawn.figures(found)
    reached = np.cumsum(sums.sums["ranks"]) / total if sums.scored else np.empty(0)
    calibrated = {"confidence": _calibration(sums.sums["confidence"])} if sums.scored else {}
    return Figures(
        "classification",
        sums.rows,
        found,
        areas,
        names,
        _whole(per_class, weighted=weighted),
        _whole(averages, weighted=weighted),
        pd.DataFrame(
            matrix if weighted else matrix.astype(np.int64),
            pd.Index(names, name="actual"),
            pd.Index(names, name="predicted"),
        ),
        drawn.roc,
        drawn.precision_recall,
        calibrated | drawn.calibration,
        {k: float(reached[k - 1]) for k in range(1, min(len(reached), 11))},
        notes=_absent(names, there),
    )


def _of_labels(sums: Labels, names: tuple[str, ...], *, weighted: bool) -> Figures:
    own, total = sums.sums, sums.sums["weight"]
    found = {"subset accuracy": float(own["whole"] / total), "hamming loss": float(own["wrong"] / total)}
    if sums.scored:
        found["log loss"] = float(own["log loss"] / total)
    per_class, averages = _tables(own["true"], own["predicted"], own["actual"], names)
    averages.loc["samples avg"] = [*(own["samples"] / total), own["actual"].sum()]
    drawn = _Curves(sums, names)
    drawn.into(per_class)
    areas = drawn.figures(found)
    return Figures(
        "labels",
        sums.rows,
        found,
        areas,
        names,
        _whole(per_class, weighted=weighted),
        _whole(averages, weighted=weighted),
        roc=drawn.roc,
        precision_recall=drawn.precision_recall,
        calibration=drawn.calibration,
    )


def _of_amounts(sums: Amounts, names: tuple[str, ...]) -> Figures:
    import pandas as pd

    total, (_, spread, bias, around) = sums.sums["weight"], sums.moments
    squares = sums.sums["squares"] / total
    table = pd.DataFrame(
        {
            "mae": sums.sums["absolute"] / total,
            "mse": squares,
            "rmse": np.sqrt(squares),
            "r2": _explained(sums.sums["squares"], spread) if sums.rows > 1 else math.nan,
            "explained variance": _explained(around, spread),
            "bias": bias,
            "max error": sums.largest,
        },
        pd.Index(names, name="amount"),
    )
    found = {str(name): float(value) for name, value in table.mean().items()}
    found["max error"] = float(sums.largest.max())
    actual, predicted = sums.sample
    columns = {
        f"{kind}{'' if len(names) == 1 else ' ' + name}": values[:, place]
        for kind, values in (("actual", actual), ("predicted", predicted))
        for place, name in enumerate(names)
    }
    return Figures(
        "regression",
        sums.rows,
        found,
        classes=names,
        per_class=table if len(names) > 1 else None,
        sample=pd.DataFrame(columns),
        notes=(_WHOLE,)
        if (actual == np.rint(actual)).all() and (predicted == np.rint(predicted)).all()
        else (),
    )


def _explained(squares: Floats, spread: Floats) -> Floats:
    """The part of a spread that is not left in the errors; as scikit-learn has it where there is none."""
    with np.errstate(divide="ignore", invalid="ignore"):
        explained = 1 - squares / spread
    return np.where(spread > 0, explained, np.where(squares > 0, 0.0, 1.0))


def _tables(true: Floats, predicted: Floats, actual: Floats, names: Sequence[str]) -> tuple[Any, Any]:
    """Precision, recall, F1 and support by class, and their averages."""
    import pandas as pd

    columns = ("precision", "recall", "f1-score", "support")
    each = np.stack([*confusion.precision_recall_f1(true, predicted, actual), actual], axis=1)
    whole = np.array([true.sum(), predicted.sum(), actual.sum()])
    micro = [float(one) for one in confusion.precision_recall_f1(*whole)]
    rows = {
        "micro avg": micro,
        "macro avg": each[:, :3].mean(axis=0),
        "weighted avg": confusion.ratio(actual @ each[:, :3], actual.sum()),
    }
    averages = pd.DataFrame([[*row, actual.sum()] for row in rows.values()], [*rows], columns)
    return pd.DataFrame(each, pd.Index(names, name="class"), columns), averages


def _whole(table: Any, *, weighted: bool) -> Any:
    """Rows are counted in whole numbers where they have no weights."""
    return table if weighted else table.astype({"support": np.int64})


class _Curves:
    """The curves of the classes that have them."""

    def __init__(self, sums: Classes | Labels, names: Sequence[str]) -> None:
        self._own = {names[place]: scores for place, scores in zip(sums.questions, sums.scores, strict=True)}
        self._auc = {name: curves.roc_auc(one) for name, one in self._own.items()}
        self._precision = {name: curves.average_precision(one) for name, one in self._own.items()}
        self.roc = {name: curves.roc(one) for name, one in self._own.items()}
        self.precision_recall = {name: curves.precision_recall(one) for name, one in self._own.items()}
        cells = sums.sums.get("calibration", ())
        self.calibration = {name: _calibration(one) for name, one in zip(self._own, cells, strict=True)}

    def into(self, table: Any) -> None:
        """Add the areas to the table of classes."""
        if self._own:
            for title, areas in (("roc auc", self._auc), ("average precision", self._precision)):
                table[title] = [areas[name].value if name in areas else math.nan for name in table.index]

    def figures(self, found: dict[str, float]) -> dict[str, float]:
        """Add the areas, of several classes their mean, to the figures; return how far off these can be."""
        errors = {}
        for title, areas in (("roc auc", self._auc), ("average precision", self._precision)):
            # Where all rows have one answer there is none.
            known: list[Area] = [one for one in areas.values() if not math.isnan(one.value)]
            if areas:
                found[title] = float(np.mean([one.value for one in known])) if known else math.nan
                errors[title] = float(np.mean([one.error for one in known])) if known else 0.0
        return {title: error for title, error in errors.items() if error}


def _calibration(cells: Floats) -> pd.DataFrame:
    import pandas as pd

    weight, probabilities, happened = cells
    with np.errstate(invalid="ignore"):
        table = pd.DataFrame(
            {"predicted": probabilities / weight, "actual": happened / weight, "weight": weight},
            pd.Index(np.arange(CELLS) / CELLS, name="from"),
        )
    return table[table["weight"] > 0]


def _expected_error(cells: Floats) -> float:
    """The expected calibration error: C. Guo et al., "On Calibration of Modern Neural Networks", 2017."""
    weight, probabilities, happened = cells
    return float(np.abs(probabilities - happened).sum() / weight.sum())


def _absent(names: tuple[str, ...], there: Any) -> tuple[str, ...]:
    missing = [names[place] for place in np.setdiff1d(np.arange(len(names)), there)]
    if not missing:
        return ()
    listed = ", ".join(missing[:5]) + ("" if len(missing) <= 5 else f" and {len(missing) - 5} more")
    return (f"no row is of, or is predicted as: {listed}; averages leave these out",)
