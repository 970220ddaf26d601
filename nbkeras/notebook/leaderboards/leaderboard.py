"""Leaderboard: models of Keras and of MLlib side by side, filled in as each of them ends."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from html import escape
from typing import TYPE_CHECKING, Any

from nbkeras.data.source import data_frame
from nbkeras.notebook import hosts, picture, text
from nbkeras.notebook.comparison import html_table, plain_table
from nbkeras.notebook.hosts.slot import is_shown
from nbkeras.notebook.leaderboards import drawing, files, view
from nbkeras.notebook.reports.report import Report
from nbkeras.notebook.words import LEADERBOARD
from nbkeras.run import registry
from nbkeras.selection.asked import Asked
from nbkeras.selection.compare import Compared
from nbkeras.selection.compare import compare as compared
from nbkeras.selection.entry import SHOWN, Entry, Verdict, ranked, verdict
from nbkeras.spark.session import attached

if TYPE_CHECKING:
    import pandas as pd
    from pyspark.sql import DataFrame, SparkSession


@dataclass(frozen=True, repr=False)
class Leaderboard(Compared):
    """Models side by side, the best first; see :func:`nbkeras.compare`.

    In a notebook it shows itself as a table, a picture, and a sentence that says what won.

    Attributes:
        entries: of the models, in the order in which they were trained.
        task: "classification" or "regression".
        metric: what is judged by.
        folds: their number; 1 for one split.
        notes: sentences.
        label: the column that was predicted.
        made: seconds since 1970 when it ended.
    """

    @property
    def title(self) -> str:
        """What it is about, in a few words."""
        return LEADERBOARD["title"].format(count=len(self.entries), label=self.label)

    @property
    def ranking(self) -> list[Entry]:
        """The entries, the best first, then those that have not ended well."""
        return ranked(self.entries, self.metric)

    @property
    def best(self) -> Entry | None:
        """The entry that won; None where none has ended."""
        found = verdict(self.entries, self.metric)
        return None if found is None else found.winner

    @property
    def models(self) -> dict[str, Any]:
        """The trained models by name, of folds that of the last: Keras', or a ``PipelineModel``.

        A ``PipelineModel`` takes rows as :meth:`prepared` gives them.
        """
        return {one.name: one.models[-1] for one in self.entries if one.models and one.models[-1] is not None}

    def prepared(self, df: Any) -> DataFrame:
        """The rows of a DataFrame with the columns that MLlib's models of :attr:`models` take.

        Raises:
            DataError: it has a column that these models add.
        """
        rows = data_frame(attached(None), df)
        return rows if self.features is None else self.features.prepared(rows)

    @property
    def nbytes(self) -> int:
        """The bytes that its reports take."""
        return sum(one.nbytes for reports in self.reports.values() for one in reports)

    @property
    def reports(self) -> dict[str, list[Report]]:
        """The reports by name, one for each fold."""
        return {
            one.name: [Report.of(report) for report in one.reports] for one in self.entries if one.reports
        }

    @property
    def table(self) -> pd.DataFrame:
        """Figures, seconds and sizes by name, the best first; with folds the spread of each figure."""
        import pandas as pd

        rows = []
        for one in self.ranking:
            row: dict[str, Any] = {"kind": one.kind, "status": one.status}
            for metric in self._metrics():
                row[metric] = one.mean(metric)
                if self.folds > 1:
                    row[f"{metric} spread"] = one.spread(metric)
            row["train seconds"], row["rows per second"] = one.train_seconds, _rate(one)
            row["size"], row["note"] = one.size, one.note
            rows.append(row)
        return pd.DataFrame(rows, pd.Index([one.name for one in self.ranking], name="model"))

    @property
    def sentence(self) -> str:
        """What won and by how much, or how far it is."""
        busy = [one for one in self.entries if one.status in ("waiting", "training", "scoring")]
        if busy:
            done = len(self.entries) - len(busy)
            return LEADERBOARD["busy"].format(done=done, count=len(self.entries))
        found = verdict(self.entries, self.metric)
        if found is not None:
            return self._verdict(found)
        ended = any(one.status == "done" for one in self.entries)
        return LEADERBOARD["no_figure" if ended else "none"].format(metric=self.metric)

    def __repr__(self) -> str:
        parts = [plain_table(self._heads(), self._cells()), self.sentence, *self.notes]
        return "\n".join(parts)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        # The cell that has compared shows it already.
        return {"text/plain": self.sentence} if is_shown(self) else self.bundle()

    def bundle(self) -> dict[str, str]:
        """Render it for a notebook's output: HTML, PNG and plain text."""
        shown, drawn = {"text/plain": repr(self)}, drawing.draw(self.ranking, self.metric)
        if drawn is not None:
            shown["image/png"] = drawn.base64
        said = f"<b>{escape(self.sentence)}</b> {escape(self._rows())}"
        notes = "".join(f"<p>{escape(one)}</p>" for one in self.notes)
        table = html_table(self._heads(), self._cells())
        still = table + picture.figure(drawn, self.sentence, said) + notes
        # A script is sent once, when nothing changes any more.
        shown["text/html"] = view.page(still, self.state()) if self.made else still
        return shown

    def live(self) -> dict[str, Any]:
        """What the panel of runs draws of it, and the words for it."""
        return {"board": self.state(), "words": view.words()}

    def state(self) -> dict[str, Any]:
        """What its live view in a page draws."""
        about = files.whole(self, self.table, self.sentence)
        said = {"title": lambda: self.title, "sentence": lambda: self.sentence, "rows": self._rows}
        return view.state_of(self.ranking, self._metrics(), self.folds, said, self.notes, about)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the comparison to a file, in the form that the end of its name says.

        A file that is there is replaced. ``.csv`` has the table; ``.json`` everything but the models, for
        programs; ``.png`` is the picture, ``.html`` a page that needs nothing else, ``.txt`` the text. A
        folder gets all of these.

        Args:
            path: of the file, or of a folder.

        Raises:
            OptionError: the name ends otherwise, it cannot be written, or there is no picture.

        Example:
            >>> import pathlib, tempfile
            >>> place = pathlib.Path(tempfile.mkdtemp(), "a.csv")
            >>> Leaderboard((Entry("forest", "MLlib"),), "regression", "rmse", 1, ()).save(place)
            >>> place.read_text()[:22]
            'model,kind,status,rmse'
        """
        about = files.whole(self, self.table, self.sentence)
        about["reports"] = files.reports(self)
        files.save(path, self.title, about, self.table, self.bundle())

    def _metrics(self) -> list[str]:
        return list(dict.fromkeys((self.metric, *SHOWN[self.task])))

    def _heads(self) -> list[str]:
        words = [LEADERBOARD[one] for one in ("train", "predict", "size", "note")]
        return [LEADERBOARD["model"], LEADERBOARD["kind"], *self._metrics(), *words]

    def _cells(self) -> list[list[str]]:
        return [self.line(one) for one in self.ranking]

    def line(self, one: Entry) -> list[str]:
        """The cells of an entry, in words."""
        figures = [self._figure(one, metric) for metric in self._metrics()]
        if one.status != "done":
            figures[0] = self._status(one)
        seconds = text.number(one.train_seconds)
        return [
            one.name,
            LEADERBOARD[f"kind_{one.kind}"],
            *figures,
            LEADERBOARD["seconds"].format(seconds=seconds) if one.train_seconds else "",
            f"{_rate(one):,.0f}" if one.rows and one.status == "done" else "",
            one.size,
            one.note,
        ]

    def _status(self, one: Entry) -> str:
        if one.status == "training" and self.folds > 1:
            return LEADERBOARD["training_fold"].format(fold=len(one.reports) + 1, folds=self.folds)
        return LEADERBOARD[one.status]

    def _figure(self, one: Entry, metric: str) -> str:
        value, spread = one.mean(metric), one.spread(metric)
        if math.isnan(value):
            return ""
        return _number(value) + ("" if math.isnan(spread) else f" ± {_number(spread)}")

    def _rows(self) -> str:
        rows = max((one.rows for one in self.entries if one.status == "done"), default=0)
        if not rows:
            return ""
        words = LEADERBOARD["rows" if self.folds == 1 else "folds"]
        return words.format(rows=f"{rows:,}", folds=self.folds)

    def _verdict(self, found: Verdict) -> str:
        words = {
            "winner": found.winner.name,
            "second": found.second.name,
            "metric": self.metric,
            "best": self._figure(found.winner, self.metric),
            "other": self._figure(found.second, self.metric),
            "difference": _number(found.difference),
            "ahead": found.ahead,
            "folds": found.folds,
        }
        if not found.over_baseline:
            return LEADERBOARD["no_better"].format(**words)
        if found.second is found.winner:
            return LEADERBOARD["alone"].format(**words)
        if not found.difference:
            said = LEADERBOARD["level"]
        else:
            said = LEADERBOARD["won" if found.folds == 1 else "won_folds"]
        more = f" {LEADERBOARD['close']}" if found.difference < found.spread else ""
        return said.format(**words) + more


def compare(
    data: Any,
    y: str,
    models: Any = None,
    *,
    features: Sequence[str] | None = None,
    sample_weight: str | None = None,
    test: Any = 0.2,
    folds: int | None = None,
    metric: str | None = None,
    task: str | None = None,
    seed: int = 0,
    spark: SparkSession | None = None,
    **training: Any,
) -> Leaderboard:
    """Compare Keras models with models of Spark's MLlib on the same rows, and say which is the best.

    Each is trained on the same part of the rows, with features made as it needs them, and scored on the
    others by the figures of :func:`nbkeras.report`. The table fills in as each ends; an interrupt, or Stop in
    the chart of a Keras model, ends the comparison and keeps those that have ended. A baseline that knows no
    features always takes part.

    Args:
        data: all rows, a DataFrame.
        y: label column: words, truths or whole numbers for classes, other numbers for amounts.
        models: list, or dict with their names: compiled Keras models, functions that build one, estimators of
            ``pyspark.ml``, and words for those of MLlib: "logistic", "forest", "boosting", "perceptron" for
            classes, "linear", "forest", "boosting" for amounts. Where nothing of MLlib is named, all
            of these take part. A Keras model is copied; a trained one is trained again from new weights.
        features: feature columns; None for those that the Keras model was trained on, or all others.
        sample_weight: weight column.
        test: part of the rows to score on, by their hash; or a DataFrame of them.
        folds: score on each of so many parts in turn, training on the others.
        metric: what is judged by, such as "roc auc"; None for "accuracy" or "rmse".
        task: "classification" or "regression"; None decides by the label.
        seed: of the hash that splits the rows, and of the order in which a Keras model sees them.
        spark: the session; None for the active one, or a new local one.
        training: further arguments of :func:`nbkeras.fit` for Keras models; ``epochs`` are those of the last
            training of the model, or 10. ``verbose=0`` shows nothing until the end.

    Raises:
        Aborted: the user interrupted before anything was trained.
        DataError: the rows or the label do not fit.
        ModelError: a model is not compiled, or cannot be copied.
        OptionError: an argument cannot be.

    Example:
        >>> import nbkeras, pandas
        >>> spark = nbkeras.local_spark()
        >>> rows = pandas.DataFrame({"a": range(100), "y": [3.0 * a for a in range(100)]})
        >>> nbkeras.compare(rows, "y", ["linear"], verbose=0).best.name
        'linear'
    """
    asked = Asked(y, _built(models), features, sample_weight, test, folds, metric, task, seed, training)
    if training.get("verbose") in (0, False):
        return _kept(compared(attached(spark), data, asked, lambda _: None))
    with hosts.slot(_last_line) as slot:
        board = _kept(compared(attached(spark), data, asked, lambda one: slot.show(_board(one))))
        slot.end(board)
    if hosts.has_tables():
        hosts.show_tables({board.title: board.table})
    return board


def _built(models: Any) -> Any:
    """The models, with a function that builds the network in place of each builder."""
    module = sys.modules.get("nbkeras.notebook.builder")
    if module is None:
        return models  # there is no builder

    def built(one: Any) -> Any:
        return one.build if isinstance(one, module.Builder) else one

    if isinstance(models, Mapping):
        return {name: built(one) for name, one in models.items()}
    return [built(one) for one in models] if isinstance(models, (list, tuple)) else built(models)


def _last_line(board: Leaderboard) -> str:
    """The line of what has just begun or ended."""
    begun = [one for one in board.entries if one.status != "waiting"]
    if not begun or begun[-1].status == "scoring":
        return ""
    cells = board.line(begun[-1])
    return "  ".join(filter(None, cells[:3] if begun[-1].status == "training" else cells))


def _kept(found: Compared) -> Leaderboard:
    """What has come of a comparison, kept with the runs of its Keras models."""
    board = _board(found)
    models = [model for one in board.entries if one.kind == "Keras" for model in one.models]
    registry.keep(board, *filter(None, map(registry.origin, models)))
    return board


def _board(found: Compared) -> Leaderboard:
    return Leaderboard(**{one.name: getattr(found, one.name) for one in fields(Compared)})


def _rate(one: Entry) -> float:
    return one.rows / one.predict_seconds if one.predict_seconds else math.nan


def _number(value: float) -> str:
    return f"{value:.4f}" if abs(value) < 1000 else f"{value:,.1f}"
