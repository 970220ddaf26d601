"""A report as what JSON has, whole: every figure, table and curve, and back."""

from __future__ import annotations

from typing import Any

from nbkeras.metrics import plain
from nbkeras.metrics.curves import PrecisionRecall, Roc
from nbkeras.metrics.figures import Figures

#: A later layout has another number.
_FORMAT = "nbkeras report 1"
#: Tables of pandas among the figures.
TABLES = ("per_class", "averages", "confusion", "slices", "worst", "sample")
_CURVES = {"roc": Roc, "precision_recall": PrecisionRecall}


def described(figures: Figures) -> dict[str, Any]:
    """All of a report by name, as strict JSON takes it: NaN is null, an infinity a word.

    Args:
        figures: of the report.

    Example:
        >>> described(Figures("regression", 2, {"r2": float("nan")}))["figures"]
        {'r2': None}
    """
    found: dict[str, Any] = {
        "format": _FORMAT,
        "title": figures.title,
        "made": figures.made,
        "task": figures.task,
        "rows": int(figures.rows),
        "figures": {name: plain.number(one) for name, one in figures.figures.items()},
        "areas": {name: plain.number(one) for name, one in figures.areas.items()},
        "classes": list(figures.classes),
        "top": {str(k): plain.number(one) for k, one in figures.top.items()},
        "metrics": {name: _metric(one) for name, one in figures.metrics.items()},
        "notes": list(figures.notes),
    }
    for name in TABLES:
        one = getattr(figures, name)
        found[name] = None if one is None else plain.table(one)
    for name in _CURVES:
        found[name] = {title: _curve(one) for title, one in getattr(figures, name).items()}
    found["calibration"] = {title: plain.table(one) for title, one in figures.calibration.items()}
    return found


def figures(found: dict[str, Any]) -> Figures:
    """The report that :func:`described` has described.

    Args:
        found: what it has returned, perhaps through JSON.

    Raises:
        ValueError: it is of another layout.

    Example:
        >>> figures(described(Figures("regression", 2, {"r2": 0.5}))).figures
        {'r2': 0.5}
    """
    if found["format"] != _FORMAT:
        raise ValueError(f"its format is {found['format']!r:.60}, not {_FORMAT!r}")
    tables: dict[str, Any] = {
        name: None if found[name] is None else plain.read_table(found[name]) for name in TABLES
    }
    curves: dict[str, Any] = {name: _curves(kind, found[name]) for name, kind in _CURVES.items()}
    return Figures(
        title=str(found["title"]),
        made=float(found["made"]),
        task=str(found["task"]),
        rows=int(found["rows"]),
        figures={name: plain.read_number(one) for name, one in found["figures"].items()},
        areas={name: plain.read_number(one) for name, one in found["areas"].items()},
        classes=tuple(found["classes"]),
        top={int(k): plain.read_number(one) for k, one in found["top"].items()},
        metrics={name: _read_metric(one) for name, one in found["metrics"].items()},
        notes=tuple(found["notes"]),
        calibration={title: plain.read_table(one) for title, one in found["calibration"].items()},
        **tables,
        **curves,
    )


def _metric(one: Any) -> Any:
    """A metric of the model, which may give one value for each class."""
    return plain.number(one) if isinstance(one, float) else plain.value(one)


def _read_metric(one: Any) -> Any:
    return plain.read_number(one) if one is None or isinstance(one, str) else plain.read_value(one)


def _curve(one: Roc | PrecisionRecall) -> dict[str, list[Any]]:
    return {name: plain.numbers(values) for name, values in vars(one).items()}


def _curves(kind: Any, found: dict[str, Any]) -> dict[str, Any]:
    return {
        title: kind(**{name: plain.read_numbers(one) for name, one in curve.items()})
        for title, curve in found.items()
    }
