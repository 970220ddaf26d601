"""What stays in the notebook when a run has ended: a picture, a small table, one sentence."""

from __future__ import annotations

import base64
import io
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby
from typing import TYPE_CHECKING, Any

from nbkeras.notebook import fonts, text
from nbkeras.notebook.chart import COLOURS, Curve, arrange, best, nice_step, ring, spread, thin
from nbkeras.notebook.words import PANEL, TABLE
from nbkeras.run.snapshot import Snapshot

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

# In CSS pixels; the picture has twice as many, for sharp screens.
_WIDTH, _HEIGHT, _SINGLE_WIDTH = 330, 210, 480
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 76, 28, 34
SHARPNESS = 2
_MAX_BYTES = 20_000  # of the PNG, which an output holds twice, in base64
GREY = "#7b7b7b"  # as far from white as from a dark theme's background
_FONT = 8.0
_MAX_ROWS = 24
_FEW_POINTS = 30
MAX_POINTS = 240  # half of what the live chart has: it stays in the file


def bundle(snapshot: Snapshot) -> dict[str, str]:
    """Render a run for a notebook's output: HTML, PNG and plain text.

    It needs no kernel, no script and no network to be seen.

    Args:
        snapshot: the run to show, ended or not.

    Example:
        >>> from nbkeras.run.run import Run
        >>> sorted(bundle(Run("digits", model=None, epochs=2, workers=1).snapshot()))
        ['text/html', 'text/plain']
    """
    shown = {"text/plain": text.sentence(snapshot)}
    drawn = draw(snapshot)
    if drawn is not None:
        shown["image/png"] = drawn.base64
    shown["text/html"] = page(snapshot, drawn)
    return shown


def page(snapshot: Snapshot, drawn: Drawn | None) -> str:
    """The picture, how the run ended, and the table, as HTML that needs nothing else."""
    caption = f"<b>{escape(snapshot.name)}</b> {escape(text.end(snapshot))}"
    return f"{figure(drawn, text.sentence(snapshot), caption)}{_table(snapshot)}"


def figure(drawn: Drawn | None, words: str, caption: str) -> str:
    """A picture and the words under it as HTML.

    Args:
        drawn: the picture, None where there is nothing to draw yet.
        words: what it shows, for those who cannot see; text.
        caption: HTML.
    """
    image = ""
    if drawn is not None:
        image = (
            f'<img alt="{escape(words)}" width="{drawn.width}" '
            f'style="max-width:100%;height:auto" src="data:image/png;base64,{drawn.base64}">'
        )
    return f'<figure style="margin:0">{image}<figcaption>{caption}</figcaption></figure>'


@dataclass(frozen=True)
class Drawn:
    """A picture.

    Attributes:
        base64: the PNG file.
        width: in CSS pixels.
    """

    base64: str
    width: int


@dataclass(frozen=True)
class Line:
    """One line of one chart.

    Attributes:
        x, y: its points, finite and in the order of x.
        colour: its colour.
        validation: whether it is drawn dashed.
        label: the text at its end, if any.
        best: the point to mark.
        faint: whether it shows the current epoch, whose value is not final.
    """

    x: Sequence[float] | NDArray[np.float64]
    y: Sequence[float] | NDArray[np.float64]
    colour: str
    validation: bool
    label: str
    best: tuple[float, float] | None = None
    faint: bool = False


#: A chart's title and its lines.
Chart = tuple[str, list[Line]]


def style() -> dict[str, Any]:
    """How the words of a picture look."""
    look = {"fontsize": _FONT, "color": GREY, "parse_math": False, "usetex": False}
    return {**look, "fontfamily": fonts.families()}


@fonts.legible()
def draw(snapshot: Snapshot) -> Drawn | None:
    """Draw all charts of a run into one PNG, with the epoch in work; None without points."""
    curves = [curve for curve in arrange(snapshot.curves) if snapshot.curves[curve.name]]
    charts = {
        title: [_line(curve, snapshot) for curve in members]
        for title, members in groupby(curves, key=lambda curve: curve.chart)
    }
    begun = [(place, loss) for place, loss in snapshot.losses if math.isfinite(loss)]
    if begun:
        places, losses = zip(*begun, strict=True)
        line = Line(places, losses, COLOURS[0], validation=False, label="", faint=True)
        charts["loss"] = [*charts.get("loss", ()), line]
    if not charts:
        return None
    reached = [*snapshot.epoch_numbers, *(math.ceil(place) for place, _ in begun)]
    first = min(snapshot.epoch_numbers, default=min(reached) - 1)
    return draw_charts([*charts.items()], first, max(reached))


def _line(curve: Curve, snapshot: Snapshot) -> Line:
    x, y = thin(snapshot.epoch_numbers, snapshot.curves[curve.name], MAX_POINTS)
    kind = curve.entry or (PANEL["validation"] if curve.validation else PANEL["train"])
    words = f"{kind} {text.number(snapshot.last[curve.name])}"
    label = "" if curve.validation and curve.entry else words
    marked = ring(curve.chart, curve.name, snapshot.epoch_numbers, snapshot.curves)
    return Line(x, y, COLOURS[curve.colour], curve.validation, label, marked)


@fonts.legible()
def draw_charts(charts: Sequence[Chart], first: int, last: int) -> Drawn:
    """Draw charts into one PNG.

    Args:
        charts: at least one.
        first, last: epoch that they show.
    """
    # Figure and Agg, never pyplot: its state is the user's.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = {1: 1, 2: 2, 4: 2}.get(len(charts), 3)
    rows = -(-len(charts) // columns)
    cell = _SINGLE_WIDTH if columns == 1 else _WIDTH
    width, height = columns * cell, rows * _HEIGHT
    figure = Figure(figsize=(width / 96, height / 96), dpi=96 * SHARPNESS, facecolor="none")
    canvas: Any = FigureCanvasAgg(figure)  # its methods are untyped
    for place, (title, lines) in enumerate(charts):
        row, column = divmod(place, columns)
        box = (
            (column * cell + _LEFT) / width,
            1 - ((row + 1) * _HEIGHT - _BOTTOM) / height,
            (cell - _LEFT - _RIGHT) / width,
            (_HEIGHT - _TOP - _BOTTOM) / height,
        )
        _draw_chart(figure.add_axes(box, facecolor="none"), title, lines, first, last)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a metric's name may need a glyph that the font lacks
        canvas.draw()
    return compressed(canvas, width)


def _draw_chart(axes: Axes, title: str, lines: list[Line], first: int, last: int) -> None:
    labels = []
    few = max((len(line.x) for line in lines if not line.faint), default=0) <= _FEW_POINTS
    for line in lines:
        if not len(line.x):
            continue
        axes.plot(
            line.x,
            line.y,
            color=line.colour,
            linewidth=1 if line.faint else 1.5,
            alpha=0.55 if line.faint else 1,
            linestyle=(0, (4, 2)) if line.validation else "-",
            marker="o" if few and not line.faint else "",
            markersize=2.5,
            solid_capstyle="round",
            clip_on=False,
        )
        if line.best is not None:
            axes.plot(
                [line.best[0]],
                [line.best[1]],
                "o",
                color=line.colour,
                markerfacecolor="none",
                markersize=7,
                clip_on=False,
            )
        if line.label:
            labels.append((float(line.y[-1]), line.label, line.colour))
    _draw_axes(axes, title, first, last)
    if labels:
        _draw_labels(axes, labels)
    elif not any(len(line.x) for line in lines):
        axes.set_yticks([])
        axes.text(0.5, 0.5, text.number(float("nan")), transform=axes.transAxes, ha="center", **style())


def _draw_axes(axes: Axes, title: str, first: int, last: int) -> None:
    axes.set_title(title, loc="left", **{**style(), "fontsize": 9.5, "fontweight": "bold"})
    axes.set_xlabel(PANEL["axis"], **style())
    axes.set_xlim((first, last) if last > first else (first - 0.5, last + 0.5))
    step = nice_step((last - first) / 4)
    between = [tick for tick in range(step, last, step) if min(tick - first, last - tick) > step / 2]
    axes.set_xticks([first, *between, last])
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.locator_params(axis="y", nbins=4)
    axes.ticklabel_format(axis="y", useOffset=False, useMathText=False)
    axes.tick_params(colors=GREY, labelsize=_FONT, length=0)
    axes.grid(axis="y", color=GREY, alpha=0.3, linewidth=0.6)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(GREY)


def _draw_labels(axes: Axes, labels: list[tuple[float, str, str]]) -> None:
    """Write names and last values beside the ends of the lines, none over another."""
    low, high = axes.get_ylim()
    height = _HEIGHT - _TOP - _BOTTOM
    ends = [(y - low) / (high - low) * height for y, _, _ in labels]
    places = spread(ends, gap=12, low=4, high=height - 4)
    for (_, words, colour), end, place in zip(labels, ends, places, strict=True):
        leader = [end / height, place / height]
        axes.plot([1.01, 1.04], leader, color=colour, linewidth=1, transform=axes.transAxes, clip_on=False)
        axes.text(1.055, place / height, words, transform=axes.transAxes, va="center", **style())


def compressed(canvas: Any, width: int) -> Drawn:
    """A canvas as a PNG with a small palette: a third of the size, and the eye sees no difference.

    Args:
        canvas: drawn.
        width: in CSS pixels.
    """
    from PIL import Image

    columns, lines = canvas.get_width_height(physical=True)
    image = Image.frombuffer("RGBA", (columns, lines), canvas.buffer_rgba())
    for sharpness in (1.0, 0.8, 0.65, 0.5):
        size = round(columns * sharpness), round(lines * sharpness)
        scaled = image if sharpness == 1 else image.resize(size, Image.Resampling.LANCZOS)
        palette = scaled.quantize(48, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
        file = io.BytesIO()
        palette.save(file, "PNG", optimize=True)
        if file.tell() <= _MAX_BYTES:
            break
    return Drawn(base64.b64encode(file.getvalue()).decode(), width)


def _table(snapshot: Snapshot) -> str:
    """Last and best value of every metric, training beside validation."""
    curves = {curve.name: curve for curve in arrange(snapshot.curves) if snapshot.curves[curve.name]}
    metrics = list(dict.fromkeys(name.removeprefix("val_") for name in curves))
    if not metrics:
        return ""
    validated = any(curve.validation for curve in curves.values())
    kinds = ["", "val_"] if validated else [""]
    heads = [TABLE["metric"]]
    for kind in kinds:
        heads += [TABLE[f"{kind}last"], TABLE[f"{kind}best"]]
    rows = []
    for metric in metrics[:_MAX_ROWS]:
        cells = [metric]
        for kind in kinds:
            cells += _values(kind + metric, snapshot)
        rows.append(cells)
    missing = len(snapshot.curves) - len(curves)
    head = "".join(f'<th scope="col">{escape(words)}</th>' for words in heads)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>" for cells in rows)
    more = f"<p>{escape(TABLE['more'].format(count=missing))}</p>" if missing else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"


def _values(name: str, snapshot: Snapshot) -> list[str]:
    values = snapshot.curves.get(name)
    if not values:
        return ["", ""]
    found = best(name, snapshot.epoch_numbers, values)
    shown = "" if found is None else TABLE["best_at"].format(value=text.number(found[0]), epoch=found[1])
    return [text.number(snapshot.last[name]), shown]
