"""What stays in the notebook when a run has ended: a picture, a small table, one sentence."""

from __future__ import annotations

import base64
import io
import warnings
from dataclasses import dataclass
from html import escape
from itertools import groupby
from typing import TYPE_CHECKING, Any

from nbkeras.notebook import text
from nbkeras.notebook.chart import COLOURS, Curve, arrange, best, nice_step, spread, thin
from nbkeras.run import Snapshot

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# In CSS pixels; the picture has twice as many, for sharp screens.
_WIDTH, _HEIGHT, _SINGLE_WIDTH = 330, 210, 480
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 76, 28, 34
_SHARPNESS = 2
_MAX_BYTES = 20_000  # of the PNG, which an output holds twice, in base64
_GREY = "#7b7b7b"  # as far from white as from a dark theme's background
_FONT = 8.0
_STYLE: dict[str, Any] = {"fontsize": _FONT, "color": _GREY, "parse_math": False, "usetex": False}
_MAX_ROWS = 24
_FEW_POINTS = 30
_MAX_POINTS = 240  # half of what the live chart has: it stays in the file


def bundle(snapshot: Snapshot) -> dict[str, str]:
    """Render a run for a notebook's output: HTML, PNG and plain text.

    It needs no kernel, no script and no network to be seen.

    Args:
        snapshot: the run to show, ended or not.

    Example:
        >>> from nbkeras.run import Run
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
    return f"{figure(snapshot, drawn, caption)}{_table(snapshot)}"


def figure(snapshot: Snapshot, drawn: Drawn | None, caption: str) -> str:
    """A picture and the words under it as HTML.

    Args:
        snapshot: what is shown, for those who cannot see.
        drawn: the picture, None where there is nothing to draw yet.
        caption: HTML.
    """
    image = ""
    if drawn is not None:
        image = (
            f'<img alt="{escape(text.sentence(snapshot))}" width="{drawn.width}" '
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


def draw(snapshot: Snapshot) -> Drawn | None:
    """Draw all charts into one PNG; None without points."""
    # Figure and Agg, never pyplot: its state is the user's.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    curves = [curve for curve in arrange(snapshot.curves) if snapshot.curves[curve.name]]
    if not curves:
        return None
    charts = [(title, list(members)) for title, members in groupby(curves, key=lambda curve: curve.chart)]
    columns = {1: 1, 2: 2, 4: 2}.get(len(charts), 3)
    rows = -(-len(charts) // columns)
    cell = _SINGLE_WIDTH if columns == 1 else _WIDTH
    width, height = columns * cell, rows * _HEIGHT
    figure = Figure(figsize=(width / 96, height / 96), dpi=96 * _SHARPNESS, facecolor="none")
    canvas: Any = FigureCanvasAgg(figure)  # its methods are untyped
    for place, (title, members) in enumerate(charts):
        row, column = divmod(place, columns)
        box = (
            (column * cell + _LEFT) / width,
            1 - ((row + 1) * _HEIGHT - _BOTTOM) / height,
            (cell - _LEFT - _RIGHT) / width,
            (_HEIGHT - _TOP - _BOTTOM) / height,
        )
        _draw_chart(figure.add_axes(box, facecolor="none"), title, members, snapshot)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a metric's name may need a glyph that the font lacks
        canvas.draw()
    return Drawn(base64.b64encode(_compress(canvas)).decode(), width)


def _draw_chart(axes: Axes, title: str, curves: list[Curve], snapshot: Snapshot) -> None:
    labels = []
    for curve in curves:
        x, y = thin(snapshot.epoch_numbers, snapshot.curves[curve.name], _MAX_POINTS)
        if not len(x):
            continue
        axes.plot(
            x,
            y,
            color=COLOURS[curve.colour],
            linewidth=1.5,
            linestyle=(0, (4, 2)) if curve.validation else "-",
            marker="o" if len(x) <= _FEW_POINTS else "",
            markersize=2.5,
            solid_capstyle="round",
            clip_on=False,
        )
        kind = curve.entry or (text.WORDS["validation"] if curve.validation else text.WORDS["train"])
        if not (curve.validation and curve.entry):
            words = f"{kind} {text.number(snapshot.last[curve.name])}"
            labels.append((y[-1], words, COLOURS[curve.colour]))
    _draw_axes(axes, title, snapshot)
    if labels:
        _draw_labels(axes, labels)
    else:
        axes.set_yticks([])
        axes.text(0.5, 0.5, text.number(float("nan")), transform=axes.transAxes, ha="center", **_STYLE)


def _draw_axes(axes: Axes, title: str, snapshot: Snapshot) -> None:
    axes.set_title(title, loc="left", **{**_STYLE, "fontsize": 9.5, "fontweight": "bold"})
    axes.set_xlabel(text.WORDS["axis"], **_STYLE)
    first, last = min(snapshot.epoch_numbers), max(snapshot.epoch_numbers)
    axes.set_xlim((first, last) if last > first else (first - 0.5, last + 0.5))
    step = nice_step((last - first) / 4)
    between = [tick for tick in range(step, last, step) if min(tick - first, last - tick) > step / 2]
    axes.set_xticks([first, *between, last])
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.locator_params(axis="y", nbins=4)
    axes.ticklabel_format(axis="y", useOffset=False, useMathText=False)
    axes.tick_params(colors=_GREY, labelsize=_FONT, length=0)
    axes.grid(axis="y", color=_GREY, alpha=0.3, linewidth=0.6)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(_GREY)


def _draw_labels(axes: Axes, labels: list[tuple[float, str, str]]) -> None:
    """Write names and last values beside the ends of the lines, none over another."""
    low, high = axes.get_ylim()
    height = _HEIGHT - _TOP - _BOTTOM
    ends = [(y - low) / (high - low) * height for y, _, _ in labels]
    places = spread(ends, gap=12, low=4, high=height - 4)
    for (_, words, colour), end, place in zip(labels, ends, places, strict=True):
        leader = [end / height, place / height]
        axes.plot([1.01, 1.04], leader, color=colour, linewidth=1, transform=axes.transAxes, clip_on=False)
        axes.text(1.055, place / height, words, transform=axes.transAxes, va="center", **_STYLE)


def _compress(canvas: Any) -> bytes:
    """Write a PNG with a small palette: a third of the size, and the eye sees no difference."""
    from PIL import Image

    width, height = canvas.get_width_height(physical=True)
    image = Image.frombuffer("RGBA", (width, height), canvas.buffer_rgba())
    for sharpness in (1.0, 0.8, 0.65, 0.5):
        size = round(width * sharpness), round(height * sharpness)
        scaled = image if sharpness == 1 else image.resize(size, Image.Resampling.LANCZOS)
        palette = scaled.quantize(48, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
        file = io.BytesIO()
        palette.save(file, "PNG", optimize=True)
        if file.tell() <= _MAX_BYTES:
            break
    return file.getvalue()


def _table(snapshot: Snapshot) -> str:
    """Last and best value of every metric, training beside validation."""
    curves = {curve.name: curve for curve in arrange(snapshot.curves) if snapshot.curves[curve.name]}
    metrics = list(dict.fromkeys(name.removeprefix("val_") for name in curves))
    if not metrics:
        return ""
    validated = any(curve.validation for curve in curves.values())
    kinds = ["", "val_"] if validated else [""]
    heads = [text.COLUMNS["metric"]]
    for kind in kinds:
        heads += [text.COLUMNS[f"{kind}last"], text.COLUMNS[f"{kind}best"]]
    rows = []
    for metric in metrics[:_MAX_ROWS]:
        cells = [metric]
        for kind in kinds:
            cells += _values(kind + metric, snapshot)
        rows.append(cells)
    missing = len(snapshot.curves) - len(curves)
    head = "".join(f'<th scope="col">{escape(words)}</th>' for words in heads)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>" for cells in rows)
    more = f"<p>{escape(text.MORE_CURVES.format(count=missing))}</p>" if missing else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"


def _values(name: str, snapshot: Snapshot) -> list[str]:
    values = snapshot.curves.get(name)
    if not values:
        return ["", ""]
    found = best(name, snapshot.epoch_numbers, values)
    shown = "" if found is None else text.BEST.format(value=text.number(found[0]), epoch=found[1])
    return [text.number(snapshot.last[name]), shown]
