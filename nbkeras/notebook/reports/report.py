"""Report: how good predictions are, computed on Spark and shown in the notebook."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nbkeras.errors import DataError, ModelError, OptionError
from nbkeras.metrics import text
from nbkeras.metrics.described import TABLES, described
from nbkeras.metrics.figures import Figures
from nbkeras.notebook import hosts
from nbkeras.notebook.reports import drawing, files, keeping, view
from nbkeras.notebook.words import REPORT

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@dataclass(frozen=True, repr=False, eq=False)
class Report(Figures):
    """What predictions are worth: figures, tables and curves, see :class:`nbkeras.metrics.figures.Figures`.

    In a notebook it shows itself as a picture and tables, as text in the layout of scikit-learn's
    ``classification_report``. Its tables are pandas', its curves NumPy's. Two are equal if all that they
    say is the same.
    """

    @classmethod
    def of(cls, found: Figures) -> Report:
        """A report of figures."""
        return cls(**vars(found))

    def __repr__(self) -> str:
        return text.report(self)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Report):
            return NotImplemented
        return self is other or described(self) == described(other)

    def __hash__(self) -> int:
        return hash((self.title, self.made, self.task, self.rows))

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return view.bundle(self) if hosts.has_scripts() else self.bundle()

    def bundle(self) -> dict[str, str]:
        """Render it for a notebook's output: HTML, PNG and plain text."""
        return drawing.bundle(self)

    def live(self) -> dict[str, Any]:
        """What the panel of runs draws of it."""
        return view.state(self)

    @property
    def nbytes(self) -> int:
        """The bytes that its tables and curves take."""
        tables = [getattr(self, name) for name in TABLES] + [*self.calibration.values()]
        curves = [*self.roc.values(), *self.precision_recall.values()]
        return sum(
            [int(one.memory_usage(deep=True).sum()) for one in tables if one is not None]
            + [values.nbytes for one in curves for values in vars(one).values()]
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the report to a file, in the form that the end of its name says.

        A file that is there is replaced. ``.json`` has everything, for programs and for :meth:`read`: NaN is
        null there, an infinity the word ``"Infinity"``. ``.csv`` has the table of classes; without classes,
        the figures. ``.png`` is the picture, ``.html`` a page that needs nothing else, ``.txt`` the text. A
        folder gets all of these, and each table as a CSV file: figures, classes, averages, confusion, slices,
        worst, sample, roc, precision_recall, calibration.

        Args:
            path: of the file, or of a folder: one that is there, or a name without an end, which is made.

        Raises:
            OptionError: the name ends otherwise, it cannot be written, or there is no picture.

        Example:
            >>> import tempfile
            >>> place = f"{tempfile.mkdtemp()}/report.json"
            >>> report = Report("regression", 2, {"mae": 0.5})
            >>> report.save(place)
            >>> Report.read(place) == report
            True
        """
        files.save(self, path)

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Report:
        """Read a report that :meth:`save` has written as JSON, or into a folder.

        Args:
            path: of the ``.json`` file, or of the folder.

        Raises:
            OptionError: it holds no report.

        Example:
            >>> Report.read("there/is/none.json")
            Traceback (most recent call last):
            nbkeras.errors.OptionError: there/is/none.json is no report that can be read (...
        """
        return cls.of(files.read(path))


def report(
    model: Any,
    data: Any = None,
    y: Any = None,
    *,
    features: Sequence[str] | None = None,
    sample_weight: Any = None,
    prediction: str | None = None,
    classes: Sequence[str] | None = None,
    by: str | None = None,
    worst: int = 0,
    task: str | None = None,
    threshold: float = 0.5,
    output: str | None = None,
    batch_size: int | None = None,
    backend: str = "auto",
    spark: SparkSession | None = None,
) -> Report:
    """Report how good a model is on rows, or how good predictions are that a DataFrame holds.

    One pass over the rows on Spark gives all figures, exactly as scikit-learn defines them, and the model's
    own loss and metrics. Areas under curves are exact as long as distinct scores fit into the room that is
    kept for them, two million over all workers, classes and slices; else each says how far off it can be.

    The report is kept in ``nbkeras.runs.reports``, and in ``run.reports`` of the run that has trained the
    model; where that run has checkpoints, in their folder too, without rows of the data.

    Args:
        model: built; if a run in the background trains it, waits for its end. Or a DataFrame that holds
            predictions, of whatever has made them, in place of model and data.
        data: as in :func:`nbkeras.evaluate`.
        y: label column of a DataFrame, or an array; None for the column that the model was trained on.
        features: feature columns; None for those that the model was trained on.
        sample_weight: weight column of a DataFrame, or an array; one weight a row.
        prediction: without a model, the column of predictions: probabilities of the classes (an array or a
            vector of MLlib), classes, or amounts; None for "probability" or "prediction".
        classes: names of the classes in the order of their numbers; None for those of the training, or of
            Spark's StringIndexer.
        by: a column; the figures are given for each of its 50 most frequent values too.
        worst: so many rows that are predicted worst are kept, with all their columns.
        task: "classification", "labels" where a row may have several, or "regression"; None decides by the
            model's loss, or by the types of the columns.
        threshold: probability above which a single output, or one of several labels, says yes.
        output: name of the output to report on, of a model with several.
        batch_size: rows of a batch, 1,024 if None.
        backend: as in :func:`nbkeras.fit`.
        spark: the session; None for the active one, or a new local one.

    Raises:
        Aborted: the user interrupted.
        DataError: the data does not fit the model, or labels do not fit predictions.
        OptionError: an argument cannot be.
        TrainingError: an exception on a worker.

    Example:
        >>> import pandas as pd, nbkeras
        >>> spark = nbkeras.local_spark()
        >>> flowers = pd.DataFrame({"kind": ["rose", "lily", "rose"], "said": ["rose", "rose", "rose"]})
        >>> round(nbkeras.report(flowers, "kind", "said").figures["accuracy"], 3)
        0.667
    """
    from nbkeras.data.frames import holds_columns
    from nbkeras.driver import checks
    from nbkeras.driver.scoring import report as driver
    from nbkeras.driver.scoring.wanted import Wanted
    from nbkeras.run import registry

    if holds_columns(model):
        y, prediction = _places(data, y, prediction)
        model, data = None, model
    else:
        _require_model(model, data)
        checks.wait_for_training(model)
    wanted = Wanted(y, prediction, sample_weight, features, classes, by, worst, task, threshold, output)
    found = driver.report(spark, model, data, wanted, batch_size=batch_size, backend=backend)
    run = None if model is None else registry.origin(model)
    title = getattr(model, "name", prediction or "predictions") if run is None else run.name
    made = Report(**(vars(found) | {"title": str(title), "made": time.time()}))
    keeping.keep(made, run)
    return made


def show(made: Report) -> None:
    """Show a report as this place can: live in Jupyter, as a picture and tables in Zeppelin, else as text.

    Args:
        made: the report.
    """
    if not hosts.has_tables():
        hosts.show(made._repr_mimebundle_())
        return
    hosts.show_page(drawing.page(made, drawing.draw(made), tables=False))
    shown = {
        "amounts" if made.task == "regression" else "classes": made.per_class,
        "slices": made.slices,
        "worst": made.worst,
    }
    hosts.show_tables({REPORT[name]: table for name, table in shown.items() if table is not None})


def _places(data: Any, y: Any, prediction: str | None) -> tuple[Any, str | None]:
    """The columns of ``report(df, "label", "prediction")``, whose places are those of data and y.

    Raises:
        OptionError: another DataFrame is given, or too many columns.
    """
    if data is None:
        return y, prediction
    if not isinstance(data, str):
        raise OptionError(
            f"a report of predictions takes one DataFrame, and a {type(data).__name__} behind it: give the "
            "model first, or leave one out"
        )
    if y is None:
        return data, prediction
    if prediction is None:
        return data, y
    raise OptionError(f"three columns are given, {data!r}, {y!r} and {prediction!r}: name y= and prediction=")


def _require_model(model: Any, data: Any) -> None:
    """Make sure that a model comes first, and rows behind it.

    Raises:
        DataError: there are no rows.
        ModelError: it is no model.
    """
    import keras

    if not isinstance(model, keras.Model):
        raise ModelError(
            "report takes a Keras model, or a DataFrame that holds predictions, and got a "
            f"{type(model).__name__}"
        )
    if data is None or isinstance(data, str):
        raise DataError(f"the rows are missing: nbkeras.report(model, df, y='…'), not {data!r}")
