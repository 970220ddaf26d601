"""How a leaderboard looks: for each model a bar of its figure, of its training and of its prediction."""

from __future__ import annotations

import math
import textwrap
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nbkeras.notebook import fonts, picture
from nbkeras.notebook.chart import COLOURS
from nbkeras.notebook.picture import GREY, SHARPNESS, Drawn
from nbkeras.notebook.words import LEADERBOARD
from nbkeras.selection.entry import Entry, is_lower_better

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: In CSS pixels: of a chart, of a bar, and of what is above and below the bars.
_WIDTH, _BAR, _AROUND = 300, 26, 70
#: Letters of a model's name.
_LETTERS = 18
_OF = {"Keras": COLOURS[0], "MLlib": COLOURS[1], "baseline": GREY}


@fonts.legible()
def draw(ranking: Sequence[Entry], metric: str) -> Drawn | None:
    """Draw those that have ended; None where there are not two.

    Args:
        ranking: entries, the best first.
        metric: what is judged by.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    ended = [one for one in ranking if one.status == "done" and one.values(metric)]
    if len(ended) < 2:
        return None
    width, height = 3 * _WIDTH, _BAR * len(ended) + _AROUND
    figure = Figure(
        figsize=(width / 96, height / 96), dpi=96 * SHARPNESS, facecolor="none", layout="constrained"
    )
    canvas: Any = FigureCanvasAgg(figure)  # its methods are untyped
    side = "lower" if is_lower_better(metric) else "higher"
    titles = (
        LEADERBOARD[side].format(metric=metric),
        LEADERBOARD["train_axis"],
        LEADERBOARD["predict_axis"],
    )
    values = (
        [one.mean(metric) for one in ended],
        [one.train_seconds for one in ended],
        [one.rows / one.predict_seconds if one.predict_seconds else 0.0 for one in ended],
    )
    spreads = [one.spread(metric) for one in ended]
    for place, (title, lengths) in enumerate(zip(titles, values, strict=True)):
        axes = figure.add_subplot(1, 3, place + 1, facecolor="none")
        _bars(axes, ended, lengths, spreads if place == 0 and not any(map(math.isnan, spreads)) else None)
        if place:
            axes.set_yticks([])
        axes.set_title(title, loc="left", **{**picture.style(), "fontsize": 9.5, "fontweight": "bold"})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a model's name may need a glyph that the font lacks
        canvas.draw()
    return picture.compressed(canvas, width)


def _bars(axes: Axes, entries: list[Entry], lengths: list[float], spreads: list[float] | None) -> None:
    places = range(len(entries))
    look: dict[str, Any] = {"color": [_OF[one.kind] for one in entries], "height": 0.62}
    axes.barh(places, lengths, xerr=spreads, error_kw={"ecolor": GREY, "elinewidth": 1, "capsize": 2}, **look)
    names = [textwrap.shorten(one.name, _LETTERS, placeholder="…") or one.name[:_LETTERS] for one in entries]
    axes.set_yticks(places, names, parse_math=False)
    axes.invert_yaxis()
    axes.margins(x=0.22)
    if min(lengths) >= 0:
        axes.set_xlim(left=0)
    for place, length in enumerate(lengths):
        room = 0.0 if spreads is None else spreads[place]
        words = f" {length:,.0f}" if abs(length) >= 100 else f" {length:.3g}"
        axes.text(max(length, 0) + room, place, words, va="center", **picture.style())
    axes.tick_params(colors=GREY, labelsize=8, length=0)
    axes.set_xticks([])
    for side, spine in axes.spines.items():
        spine.set_visible(side == "left")
        spine.set_color(GREY)
