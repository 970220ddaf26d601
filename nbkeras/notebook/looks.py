"""How a model looks: a table of its layers, and a picture of what leads to what."""

from __future__ import annotations

import itertools
import math
import re
from dataclasses import dataclass
from html import escape
from typing import Any

from nbkeras.errors import ModelError
from nbkeras.notebook import hosts, picture
from nbkeras.notebook.chart import COLOURS
from nbkeras.notebook.picture import Drawn
from nbkeras.notebook.words import LOOKS
from nbkeras.run.run import Run

#: In CSS pixels.
_WIDTH, _LINE, _LANE, _TEXT, _BAR = 560, 22, 18, 300, 90
#: Layers that the picture and the table show; of more the first ones.
_MOST = 120
_GROUPS = (
    "Input",
    "Dense|EinsumDense",
    "Conv|Pool|Padding|UpSampling|Cropping",
    "RNN|LSTM|GRU|Bidirectional|Embedding|Attention",
)


@dataclass(frozen=True)
class Row:
    """One layer of a model.

    Attributes:
        name: of the layer.
        kind: its class.
        shape: of its output, a word for each output.
        weights: number of them.
        frozen: of these, how many are not trained.
        parents: indices of the layers that it takes its inputs from.
        depth: in how many models it is nested.
    """

    name: str
    kind: str
    shape: str
    weights: int
    frozen: int
    parents: tuple[int, ...]
    depth: int = 0


def show(model: Any) -> None:
    """Show a model: each layer with its output and its weights, and what leads to what. Or a run.

    What is shown of a model stays in the saved notebook; it needs no kernel
    and no other program. A run at work is live in this cell too, with all the
    ways to steer it; one that has ended keeps the tools of its charts.

    Args:
        model: a Keras model; of one that is not built yet shapes are unknown.
            Or a run of this kernel.

    Raises:
        ModelError: it is neither.

    Example:
        >>> import keras, nbkeras
        >>> nbkeras.show(keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)], name="small"))
        layer...
        small: 9 weights, 0 of them frozen, 36 bytes
    """
    if isinstance(model, Run):
        hosts.show_run(model)
        return
    import keras

    if not isinstance(model, keras.Model):
        raise ModelError(f"show takes a Keras model or a run, not a {type(model).__name__}")
    hosts.show(bundle(model))


def colour(kind: str) -> str:
    """The colour of a layer by its class, in every picture of a network.

    Example:
        >>> colour("Dense") == colour("EinsumDense") != colour("Conv2D")
        True
    """
    return COLOURS[
        next((index for index, words in enumerate(_GROUPS) if re.search(words, kind)), len(_GROUPS))
    ]


def rows(model: Any) -> list[Row]:
    """The layers of a model in the order in which they compute; of nested models, too.

    Example:
        >>> import keras
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
        >>> [(one.kind, one.shape, one.weights, one.parents) for one in rows(model)]
        [('InputLayer', '(2,)', 0, ()), ('Dense', '(3,)', 9, (0,))]
    """
    found: list[Row] = []
    _collect(model, found, depth=0)
    return found


def _collect(model: Any, found: list[Row], depth: int) -> None:
    places: dict[int, int] = {}
    graph = getattr(model, "_functional", None) or model  # what a Sequential model is, once it is built
    depths = getattr(graph, "_nodes_by_depth", None)
    calls = {id(node) for nodes in (depths or {}).values() for node in nodes}
    for operation in graph.operations if depths else model.layers:
        nodes = [one for one in operation._inbound_nodes if id(one) in calls]  # noqa: SLF001
        before = [tensor._keras_history.operation for node in nodes for tensor in node.input_tensors]  # noqa: SLF001
        # A layer that is called on what it gave itself lies before itself, and has no place yet.
        parents = tuple(dict.fromkeys(places[id(one)] for one in before if id(one) in places))
        if depths is None and places:
            parents = (max(places.values()),)  # as far as is known, one after the other
        places[id(operation)] = len(found)
        weights = getattr(operation, "weights", [])
        frozen = getattr(operation, "non_trainable_weights", [])
        found.append(
            Row(
                operation.name,
                type(operation).__name__,
                ", ".join(map(_shape, nodes[0].output_tensors)) if nodes else "?",
                sum(math.prod(one.shape) for one in weights),
                sum(math.prod(one.shape) for one in frozen),
                parents,
                depth,
            )
        )
        if getattr(operation, "layers", None):
            _collect(operation, found, depth + 1)
            places[id(operation)] = len(found) - 1


def _shape(tensor: Any) -> str:
    """What it holds for one row."""
    return str(tuple(tensor.shape[1:])).replace("None", "any")


def bundle(model: Any) -> dict[str, str]:
    """A model for a notebook's output: HTML, PNG and plain text, which need no kernel.

    Args:
        model: any Keras model; of one that is not built yet shapes are unknown.
    """
    found = rows(model)
    drawn = _draw(found[:_MOST]) if found else None
    shown = {"text/plain": plain(model, found), "text/html": _page(model, found, drawn)}
    if drawn is not None:
        shown["image/png"] = drawn.base64
    return shown


def plain(model: Any, found: list[Row]) -> str:
    """The table as text."""
    head = [LOOKS[key] for key in ("layer", "kind", "shape", "weights")]
    cells = [["  " * one.depth + one.name, one.kind, one.shape, f"{one.weights:,}"] for one in found[:_MOST]]
    widths = [max(map(len, column)) for column in zip(head, *cells, strict=True)]
    lines = []
    for *words, number in (head, *cells):
        padded = [word.ljust(width) for word, width in zip(words, widths, strict=False)]
        lines.append("  ".join([*padded, number.rjust(widths[-1])]))
    return "\n".join([*lines, *_more(found), _sum(model)])


def _more(found: list[Row]) -> list[str]:
    return [LOOKS["more"].format(count=len(found) - _MOST)] if len(found) > _MOST else []


def _sum(model: Any) -> str:
    if not model.built:
        return LOOKS["unbuilt"].format(name=model.name)
    total = sum(math.prod(one.shape) for one in model.weights)
    frozen = sum(math.prod(one.shape) for one in model.non_trainable_weights)
    size = sum(math.prod(one.shape) * _bytes(one) for one in model.weights)
    return LOOKS["sum"].format(
        name=model.name, total=f"{total:,}", frozen=f"{frozen:,}", size=_in_units(size)
    )


def _in_units(size: float) -> str:
    if size < 1e3:
        return LOOKS["bytes"].format(count=size)
    return f"{size / 1e3:,.1f} kB" if size < 1e6 else f"{size / 1e6:,.1f} MB"


def _bytes(variable: Any) -> int:
    digits = "".join(one for one in str(variable.dtype) if one.isdigit())
    return max(1, int(digits or 8) // 8)


def _page(model: Any, found: list[Row], drawn: Drawn | None) -> str:
    head = "".join(
        f'<th scope="col">{escape(LOOKS[key])}</th>' for key in ("layer", "kind", "shape", "weights")
    )
    body = "".join(
        f'<tr><td style="text-align:left;padding-left:{0.5 + one.depth}em">{escape(one.name)}</td>'
        f"<td>{escape(one.kind)}</td><td>{escape(one.shape)}</td><td>{one.weights:,}</td></tr>"
        for one in found[:_MOST]
    )
    more = "".join(f"<p>{escape(line)}</p>" for line in _more(found))
    table = (
        f"<details><summary>{escape(LOOKS['table'])}</summary>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}</details>"
    )
    words = _sum(model)
    return picture.figure(drawn, words, escape(words)) + table


# -- the picture: a line for each layer, and rails from line to line -------------------------------------


def _rails(found: list[Row]) -> tuple[list[int], dict[tuple[int, int], int]]:
    """The rail of each layer, and of each connection past layers that go on where it begins.

    A layer takes its first parent's rail where no other child has it, else the first that is free.
    """
    last = list(range(len(found)))  # the line down to which each layer's rail is needed
    for index, one in enumerate(found):
        for parent in one.parents:
            last[parent] = index
    rails: list[int] = []
    past: dict[tuple[int, int], int] = {}
    handed_on: set[int] = set()

    def free(first: int, end: int) -> int:
        taken = {rails[row] for row in range(len(rails)) if row < end and last[row] >= first}
        taken |= {rail for (parent, child), rail in past.items() if parent < end and child > first}
        return next(rail for rail in itertools.count() if rail not in taken)

    for index, one in enumerate(found):
        heirs = [parent for parent in one.parents if parent not in handed_on]
        for parent in set(one.parents) - set(heirs):
            if index > parent + 1:
                past[parent, index] = free(parent + 1, index)
        handed_on.update(heirs)
        rails.append(rails[heirs[0]] if heirs else free(index, index + 1))
    return rails, past


def _draw(found: list[Row]) -> Drawn:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    rails, past = _rails(found)
    left = 14 + max(*rails, *past.values(), 0) * _LANE
    width, height = max(_WIDTH, left + _TEXT + _BAR), _LINE * len(found) + 8
    figure = Figure(figsize=(width / 96, height / 96), dpi=96 * picture.SHARPNESS, facecolor="none")
    canvas: Any = FigureCanvasAgg(figure)  # its methods are untyped
    axes = figure.add_axes((0, 0, 1, 1), facecolor="none")
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.axis("off")
    at = [(14.0 + rail * _LANE, 4 + _LINE * (index + 0.5)) for index, rail in enumerate(rails)]
    most = max(one.weights for one in found) or 1
    for index, one in enumerate(found):
        x, y = at[index]
        for parent in one.parents:
            rail = past.get((parent, index))
            line = _line(at[parent], (x, y), None if rail is None else 14.0 + rail * _LANE)
            axes.plot(*line, color=picture.GREY, linewidth=1.2, zorder=1)
        shade = colour(one.kind)
        axes.plot([x], [y], "o", color=shade, markersize=7, zorder=2)
        words = f"{'   ' * one.depth}{one.kind}"
        axes.text(left + 16, y, words, va="center", **{**picture.style(), "fontweight": "bold"})
        axes.text(left + 170, y, one.shape, va="center", **picture.style())
        if one.weights:
            share = max(2.0, _BAR * one.weights / most)
            axes.add_patch(Rectangle((left + _TEXT, y - 5), share, 10, color=shade, linewidth=0, alpha=0.6))
            axes.text(left + _TEXT + share + 5, y, f"{one.weights:,}", va="center", **picture.style())
    canvas.draw()
    return picture.compressed(canvas, width)


def _line(
    start: tuple[float, float], end: tuple[float, float], past: float | None
) -> tuple[list[float], list[float]]:
    """A line down one rail, with a bend of one line's height to it and from it."""
    (x0, y0), (x1, y1) = start, end
    if past is not None:
        return [x0, past, past, x1], [y0, y0 + _LINE, y1 - _LINE, y1]
    if x1 > x0:  # branches off at once, then goes down its own rail
        return [x0, x1, x1], [y0, min(y0 + _LINE, y1), y1]
    return [x0, x0, x1], [y0, max(y0, y1 - _LINE), y1]
