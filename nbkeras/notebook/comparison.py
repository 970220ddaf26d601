"""Runs side by side: their curves over each other, the best epoch of each, and the settings that differ."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from nbkeras.data.names import unique
from nbkeras.notebook import fonts, picture, text
from nbkeras.notebook.chart import COLOURS, MAX_CHARTS, judged, ring, thin
from nbkeras.notebook.picture import Chart, Drawn, Line
from nbkeras.notebook.words import RUNS
from nbkeras.run.run import Run
from nbkeras.run.snapshot import Snapshot

#: As many as there are colours that everyone tells apart.
MOST = len(COLOURS)
#: What stands for the runs in charts and tables, beside their colours.
MARKS = "ABCDEF"
_LONGEST = 60  # of a setting's value in a table
_FEW = 4  # columns that are named; of more their number

Best = tuple[float, int]


@dataclass(frozen=True)
class Summary:
    """One run as a line of a table.

    Attributes:
        metric, best: the loss (on the validation rows if there are any), its lowest value and the
            epoch of that value; another metric if there is no loss.
        seconds: its duration so far.
        rate: rows per second, 0 if unknown.
        began: seconds since 1970.
        reports: that are kept with it.
    """

    name: str
    status: str
    epochs: int
    asked: int
    metric: str
    best: Best | None
    seconds: float
    rate: float
    workers: int
    began: float
    reports: int


@dataclass(frozen=True)
class Comparison:
    """Several runs, as :meth:`nbkeras.runs.compare` puts them side by side.

    Attributes:
        names: of the runs, each once.
        best: by curve, the best value of each run and its epoch. A metric is judged by its validation
            where a run has one, so what is judged by another curve has None here.
        settings: those that differ, by name, one value for each run, None where a run has none.
        more: metrics that are not drawn, since there are too many.
        snapshots: of the runs, as they are compared.
    """

    names: tuple[str, ...]
    best: dict[str, list[Best | None]]
    settings: dict[str, list[Any]]
    more: int
    snapshots: tuple[Snapshot, ...]

    def __repr__(self) -> str:
        marks = [f"{mark}  {name}" for mark, name in zip(MARKS, self.names, strict=False)]
        parts = ["\n".join(marks)]
        parts += [_plain([RUNS["metric"], *self._heads()], self._best_cells())] if self.best else []
        parts += [_plain([RUNS["setting"], *self._heads()], self._setting_cells())]
        return "\n\n".join(part or RUNS["same"] for part in parts)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return self.bundle()

    def bundle(self) -> dict[str, str]:
        """For a notebook's output: HTML, PNG and plain text, which need no kernel."""
        shown = {"text/plain": repr(self)}
        drawn = self.draw()
        if drawn is not None:
            shown["image/png"] = drawn.base64
        shown["text/html"] = self._page(drawn)
        return shown

    def charts(self) -> list[tuple[str, list[tuple[int, str]]]]:
        """Each chart's title, and its curves as the place of the run and the name in its history."""
        found = []
        for metric in _metrics(self.snapshots)[:MAX_CHARTS]:
            curves = [
                (place, name)
                for place, one in enumerate(self.snapshots)
                for name in (metric, f"val_{metric}")
                if one.curves.get(name)
            ]
            found.append((metric, curves))
        return found

    def ring(self, metric: str, place: int, name: str) -> tuple[int, float] | None:
        """The best point of a metric in a run, epoch and value, if it is one of this curve's."""
        one = self.snapshots[place]
        return ring(metric, name, one.epoch_numbers, one.curves)

    @fonts.legible()
    def draw(self) -> Drawn | None:
        """Draw the curves over each other; None where there is nothing to draw yet."""
        charts: list[Chart] = []
        for title, curves in self.charts():
            charts.append((_line(title), [self._curve(title, *one) for one in curves]))
        epochs = [epoch for one in self.snapshots for epoch in one.epoch_numbers]
        return picture.draw_charts(charts, min(epochs), max(epochs)) if charts else None

    def _curve(self, metric: str, place: int, name: str) -> Line:
        snapshot = self.snapshots[place]
        x, y = thin(snapshot.epoch_numbers, snapshot.curves[name], picture.MAX_POINTS)
        validation = name.startswith("val_")
        label = "" if validation else f"{MARKS[place]} {text.number(snapshot.last[name])}"
        return Line(x, y, COLOURS[place], validation, label, self.ring(metric, place, name))

    def _heads(self) -> list[str]:
        return list(MARKS[: len(self.names)])

    def _best_cells(self) -> list[list[str]]:
        return [[_line(metric), *map(best_words, values)] for metric, values in self.best.items()]

    def _setting_cells(self) -> list[list[str]]:
        return [[name, *map(shown, values)] for name, values in self.settings.items()]

    def _page(self, drawn: Drawn | None) -> str:
        heads = [f"{mark} {name}" for mark, name in zip(MARKS, self.names, strict=False)]
        titles = ", ".join(title for title, _ in self.charts())
        words = RUNS["picture"].format(title=titles, names=", ".join(heads))
        legend = " ".join(
            f'<span style="border-left:12px solid {colour};padding:0 10px 0 5px"><b>{mark}</b> {escape(name)}'
            "</span>"
            for mark, colour, name in zip(MARKS, COLOURS, self.names, strict=False)
        )
        said = escape(RUNS["legend"] if drawn is not None else RUNS["no_curves"])
        more = f"<p>{escape(RUNS['more'].format(count=self.more))}</p>" if self.more else ""
        bests = html_table([RUNS["bests"], *heads], self._best_cells()) if self.best else ""
        differ = (
            html_table([RUNS["settings"], *heads], self._setting_cells())
            if self.settings
            else f"<p>{escape(RUNS['same'])}</p>"
        )
        return picture.figure(drawn, words, f"{legend}<br>{said}") + more + bests + differ


def compare(runs: Sequence[Run], names: Sequence[str] | None = None) -> Comparison:
    """Put runs side by side.

    Args:
        runs: at most ``MOST``.
        names: of the runs; None for their own.

    Example:
        >>> one, other = Run("a", None, 1, workers=1), Run("b", None, 1, workers=2)
        >>> one.settings, other.settings = {"workers": 1, "loss": "mse"}, {"workers": 2, "loss": "mse"}
        >>> compare([one, other]).settings
        {'workers': [1, 2]}
    """
    snapshots = tuple(run.snapshot() for run in runs)
    metrics = _metrics(snapshots)
    found: dict[str, list[Best | None]] = {}
    for metric in metrics[:MAX_CHARTS]:
        points = [judged(metric, one.epoch_numbers, one.curves) for one in snapshots]
        for name in (f"val_{metric}", metric):
            values = [one[1] if one is not None and one[0] == name else None for one in points]
            if any(values):
                found[name] = values
    return Comparison(
        names=tuple(map(_line, unique([run.name for run in runs] if names is None else names))),
        best=found,
        settings=differing([run.settings for run in runs]),
        more=max(0, len(metrics) - MAX_CHARTS),
        snapshots=snapshots,
    )


def differing(settings: Sequence[dict[str, Any]]) -> dict[str, list[Any]]:
    """The settings that are not the same in all, in their order.

    Example:
        >>> differing([{"epochs": 5, "loss": "mse"}, {"epochs": 5, "loss": "mae", "clipnorm": 1.0}])
        {'loss': ['mse', 'mae'], 'clipnorm': [None, 1.0]}
    """
    # A copy: a run that begins in another thread still gets some.
    copies = [dict(one) for one in settings]
    names = dict.fromkeys(name for one in copies for name in one)
    rows = {name: [one.get(name) for one in copies] for name in names}
    return {name: row for name, row in rows.items() if any(one != row[0] for one in row)}


_summaries: weakref.WeakKeyDictionary[Run, tuple[int, Summary]] = weakref.WeakKeyDictionary()


def summary(run: Run) -> Summary:
    """A run as a line of a table; of one that has not changed, that of the last time.

    Example:
        >>> run = Run("digits", model=None, epochs=2, workers=1)
        >>> run.record_epoch(0, {"loss": 0.5, "val_loss": 0.75})
        >>> summary(run).metric, summary(run).best
        ('val_loss', (0.75, 1))
    """
    version, known = _summaries.get(run, (-1, None))
    if known is not None and version == run.version and run.done.is_set():
        return known
    version, snapshot = run.version, run.snapshot()
    named = [] if run.monitor is None else [run.monitor.removeprefix("val_")]
    metrics = [*named, *_metrics((snapshot,))]
    points = (judged(one, snapshot.epoch_numbers, snapshot.curves) for one in metrics)
    point = next(filter(None, points), None)
    made = Summary(
        name=_line(snapshot.name),
        status=snapshot.status,
        epochs=len(snapshot.epoch_numbers),
        asked=snapshot.epochs,
        metric="" if point is None else point[0],
        best=None if point is None else point[1],
        seconds=snapshot.elapsed,
        rate=snapshot.rows_per_second,
        workers=snapshot.workers,
        began=run.began,
        reports=len(run.reports),
    )
    _summaries[run] = (version, made)
    return made


def shown(value: Any) -> str:
    """A setting's value in one short line.

    Example:
        >>> shown(0.001), shown(None), shown(["a", "b"]), shown([f"x{i}" for i in range(784)])
        ('0.001', '-', 'a, b', '784 columns: x0, …')
    """
    if value is None:
        return RUNS["unset"]
    if isinstance(value, list):
        if len(value) > _FEW and all(isinstance(one, str) for one in value):
            return _short(RUNS["columns"].format(count=len(value), first=value[0]))
        value = ", ".join(map(str, value))
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, dict):
        value = ", ".join(f"{key}: {one}" for key, one in value.items())
    return _short(str(value))


def best_words(value: Best | None) -> str:
    """A best value and its epoch, in words."""
    if value is None:
        return RUNS["unset"]
    return RUNS["best_value"].format(value=text.number(value[0]), epoch=f"{value[1]:,}")


def plain_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table as text.

    Example:
        >>> print(plain_table(["run", "epochs"], [["digits", "10"]]))
        run     epochs
        digits  10
    """
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
        for cells in (heads, *rows)
    )
    return "\n".join(lines)


def html_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table as HTML; what is in it is text and never markup."""
    head = "".join(f'<th scope="col" style="text-align:left">{escape(words)}</th>' for words in heads)
    body = "".join(
        "<tr>" + "".join(f'<td style="text-align:left">{escape(cell)}</td>' for cell in cells) + "</tr>"
        for cells in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _plain(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return plain_table(heads, rows) if rows else ""


def _metrics(snapshots: Sequence[Snapshot]) -> list[str]:
    """All that was measured, the loss first; validation's names are those of training."""
    names = dict.fromkeys(
        name.removeprefix("val_") for one in snapshots for name, curve in one.curves.items() if curve
    )
    return sorted(names, key=lambda name: (name != "loss", not name.endswith("loss")))


def _short(words: str) -> str:
    words = _line(words)
    return words if len(words) <= _LONGEST else words[: _LONGEST - 1] + "…"


def _line(words: str) -> str:
    r"""Words that break no table and move no cursor: in one line, without what cannot be printed.

    Example:
        >>> _line("a\n\x1b[2Jb")
        'a ?[2Jb'
    """
    return "".join(one if one.isprintable() else "?" for one in " ".join(str(words).split()))
