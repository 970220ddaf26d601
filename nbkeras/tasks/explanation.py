"""Explanation: what a task would do, in sentences, after a look at its columns and its model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbkeras.data.names import first
from nbkeras.driver import checks
from nbkeras.driver.training import best
from nbkeras.driver.training import fit as driver
from nbkeras.errors import DataError
from nbkeras.options import NAMES, Options
from nbkeras.tasks import frames, models, outputs, running
from nbkeras.tasks.declared import Declared
from nbkeras.tasks.parts import Rows, format_of

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_DATA = ("y", "features", "sample_weight", "validation_data", "validation_split", "nulls")


def explain(task: Declared, spark: SparkSession | None = None) -> str:
    """Say what a task would do; no row is computed, and nothing is written.

    Args:
        task: the task.
        spark: the session; None for the active one, or one that is made and stopped in the end.

    Raises:
        NbkerasError: it would end so, as far as it is known without the rows.
    """
    outputs.require_apart(task)
    if not (again := outputs.goes_on(task)):
        outputs.require_free(task)
    notes: list[str] = []
    with running.opened(task, spark, notes) as attached, running.options_as_faults(task):
        if not again:
            outputs.require_free_for_spark(task, attached)
        return "\n".join([*_sentences(task, attached), *notes])


def _sentences(task: Declared, spark: SparkSession) -> Iterator[str]:
    found = frames.frames(task, spark)
    callbacks, model = models.callbacks(task), models.made(task)
    outputs.require_format(task, model, found.get("predict", found.get("test")))
    workers, features, labels = _fitted(task, spark, model, found)
    yield f"{task.title}: nothing is computed or written now. A run would do this:"
    for name, df in found.items():
        yield _rows(name, getattr(task.data, name), df)
    if task.data.validation is not None and task.data.validation.fraction is not None:
        yield f"validation: {task.data.validation.fraction:g} of the training rows, chosen by their hash"
    yield f"features: {features}; label: {labels}"
    yield _model(task, model)
    extra = "".join(f", {type(one).__name__}" for one in callbacks)
    yield (
        f"training: {_counted(task.epochs, 'epoch')} in batches of {task.batch_size or 32} rows{extra}, by "
        f"{_counted(workers, 'worker')} on {spark.conf.get('spark.master', 'Spark Connect')}"
    )
    yield from _kept(task)
    yield from _written(task)


def _fitted(
    task: Declared, spark: SparkSession, model: Any, found: dict[str, DataFrame]
) -> tuple[int, str, str]:
    """Check what a training checks before it reads rows: the number of workers, the features and labels."""
    chosen = running.arguments(task, found, spark)
    data = {name: chosen.pop(name) for name in _DATA}
    options = Options(**{name: chosen.pop(name) for name in NAMES if name in chosen})
    keeper = best.keeper(
        options.monitor,
        restore=options.restore_best,
        validates=task.data.validation is not None,
        epochs=task.epochs,
    )
    checks.require_compiled(model, "fit")
    plan, begun, _ = driver.planned(spark, options, model, **chosen)
    given = driver.Given(data=found["training"], **data)
    try:
        train, _, _ = driver.rows_of(spark, plan, model, given, begun)
    except DataError as error:
        raise task.places.fault(("data",), str(error)) from error
    # Metrics of compile have no names before the first batch.
    if keeper is not None and all(one.name != "compile_metrics" for one in model.metrics):
        best.require_known(keeper, model, validates=task.data.validation is not None)
    schema = train.schema
    return plan.workers, first(schema.columns), first([one.sources[0] for one in schema.labels]) or "none"


def _rows(name: str, rows: Rows, df: DataFrame) -> str:
    """Where some rows come from, their number where that is cheap, and their columns."""
    where = rows.path or (f"table {rows.table}" if rows.table else f"query {rows.sql!r:.60}")
    count = _count(rows)
    number = "" if count is None else f", {count:,} rows"
    kinds = [f"{one.name} {one.dataType.simpleString()}" for one in df.schema]
    return f"{name}: {where}{number}; {first(kinds)}"


def _count(rows: Rows) -> int | None:
    """The number of rows, where files of Parquet on this machine tell it without being read."""
    if (
        rows.path is None
        or (rows.format or format_of(rows.path)) != "parquet"
        or not Path(rows.path).exists()
    ):
        return None
    import pyarrow.dataset as ds

    try:
        return int(ds.dataset(rows.path, format="parquet").count_rows())
    except (OSError, ValueError):
        return None


def _model(task: Declared, model: Any) -> str:
    weights = f"{model.count_params():,} weights" if model.built else "built on the first row"
    layers = _counted(len(model.layers), "layer")
    rate = getattr(model.optimizer, "learning_rate", None)
    number = f" at {float(rate):g}" if rate is not None else ""
    optimizer = f"{type(model.optimizer).__name__}{number}"
    return f"model: {models.source(task)}, {layers}, {weights}, {optimizer}"


def _kept(task: Declared) -> Iterator[str]:
    if task.restore_best:
        watched = task.monitor or ("val_loss" if task.data.validation is not None else "loss")
        yield f"best: the model gets the weights of its best epoch by {watched}"
    if task.checkpoint is not None:
        goes_on = "goes on from what is there" if task.resume else "refuses what is there"
        yield f"checkpoint: {task.checkpoint}; the training {goes_on}"


def _written(task: Declared) -> Iterator[str]:
    for place, path, mode in outputs.named(task):
        yield f"writes {place[-1]}: {path}" + ("" if mode == "error" else f" ({mode})")
    if task.out.result is not None:
        yield f"writes result: {task.out.result}"


def _counted(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"
