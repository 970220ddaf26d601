"""One call of report: one pass over the rows, whose sums become figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from nbkeras.data import columns, frames, parts, series
from nbkeras.data.decoder import Decoder
from nbkeras.data.names import quoted
from nbkeras.data.preprocessing.cut import cut
from nbkeras.data.rows import Rows
from nbkeras.data.sample import build, build_metrics, first_batch, outputs
from nbkeras.data.source import Source, data_frame
from nbkeras.driver import inference
from nbkeras.driver.columns import class_names, classes
from nbkeras.driver.scoring import evaluate, predictions, question
from nbkeras.driver.scoring.question import Named
from nbkeras.driver.scoring.wanted import Wanted
from nbkeras.errors import DataError, ModelError, OptionError
from nbkeras.metrics import figures
from nbkeras.metrics.figures import Figures
from nbkeras.metrics.tally import WORST, Asked, Tally
from nbkeras.model import exactness
from nbkeras.run import registry
from nbkeras.schema import PREFIX, Field, Schema
from nbkeras.spark import cluster, preflight
from nbkeras.spark.session import attached
from nbkeras.worker import report as worker
from nbkeras.worker import task
from nbkeras.worker.report import SLICE, Work

#: Slices that a report tells apart; rows of other values make one more.
_SLICES = 50
#: Classes that each slice can have: it has a confusion matrix of its own.
_SLICED = 300
_OTHER = "(other)"


def report(
    spark: SparkSession | None, model: Any, data: Any, wanted: Wanted, *, batch_size: int | None, backend: str
) -> Figures:
    """Report on what a model predicts, or on what is predicted already.

    Args:
        spark: the session; None for the active one, or a new local one.
        model: a Keras model; None where a column holds the predictions.
        data: the rows.
        wanted: what of them.
        batch_size, backend: as in :func:`nbkeras.report`.

    Raises:
        Aborted: an interrupt.
        DataError: the data does not fit the model, or the predictions do not fit the labels.
        OptionError: an argument cannot be.
        TrainingError: an exception on a worker.
    """
    wanted.require()
    if getattr(data, "isStreaming", False):
        raise DataError(
            "the DataFrame is a stream, which has no end: write its predictions to a table, and report on "
            "that"
        )
    spark = attached(spark)
    data, y, weight = series.named(frames.held(data), wanted.y, wanted.sample_weight)
    wanted = replace(wanted, y=y, sample_weight=weight)
    df = data_frame(spark, data) if wanted.names_columns(data, model) else None
    if df is not None:
        wanted.require_columns(df)
    if df is None and (wanted.by is not None or wanted.worst):
        raise OptionError(
            "by= and worst= are of a DataFrame with its labels: give one, and the name of their column, y='…'"
        )
    if model is None:
        if df is None:
            raise DataError(
                "without a model, a report takes a DataFrame with a column of predictions: give one, and its "
                "name, prediction='…'"
            )
        if (
            batch_size is not None
            or backend != "auto"
            or wanted.features is not None
            or wanted.output is not None
        ):
            raise OptionError("features=, output=, batch_size= and backend= are of a model: leave them out")
        made = _of_columns(spark, df, wanted)
    else:
        made = _of_model(spark, model, data if df is None else df, df, wanted, batch_size, backend)
    return made.figures(wanted)


@dataclass(frozen=True)
class _Tallied:
    """What one pass has come to."""

    tally: Tally
    asked: Asked
    named: Named
    weighted: bool
    metrics: dict[str, Any]
    notes: tuple[str, ...]

    def figures(self, wanted: Wanted) -> Figures:
        names, sums = self.named.names, self.tally.sums
        if not sums[0].rows:
            raise DataError("the DataFrame has no rows to report on: give at least one")
        if not sums[0].weight > 0:
            raise DataError("all rows have the sample_weight 0: a report needs one above")
        found = figures.of(sums[0], names, weighted=self.weighted)
        return replace(
            found,
            metrics=self.metrics,
            notes=(*self.notes, *found.notes),
            slices=None if wanted.by is None else self._slices(wanted.by),
            worst=None if self.tally.worst is None else self._worst(self.tally.worst),
        )

    def _slices(self, by: str) -> Any:
        import pandas as pd

        titles = [*("(null)" if one is None else one for one in self.asked.slices), _OTHER]
        # Two may have one title: a value may be the words for a null.
        found = [
            (title, {"rows": sums.rows, **figures.of(sums, self.named.names).figures})
            for title, sums in zip(titles, self.tally.sums[1:], strict=True)
            if sums.weight > 0
        ]
        return pd.DataFrame([line for _, line in found], pd.Index([title for title, _ in found], name=by))

    def _worst(self, table: pa.Table) -> Any:
        frame = table.to_pandas()
        if self.named.question.task == "classification":
            for name in WORST[:2]:
                frame[name] = [self.named.names[number] for number in frame[name]]
        return frame


def _of_model(
    spark: SparkSession,
    model: Any,
    data: Any,
    df: DataFrame | None,
    wanted: Wanted,
    batch_size: int | None,
    backend: str,
) -> _Tallied:
    """Tally what a model predicts."""
    known, trained = registry.schema(model), cut(model)
    source = Source(spark, model, wanted.features, known)
    rows = source.labelled(data, _label(wanted, df, known), wanted.sample_weight, "test_step")
    rows = classes.of_training(rows.behind(trained.graph), known)
    _require_rows(rows)
    source.say_guessed(rows)
    build(trained.model, rows)
    if inference.predicts_by_batch(trained.model, lambda: first_batch(rows, 4)):
        exactness.require_any_batches(model)
    structure = outputs(trained.model, rows)
    measured, why = _measured(trained.model, rows, len(keras.tree.flatten(structure)))
    place = _place(model, structure, wanted.output)
    label = class_names.label_of(model, rows.schema, place)
    if label is None:
        raise DataError("the output has no label: give y as a dict from output names to columns")
    sample = keras.ops.convert_to_numpy(keras.tree.flatten(structure)[place])
    named = question.of_model(
        model,
        place,
        sample,
        label,
        known,
        task=wanted.task,
        classes=wanted.classes,
        threshold=wanted.threshold,
    )
    plan = inference.plan_of(spark, rows.trained, backend, batch_size=batch_size)
    job = inference.job_of("report", spark, plan, trained, rows)
    weight = next((one.name for one in rows.schema.weights), None)
    work = Work(Asked(named.question), rows.decoder, label.name, "", weight, (), job, place, measured)
    try:
        work, sent = _sent(
            spark, work, rows.df if df is None else df, df, rows.schema.fields, wanted, plan.workers
        )
        tally, states = _tallied(spark, work, sent, plan.workers, plan.schema.row_bytes)
    finally:
        job.payload.forget()
    metrics = evaluate.summed(trained.model, states) if measured and states else {}
    return _Tallied(tally, work.asked, named, weight is not None, metrics, why)


def _label(wanted: Wanted, df: DataFrame | None, known: Schema | None) -> Any:
    """The labels that are given, else those that the model was trained on.

    Raises:
        DataError: there are none.
        OptionError: a column of predictions is named beside the model.
    """
    if wanted.prediction is not None:
        raise OptionError("prediction= names a column of predictions: leave it out, or the model")
    if wanted.y is not None:
        return wanted.y
    if df is not None and known is not None and known.targets:
        names = {one.name: one.sources[0] for one in known.labels}
        return known.targets[0] if known.y is None else keras.tree.map_structure(names.get, known.y)
    raise DataError("y is missing: name the label column, y='…'")


def _require_rows(rows: Rows) -> None:
    """Refuse windows, which are of several rows.

    Raises:
        DataError: these are.
    """
    if rows.schema.windows is not None:
        raise DataError(
            "a report takes rows, and nbkeras.timeseries makes windows of them: predict, and report on the "
            "column of predictions"
        )


def _measured(model: Any, rows: Rows, outputs: int) -> tuple[bool, tuple[str, ...]]:
    """Whether the model's own loss and metrics add up over any batches; if not, a sentence why."""
    if not getattr(model, "compiled", False):
        return False, ()
    if outputs > 1 and len(rows.schema.labels) < outputs:
        return False, ("without the model's own loss and metrics, which need the labels of all its outputs",)
    try:
        build_metrics(model, rows)
    except ModelError as error:
        # Labels that the loss does not know are counted by the tasks.
        return False, (f"without the model's own loss and metrics: {error}",)
    reason = evaluate.coupled(model, lambda: first_batch(rows, 4))
    if not reason:
        return True, ()
    return False, (f"without the model's own loss and metrics, which nbkeras.evaluate computes: {reason}",)


def _place(model: Any, structure: Any, output: str | None) -> int:
    """The place of the output to report on.

    Raises:
        OptionError: there are several, or none of that name.
    """
    names = class_names.of_outputs(model, structure)
    if len(names) == 1 and output is None:
        return 0
    if output not in names:
        raise OptionError(f"output={output!r}: name the output to report on, {', '.join(map(repr, names))}")
    return names.index(output)


def _of_columns(spark: SparkSession, df: DataFrame, wanted: Wanted) -> _Tallied:
    """Tally a column of predictions."""
    given = predictions.of(spark, df, wanted.y, wanted.prediction, wanted.classes, wanted.task)
    named = given.named(wanted.threshold)
    weights: tuple[Field, ...] = ()
    if wanted.sample_weight is not None:
        weights = columns.weight_fields(given.df, [wanted.sample_weight], "float64")
    fields = (given.label, given.predicted, *weights)
    weight = weights[0].name if weights else None
    work = Work(Asked(named.question), Decoder(fields), given.label.name, given.predicted.name, weight)
    cluster.ship(spark)
    workers = max(1, cluster.slots(spark))
    work, sent = _sent(spark, work, given.df, df, fields, wanted, workers)
    tally, _ = _tallied(spark, work, sent, workers, 8 * given.width)
    return _Tallied(tally, work.asked, named, bool(weights), {}, ())


def _sent(
    spark: SparkSession,
    work: Work,
    frame: DataFrame,
    df: DataFrame | None,
    fields: Sequence[Field],
    wanted: Wanted,
    workers: int,
) -> tuple[Work, DataFrame]:
    """The rows on their way to the tasks, and what these do with them.

    Args:
        spark: the session.
        work: of the tasks, but for slices and the rows that are kept.
        frame: the rows; columns of arrays are named as the fields are.
        df: the user's own; None for arrays.
        fields: that are sent.
        wanted: what of them.
        workers: that share the rows.
    """
    made = [
        (F.col(one.name) if df is None else columns.expression(frame, one)).alias(PREFIX + one.name)
        for one in fields
    ]
    kept = tuple(df.columns) if df is not None and wanted.worst else ()
    asked = replace(work.asked, worst=wanted.worst)
    if wanted.by is not None:
        text = parts.column(frame, columns.existing(frame, wanted.by, "by")).cast("string")
        if asked.question.number > _SLICED:
            raise OptionError(
                f"by={wanted.by!r} takes up to {_SLICED} classes, and there are {asked.question.number}: "
                "leave it out, or report on some of the rows at a time"
            )
        asked = replace(asked, slices=_values(spark, frame.select(text.alias(SLICE))))
        made = [*made, text.alias(SLICE)]
    asked = replace(asked, question=replace(asked.question, cells=asked.question.cells // asked.groups))
    # mapInArrow looks columns up by name: one with a dot in it would be taken for a field of a struct.
    named = [F.col(quoted(name)).alias(f"kept{index}") for index, name in enumerate(kept)]
    return replace(work, asked=asked, own=kept), frame.select(*named, *made).coalesce(workers)


def _values(spark: SparkSession, df: DataFrame) -> tuple[str | None, ...]:
    """The most frequent values of a column of words."""
    counted = df.groupBy(SLICE).count().orderBy(F.desc("count"), SLICE).limit(_SLICES)
    found = inference.attended(spark, "report", counted.collect)
    return tuple(row[SLICE] for row in found)


def _tallied(
    spark: SparkSession, work: Work, sent: DataFrame, workers: int, row_bytes: int
) -> tuple[Tally, list[bytes]]:
    """Tally all rows; and the metric states of the model, of each part of them."""
    asked = work.asked
    # All parts together have as many cells as there may be in the end.
    cells = max(1, asked.question.cells // workers)
    part = replace(work, asked=replace(asked, question=replace(asked.question, cells=cells)))

    def tallied(batches: Any) -> Any:
        return worker.report(part, batches)

    def collect() -> list[Any]:
        if part.job is not None:
            preflight.require(spark, part.job.plan.backend, part.job.packages)
        with cluster.bounded_batches(spark, row_bytes):
            return sent.mapInArrow(tallied, task.RESULT).collect()

    found, _ = inference.twice(spark, "report", collect)
    tally, states = Tally(asked), []
    for one in found:
        sums, worst, state = worker.unpacked(one)
        tally.merge(sums, worst)
        if state:
            states.append(state)
    return tally, states
