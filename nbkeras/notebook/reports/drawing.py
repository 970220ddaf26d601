"""How a report looks: one picture, tables below it, and all of it as text."""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from nbkeras.metrics.confusion import mistaken
from nbkeras.metrics.figures import Figures
from nbkeras.metrics.text import TOP
from nbkeras.notebook import fonts, picture, text
from nbkeras.notebook.chart import COLOURS
from nbkeras.notebook.picture import GREY, SHARPNESS, Drawn
from nbkeras.notebook.words import REPORT

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: In CSS pixels, of one chart.
_WIDTH, _HEIGHT = 300, 260
#: Points of a curve that are drawn.
_POINTS = 200
#: Classes that a picture shows.
_CLASSES, _CURVES = 20, len(COLOURS)
#: Classes up to which numbers fit into the cells of a matrix.
_NUMBERED = 10
#: Pairs of more classes, those that are mistaken most.
_PAIRS = 10
#: Letters of a class's name.
_LETTERS = 14
#: Rows of a table that are shown.
_ROWS = 50
_Chart = tuple[str, Callable[[Any, Figures], None]]


def bundle(report: Figures) -> dict[str, str]:
    """Render a report for a notebook's output: HTML, PNG and plain text."""
    drawn = draw(report)
    shown = {"text/plain": repr(report)}
    if drawn is not None:
        shown["image/png"] = drawn.base64
    shown["text/html"] = page(report, drawn)
    return shown


def page(report: Figures, drawn: Drawn | None, *, tables: bool = True) -> str:
    """The picture and the tables as HTML that needs nothing else."""
    caption = REPORT["rows"].format(count=f"{report.rows:,}")
    words = "; ".join(f"{name} {value:.4f}" for name, value in report.figures.items())
    parts = [picture.figure(drawn, words, escape(caption)), _figures(report)]
    every = (report.per_class, report.averages, report.slices, report.worst)
    parts += [_table(table) for table in every if tables and table is not None]
    parts += [f"<p>{escape(note)}</p>" for note in report.notes]
    return "".join(parts)


def _figures(report: Figures) -> str:
    lines = [
        (name, f"{value:.4f}" + (f" ± {report.areas[name]:.1g}" if name in report.areas else ""))
        for name, value in report.figures.items()
    ]
    lines += [(REPORT["top"].format(k=k), f"{value:.4f}") for k, value in report.top.items() if 1 < k <= TOP]
    # A metric may give one value for each class.
    own = {name: ", ".join(map(text.number, np.ravel(value))) for name, value in report.metrics.items()}
    lines += [(REPORT["own"].format(name=name), words) for name, words in own.items()]
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name, _ in lines)
    body = "".join(f"<td>{escape(value)}</td>" for _, value in lines)
    return f"<table><thead><tr>{head}</tr></thead><tbody><tr>{body}</tr></tbody></table>"


def _table(table: Any) -> str:
    """A pandas table as a notebook's, without its style."""
    shown = table.head(_ROWS)
    more = len(table) - len(shown)
    page = shown.to_html(border=0, float_format="{:.4f}".format, na_rep="", max_cols=30, escape=True)
    return str(page) + (f"<p>{escape(REPORT['more'].format(count=more))}</p>" if more else "")


@fonts.legible()
def draw(report: Figures) -> Drawn | None:
    """Draw what a report has to show into one PNG; None where there is nothing."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    charts = _charts(report)
    if not charts:
        return None
    columns = min(len(charts), 2 if len(charts) == 4 else 3)  # two by two
    rows = -(-len(charts) // columns)
    width, height = columns * _WIDTH, rows * _HEIGHT
    figure = Figure(
        figsize=(width / 96, height / 96), dpi=96 * SHARPNESS, facecolor="none", layout="constrained"
    )
    canvas: Any = FigureCanvasAgg(figure)  # its methods are untyped
    for place, (title, chart) in enumerate(charts):
        axes = figure.add_subplot(rows, columns, place + 1, facecolor="none")
        chart(axes, report)
        _finish(axes, title)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a class's name may need a glyph that the font lacks
        canvas.draw()
    return picture.compressed(canvas, width)


def _charts(report: Figures) -> list[_Chart]:
    charts: list[_Chart] = []
    if report.confusion is not None:
        few = len(report.confusion) <= _CLASSES
        charts.append((REPORT["confusion"], _confusion) if few else (REPORT["mistaken"], _mistaken))
    if report.roc:
        charts += [(REPORT["roc"], _roc), (REPORT["precision_recall"], _precision_recall)]
    if report.calibration:
        charts.append((REPORT["calibration"], _calibration))
    if report.sample is not None and len(report.classes) == 1:
        charts += [(REPORT["truth"], _truth), (REPORT["residuals"], _residuals)]
    return charts


def _finish(axes: Axes, title: str) -> None:
    axes.set_title(title, loc="left", **{**picture.style(), "fontsize": 9.5, "fontweight": "bold"})
    axes.tick_params(colors=GREY, labelsize=8, length=0)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("bottom", "left"))
        spine.set_color(GREY)


def _labels(axes: Axes, x: str, y: str) -> None:
    axes.set_xlabel(x, **picture.style())
    axes.set_ylabel(y, **picture.style())


def _confusion(axes: Axes, report: Figures) -> None:
    assert report.confusion is not None
    matrix = report.confusion.to_numpy(float)
    parts = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), np.finfo(float).tiny)
    axes.imshow(parts, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    if len(matrix) <= _NUMBERED:
        for (row, column), part in np.ndenumerate(parts):
            colour = "white" if part > 0.5 else "black"  # on dark blue
            words = f"{matrix[row, column]:,.0f}"
            axes.text(column, row, words, **{**picture.style(), "color": colour}, ha="center", va="center")
    names = [_short(name) for name in report.confusion.index]
    turned = 0 if sum(map(len, names)) <= 2 * _LETTERS else 90
    axes.set_xticks(range(len(names)), names, rotation=turned, parse_math=False)
    axes.set_yticks(range(len(names)), names, parse_math=False)
    _labels(axes, REPORT["predicted"], REPORT["actual"])


def _mistaken(axes: Axes, report: Figures) -> None:
    """The classes that are taken for each other most, where a matrix would have too many."""
    assert report.confusion is not None
    pairs = mistaken(report.confusion.to_numpy(float), _PAIRS)[::-1]
    names = [_short(name) for name in report.confusion.index]
    axes.barh(range(len(pairs)), [weight for _, _, weight in pairs], color=COLOURS[0])
    said = [f"{names[actual]} → {names[predicted]}" for actual, predicted, _ in pairs]
    axes.set_yticks(range(len(pairs)), said, parse_math=False)
    axes.set_xlabel(REPORT["weight"], **picture.style())


def _short(name: Any) -> str:
    return textwrap.shorten(str(name), _LETTERS, placeholder="…")


def _curves(axes: Axes, curves: dict[str, tuple[Any, Any, float]]) -> None:
    for place, (name, (x, y, area)) in enumerate(curves.items()):
        thin = np.unique(np.linspace(0, len(x) - 1, min(len(x), _POINTS)).astype(int))
        # Matplotlib leaves out what begins with an underscore; a space of no width comes first.
        label = f"\u200b{name} {area:.3f}" if len(curves) > 1 else f"{area:.3f}"
        axes.plot(x[thin], y[thin], color=COLOURS[place], linewidth=1.5, label=label)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    if not curves:  # all rows have one answer
        return
    look = {"labelcolor": GREY, "frameon": False, "prop": {"size": 8, "family": fonts.families()}}
    legend = axes.legend(loc="best", **look)
    for one in legend.get_texts():
        one.set_parse_math(False)


def _areas(report: Figures, column: str) -> dict[str, float]:
    """The areas of the classes that are drawn: those of the most rows."""
    assert report.per_class is not None
    known = report.per_class[column].dropna()
    ranked = report.per_class.loc[known.index, "support"].sort_values(ascending=False, kind="stable")
    chosen = set(ranked.index[:_CURVES])
    return {str(name): float(area) for name, area in known.items() if name in chosen}


def _roc(axes: Axes, report: Figures) -> None:
    found = {
        name: (report.roc[name].false_positive_rate, report.roc[name].true_positive_rate, area)
        for name, area in _areas(report, "roc auc").items()
    }
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.6, linestyle=(0, (4, 2)))
    _curves(axes, found)
    _labels(axes, REPORT["false_positive"], REPORT["true_positive"])


def _precision_recall(axes: Axes, report: Figures) -> None:
    found = {
        name: (report.precision_recall[name].recall, report.precision_recall[name].precision, area)
        for name, area in _areas(report, "average precision").items()
    }
    _curves(axes, found)
    _labels(axes, REPORT["recall"], REPORT["precision"])


def _calibration(axes: Axes, report: Figures) -> None:
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.6, linestyle=(0, (4, 2)))
    chosen = ["confidence"] if "confidence" in report.calibration else [*report.calibration][:_CURVES]
    for place, name in enumerate(chosen):
        cells = report.calibration[name]
        axes.plot(
            cells["predicted"], cells["actual"], "o-", color=COLOURS[place], linewidth=1.5, markersize=3
        )
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    _labels(axes, REPORT["said"], REPORT["happened"])


def _truth(axes: Axes, report: Figures) -> None:
    assert report.sample is not None
    actual, predicted = report.sample["actual"], report.sample["predicted"]
    low, high = min(actual.min(), predicted.min()), max(actual.max(), predicted.max())
    axes.plot([low, high], [low, high], color=GREY, linewidth=0.6, linestyle=(0, (4, 2)))
    axes.plot(actual, predicted, "o", color=COLOURS[0], markersize=2, alpha=0.4, markeredgewidth=0)
    _labels(axes, REPORT["actual"], REPORT["predicted"])


def _residuals(axes: Axes, report: Figures) -> None:
    assert report.sample is not None
    axes.hist(report.sample["predicted"] - report.sample["actual"], bins=30, color=COLOURS[0])
    axes.axvline(0, color=GREY, linewidth=0.6)
    _labels(axes, REPORT["residual"], REPORT["sample_rows"])
