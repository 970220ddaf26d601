"""Running: a task from its rows to its results, by the calls that a notebook makes."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from nbkeras.errors import NbkerasError, OptionError, TaskError
from nbkeras.spark import session
from nbkeras.tasks import frames, labels, models, outputs, wording
from nbkeras.tasks.declared import Declared
from nbkeras.tasks.result import Result

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def perform(task: Declared, result: Result, spark: SparkSession | None = None) -> None:
    """Do all that a task says.

    Args:
        task: the task.
        result: is filled as it goes, and written where the task says, however it ends.
        spark: the session; None for the active one, or one that is made and stopped in the end.

    Raises:
        NbkerasError: what has ended it.
        Exception: the user's code raises it.
        KeyboardInterrupt: the user interrupts where nothing is learned yet.
    """
    try:
        outputs.require_apart(task)
        again = outputs.goes_on(task)
        if not again:
            outputs.require_free(task)
        outputs.make_folders(task)
    except NbkerasError as error:
        result.end(error)  # the result of an earlier run stays where it is
        raise
    looks = False
    try:
        with opened(task, spark, result.notes) as attached, options_as_faults(task):
            looks = True
            if not again:
                outputs.require_free_for_spark(task, attached)
            looks = False
            _write(task, result)
            _steps(task, result, attached, again=again)
    except BaseException as error:
        result.end(error)
        if not (looks and isinstance(error, TaskError)):
            with contextlib.suppress(OptionError):  # what has ended it says more
                _write(task, result)
        raise
    result.end()
    _write(task, result)


@contextlib.contextmanager
def opened(task: Declared, given: SparkSession | None, notes: list[str]) -> Iterator[SparkSession]:
    """Give the session of a task; one that is made for it is stopped in the end.

    Args:
        task: the task.
        given: the session; None for the active one, or one that is made.
        notes: gets a sentence where a setting of the task cannot count.

    Raises:
        ClusterError: there is none, or it does not start.
    """
    running = given if given is not None else session.running()
    if running is not None and not session.is_stopped(running):
        if task.spark.master is not None or task.spark.config:
            notes.append("a Spark session is active: spark.master and spark.config of the task do not count")
        yield session.attached(running)
        return
    settings = {key: str(one).lower() if isinstance(one, bool) else str(one) for key, one in _config(task)}
    spark = session.started(task.spark.master or "local[*]", settings)
    try:
        yield spark
    finally:
        spark.stop()


@contextlib.contextmanager
def options_as_faults(task: Declared) -> Iterator[None]:
    """Within the block, what an argument of a call cannot be is a fault of the task.

    Args:
        task: the task.

    Raises:
        TaskError: an option cannot be.
    """
    try:
        yield
    except TaskError:
        raise
    except OptionError as error:
        named = re.match(r"(\w+)=", str(error))
        place = () if named is None else wording.place_of(type(task), named[1])
        raise task.places.fault(place, str(error)) from error


def _config(task: Declared) -> Any:
    return {"spark.app.name": f"nbkeras {task.title}", **task.spark.config}.items()


def arguments(task: Declared, found: dict[str, DataFrame], spark: SparkSession) -> dict[str, Any]:
    """Write the call of :func:`nbkeras.fit`, but for model, data, and callbacks.

    Args:
        task: the task.
        found: its DataFrames.
        spark: the session.
    """
    validation = task.data.validation
    return {
        "y": task.data.y,
        "features": task.data.features,
        "sample_weight": task.data.sample_weight,
        "validation_data": found.get("validation"),
        "validation_split": (validation.fraction if validation is not None else None) or 0.0,
        "nulls": task.data.nulls,
        "epochs": task.epochs,
        "batch_size": task.batch_size,
        "shuffle": task.shuffle,
        "class_weight": task.class_weight,
        "workers": task.spark.workers,
        "name": task.title,
        "seed": task.seed,
        "backend": task.spark.backend,
        "checkpoint": task.checkpoint,
        "resume": task.resume and task.checkpoint is not None,
        "monitor": task.monitor,
        "restore_best": task.restore_best,
        "heartbeat": task.spark.heartbeat,
        "gpus": task.spark.gpus,
        "sync_every": task.spark.sync_every,
        "trusted_network": task.spark.trusted_network,
        "spark": spark,
    }


def _steps(task: Declared, result: Result, spark: SparkSession, *, again: bool) -> None:
    from nbkeras import api

    found = frames.frames(task, spark)
    callbacks, model = models.callbacks(task), models.made(task)
    to_predict = found.get("predict", found.get("test"))
    outputs.require_format(task, model, to_predict)
    labels.require_known(task, spark, model, found)
    with _known(task, result):
        result.run = api.fit(model, found["training"], callbacks=callbacks, **arguments(task, found, spark))
    if task.out.model is not None and result.run.epoch_numbers:
        outputs.model(model, task.out.model)
        result.written["model"] = task.out.model
    if result.run.status == "stopped":
        if task.out.predictions is not None or "test" in found:
            result.notes.append("interrupted: the rows are neither predicted nor reported on")
        return
    if task.out.predictions is not None and to_predict is not None:
        mode = task.out.predictions.mode or task.out.mode
        # What an earlier run has left of them is the task's own.
        mode = "overwrite" if again and mode == "error" else mode
        _predict(task, result, spark, model, to_predict, mode)
    if "test" in found:
        _report(task, result, spark, model, found["test"])


@contextlib.contextmanager
def _known(task: Declared, result: Result) -> Iterator[None]:
    """Keep the run of a training also where an error ends it."""
    from nbkeras.run.registry import runs

    before = len(runs)
    try:
        yield
    finally:
        if result.run is None and len(runs) > before and runs[-1].name == task.title:
            result.run = runs[-1]


def _predict(
    task: Declared, result: Result, spark: SparkSession, model: Any, df: DataFrame, mode: str
) -> None:
    from nbkeras import api

    out = task.out.predictions
    assert out is not None
    predicted = api.predict(model, df, classes=out.classes, backend=task.spark.backend, spark=spark)
    outputs.predictions(spark, out, predicted, mode)
    result.written["predictions"] = out.path or str(out.table)


def _report(task: Declared, result: Result, spark: SparkSession, model: Any, df: DataFrame) -> None:
    from nbkeras.notebook.reports.report import report
    from nbkeras.tasks.parts import ReportFile

    out = task.out.report or ReportFile()
    weight = task.data.sample_weight
    weight = weight[0] if isinstance(weight, list) and len(weight) == 1 else weight
    if weight is not None and not isinstance(weight, str):
        weight = None
        result.notes.append("the report does without sample weights, which are of several outputs")
    result.report = report(
        model,
        df,
        sample_weight=weight,
        by=out.by,
        worst=out.worst,
        task=out.kind,
        threshold=out.threshold,
        output=out.output,
        backend=task.spark.backend,
        spark=spark,
    )
    if out.path is not None:
        result.written["report"] = outputs.report(result.report, out.path)


def _write(task: Declared, result: Result) -> None:
    if task.out.result is not None:
        result.write(task.out.result)
