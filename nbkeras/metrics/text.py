"""Figures as text, in the layout of ``sklearn.metrics.classification_report``."""

from __future__ import annotations

from typing import Any

from nbkeras.metrics.figures import Figures

#: Of the parts of rows whose class is among the k most probable ones, those up to this k are shown.
TOP = 5
_COLUMNS = ("precision", "recall", "f1-score", "support")


def report(figures: Figures) -> str:
    """Return the table of classes, if there is one, and the other figures below it."""
    parts = [] if figures.averages is None else [_table(figures)]
    shown = {name: value for name, value in figures.figures.items() if name != "accuracy" or not parts}
    lines = [_line(name, value, figures.areas.get(name, 0.0)) for name, value in shown.items()]
    lines += [_line(f"top {k}", value) for k, value in figures.top.items() if 1 < k <= TOP]
    lines += [_line(f"the model's {name}", value) for name, value in figures.metrics.items()]
    parts.append("\n".join([f"{figures.rows:,} rows", *lines]))
    if figures.slices is not None:
        parts.append(figures.slices.to_string(float_format="{:.4f}".format))
    if figures.worst is not None:
        parts.append(figures.worst.to_string(max_rows=20, max_colwidth=30))
    return "\n\n".join([*parts, *figures.notes])


def _line(name: str, value: Any, error: float = 0.0) -> str:
    number = f"{value:.4f}" if isinstance(value, float) else str(value)
    return f"{name}: {number}" + (f" ± {error:.1g}" if error else "")


def _table(figures: Figures) -> str:
    assert figures.per_class is not None
    assert figures.averages is not None
    averages = figures.averages
    alone = figures.task == "classification"
    width = max(*(len(str(name)) for name in figures.per_class.index), len("weighted avg"))
    rows = [_row(str(name), row, width) for name, row in figures.per_class[[*_COLUMNS]].iterrows()]
    below = []
    for name, row in averages.iterrows():
        if name == "micro avg" and alone:
            # Of all classes it is the accuracy.
            value = f"{'':>9} {'':>9} {figures.figures['accuracy']:>9.2f}"
            below.append(f"{'accuracy':>{width}}  {value} {_support(row['support']):>9}")
        else:
            below.append(_row(str(name), row, width))
    head = " " * width + "  " + " ".join(f"{name:>9}" for name in _COLUMNS)
    return "\n".join([head, "", *rows, "", *below]) + "\n"


def _row(name: str, row: Any, width: int) -> str:
    numbers = " ".join(f"{row[column]:>9.2f}" for column in _COLUMNS[:3])
    return f"{name:>{width}}  {numbers} {_support(row['support']):>9}"


def _support(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else f"{value:.2f}"
