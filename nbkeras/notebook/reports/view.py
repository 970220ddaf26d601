"""The live view of a report: what a page gets of it, in bounded size, and the HTML that needs no kernel."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from nbkeras.metrics import plain, text
from nbkeras.metrics.confusion import mistaken
from nbkeras.metrics.curves import PrecisionRecall, Roc
from nbkeras.metrics.described import described
from nbkeras.metrics.figures import Figures
from nbkeras.notebook import embedded
from nbkeras.notebook.chart import COLOURS
from nbkeras.notebook.picture import Drawn
from nbkeras.notebook.reports import drawing
from nbkeras.notebook.words import REPORT, for_page
from nbkeras.run.kept import Kept

STYLES = ("theme.css", "panel.css", "report.css")
#: What a page gets at most: classes in the matrix, of more the pairs that are mistaken most; classes in the
#: table; classes with curves, and points of each; rows of the sample.
_MATRIX, _PAIRS, _CLASSES, _CURVES, _POINTS, _SAMPLE = 100, 100, 200, 20, 100, 500
#: Of the worst rows: rows, columns, letters of a value.
_WORST, _COLUMNS, _LETTERS = 100, 30, 100


def bundle(report: Figures) -> dict[str, str]:
    """Render a report for a page's output: its picture and tables, which a script turns into the live view.

    Args:
        report: of any task.

    Example:
        >>> sorted(bundle(Figures("regression", 2, {"r2": 0.5})))
        ['text/html', 'text/plain']
    """
    drawn = drawing.draw(report)
    picture = {} if drawn is None else {"image/png": drawn.base64}
    return {"text/plain": text.report(report), **picture, "text/html": page(report, drawn)}


def page(report: Figures, drawn: Drawn | None) -> str:
    """The picture and the tables as HTML, which a script turns into the live view.

    Args:
        report: of any task.
        drawn: its picture.
    """
    values = {"words": words(), "state": state(report)}
    return embedded.page(drawing.page(report, drawn), "report.js", "showReport", values, STYLES)


def words() -> dict[str, Any]:
    """What the view says, and its colours."""
    return for_page(REPORT, colours=list(COLOURS))


def state(report: Figures) -> dict[str, Any]:
    """What the view draws: the report as in its JSON file, but cut to a size, and the pairs mistaken most.

    Args:
        report: of any task.

    Example:
        >>> state(Figures("regression", 2, {"r2": 0.5}))["report"]["figures"]
        {'r2': 0.5}
    """
    pairs: list[list[Any]] = []
    if report.confusion is not None and len(report.confusion) > _MATRIX:
        names, totals = [*report.confusion.index], report.confusion.sum(axis=1).to_numpy()
        found = mistaken(report.confusion.to_numpy(float), _PAIRS)
        pairs = [[names[one], names[other], weight, weight / totals[one]] for one, other, weight in found]
    shown = cut(report)
    return {"report": described(shown), "pairs": pairs, "cut": _sizes(shown) != _sizes(report)}


def kept(one: Kept) -> dict[str, Any]:
    """What a page gets of anything that is kept: what its live view draws, and its picture."""
    return {"picture": one.bundle().get("image/png", ""), **one.live()}


def cut(report: Figures) -> Figures:
    """The report without what a page has no room for.

    Args:
        report: of any task.
    """
    rows = {} if report.per_class is None else dict(report.per_class.get("support", {}))
    drawn = sorted(report.roc, key=lambda name: -rows.get(name, 0))[:_CURVES]
    calibrated = [name for name in report.calibration if name == "confidence" or name in drawn]
    return replace(
        report,
        confusion=None
        if report.confusion is not None and len(report.confusion) > _MATRIX
        else report.confusion,
        per_class=_weakest(report.per_class),
        roc={name: Roc(*_thin(report.roc[name])) for name in drawn},
        precision_recall={name: PrecisionRecall(*_thin(report.precision_recall[name])) for name in drawn},
        calibration={name: report.calibration[name] for name in calibrated},
        sample=None if report.sample is None else report.sample.head(_SAMPLE),
        worst=None if report.worst is None else _shortened(report.worst),
    )


def _sizes(report: Figures) -> list[int]:
    """By which is seen whether something was cut."""
    tables = (report.confusion, report.per_class, report.sample, report.worst)
    curves: list[Any] = [*report.roc.values(), *report.precision_recall.values()]
    return [*(0 if one is None else one.size for one in tables), *(len(one.thresholds) for one in curves)]


def _weakest(table: Any) -> Any:
    """The classes with the lowest F1 of many, in their order."""
    if table is None or len(table) <= _CLASSES:
        return table
    worst = table["f1-score"].to_numpy() if "f1-score" in table else np.arange(len(table))
    return table.iloc[np.sort(np.argsort(worst, kind="stable")[:_CLASSES])]


def _thin(curve: Roc | PrecisionRecall) -> list[Any]:
    """Points of a curve, as far from each other on it, to four digits."""
    x, y, _ = vars(curve).values()
    along = np.concatenate([[0.0], np.cumsum(np.hypot(np.diff(x), np.diff(y)))])
    # Without any rows of one answer there is no curve, and any points are as good.
    way = along if np.isfinite(along).all() else np.arange(len(x), dtype=float)
    chosen = np.unique(np.searchsorted(way, np.linspace(0, way[-1], _POINTS)).clip(0, len(x) - 1))
    return [np.round(one[chosen[chosen < len(one)]], 4) for one in vars(curve).values()]


def _shortened(table: Any) -> Any:
    """The first rows and columns, and those that were added; anything but numbers in a few words."""
    ends = [name for name in table.columns if str(name).startswith("_")][-3:]
    names = [*[name for name in table.columns if name not in ends][:_COLUMNS], *ends]
    return table[names].head(_WORST).apply(lambda one: one if one.dtype.kind in "biuf" else one.map(_words))


def _words(value: Any) -> Any:
    import pandas as pd

    if np.ndim(value) == 0 and pd.isna(value):
        return None
    if isinstance(value, bytes):
        return REPORT["bytes"].format(count=f"{len(value):,}")
    made = value if isinstance(value, str) else str(plain.value(value))
    return made if len(made) <= _LETTERS else made[: _LETTERS - 1] + "…"
