"""Preparation: what stands between the data that a training is given and the rows that workers train on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from nbkeras.data import image_columns as images
from nbkeras.data import stream
from nbkeras.data.decoder import Decoder
from nbkeras.data.preprocessing.cut import Cut, cut
from nbkeras.data.rows import Rows, exchanged, to_train, to_validate
from nbkeras.data.sample import build, build_metrics
from nbkeras.driver.columns import adaptation, classes, gaps
from nbkeras.driver.training import best, memory
from nbkeras.driver.training.callbacks import NotebookCallbacks, of_part
from nbkeras.errors import DataError, OptionError
from nbkeras.model import architecture, exactness, settings
from nbkeras.plan import BALANCED, Plan
from nbkeras.run.run import Run
from nbkeras.schema import Schema
from nbkeras.spark import cluster


@dataclass(frozen=True)
class Data:
    """The data of a training.

    Attributes:
        train: to train on.
        validation: to validate on, if anything.
        split: the part of the training rows to be split off to validate on.
        known: the schema of the training before, if there was one.
        nulls: what stands for missing values, as in :func:`nbkeras.fit`.
        callbacks: that run on the workers.
        keeper: the one of these that keeps the best epoch's weights, see
            :func:`nbkeras.driver.training.best.keeper`.
        goes_on: whether other rows have been trained on before, of a stream.
    """

    train: Rows
    validation: Rows | stream.Dataset | None = None
    split: float = 0.0
    known: Schema | None = None
    nulls: Any = gaps.ERROR
    callbacks: Sequence[Any] = ()
    keeper: Any = None
    goes_on: bool = False


@dataclass(frozen=True)
class Prepared:
    """What can be submitted.

    Attributes:
        plan: that knows the rows.
        df: the rows on their way to the workers.
        trained: the part of the model that is trained.
        decoder: of the rows for that part; None where it is trained on them as they arrive.
    """

    plan: Plan
    df: DataFrame
    trained: Cut
    decoder: Decoder | None


def prepared(
    spark: SparkSession, plan: Plan, run: Run, data: Data, notebook: NotebookCallbacks, *, shuffle: bool
) -> Prepared:
    """Prepare a training: number the classes, adapt and cut the model, build it, and send the rows.

    Args:
        spark: the session.
        plan: of the training, before its rows are known.
        run: of the training.
        data: of the training.
        notebook: the callbacks that run in the notebook.
        shuffle: as in :func:`nbkeras.fit`.

    Raises:
        DataError: the data does not fit the model.
        ModelError: the model cannot be trained like this.
        OptionError: an argument does not fit the data.
    """
    if data.train.numbered and data.nulls != gaps.ERROR:
        raise OptionError(
            f"nulls={data.nulls!r} fills columns of a DataFrame: fill arrays with np.nan_to_num, or give a "
            "DataFrame"
        )
    if isinstance(data.train, stream.Stream):
        if plan.class_weight == BALANCED:
            raise OptionError(
                f"class_weight={BALANCED!r} counts the rows of a DataFrame or of arrays: give a dict from "
                f"class to weight for a {data.train.dataset.kind}"
            )
        # Batches go through the whole model.
        trained = Cut(run.model)
    else:
        data, plan = _classified(spark, plan, run, data)
        data = _filled(spark, run, data)
        for sentence in adaptation.automatic(spark, run.model, to_train(data.train, data.split)):
            run.note(sentence)
        if not data.train.numbered:
            run.schema = data.train.schema
            for sentence in images.notes(data.train.df, data.train.schema.features):
                run.note(sentence)
        trained = cut(run.model)
        if trained.graph is not None:
            data = _behind(data, trained)
            for sentence in of_part(data.callbacks):
                run.note(sentence)
    df, complete = _exchange(spark, plan, run, trained.model, data, notebook, shuffle=shuffle)
    return Prepared(complete, df, trained, None if trained.graph is None else data.train.decoder)


def _filled(spark: SparkSession, run: Run, data: Data) -> Data:
    """Data without gaps in what a policy fills; means are those of the rows to train on."""
    values, notes = gaps.fills(spark, to_train(data.train, data.split), data.nulls)
    for sentence in notes:
        run.note(sentence)
    if not values:
        return data
    if data.split:
        # Before gaps are filled: the hash of a row decides, and it would be another one.
        held = to_validate(data.train, data.split)
        data = replace(data, train=to_train(data.train, data.split), validation=held, split=0.0)
    validation = data.validation
    if isinstance(validation, Rows):
        validation = gaps.closed(validation, values)
    return replace(data, train=gaps.closed(data.train, values), validation=validation)


def _classified(spark: SparkSession, plan: Plan, run: Run, data: Data) -> tuple[Data, Plan]:
    """Data whose labels are numbers, and the plan with the weights of their classes."""
    train, notes = classes.numbered(spark, data.train, data.known, goes_on=data.goes_on)
    classes.require_fitting_loss(run.model, train.schema)
    for sentence in [] if plan.class_weight else notes:
        run.note(sentence)
    if plan.class_weight == BALANCED:
        for sentence in _counted(train.schema):
            run.note(sentence)
    validation = data.validation
    if isinstance(validation, Rows):
        classes.require_alike(validation.schema, train.schema)
        validation, _ = classes.numbered(spark, validation, train.schema)
    weights = classes.weights(spark, to_train(train, data.split), plan.class_weight)
    return replace(data, train=train, validation=validation), replace(plan, class_weight=weights)


def _counted(schema: Schema) -> list[str]:
    """Sentences about rows that count for balanced weights, and are not trained on as they are."""
    skips = any(one.image is not None and one.image.invalid == "skip" for one in schema.features)
    others = {"also those whose images are left out": skips, "not windows": schema.windows is not None}
    return [f"class_weight={BALANCED!r} counts all rows, {one}" for one, counts in others.items() if counts]


def _behind(data: Data, trained: Cut) -> Data:
    """Data behind what was cut off the model.

    Raises:
        DataError: rows are validated on batches, which have not been preprocessed.
    """
    validation = data.validation
    if isinstance(validation, stream.Dataset):
        raise DataError(
            f"validation_data is a {validation.kind}, and the model's lookup and text layers are done in "
            "Spark: give a DataFrame of the columns, as to train on"
        )
    if isinstance(validation, Rows):
        validation = validation.behind(trained.graph)
    return replace(data, train=data.train.behind(trained.graph), validation=validation)


def _exchange(
    spark: SparkSession,
    plan: Plan,
    run: Run,
    model: Any,
    data: Data,
    notebook: NotebookCallbacks,
    *,
    shuffle: bool,
) -> tuple[DataFrame, Plan]:
    """The rows on their way to the workers, and the plan that knows them; the model is built on the first."""
    train = data.train
    build(model, train)
    if notebook.asks_metrics or data.keeper is not None:
        build_metrics(model, train)
    if data.keeper is not None:
        best.require_known(data.keeper, model, validates=data.validation is not None or data.split > 0)
    # Only now is it known which layers it has.
    if plan.workers > 1:
        exactness.refuse(model)
    short = memory.note(spark, model, plan)
    for sentence in [*exactness.notes(model, plan.workers, plan.sync_every), *([short] if short else [])]:
        run.note(sentence)
    run.settings["weights"] = settings.weights(run.model)
    cluster.ship(spark)
    checked = data.validation if isinstance(data.validation, Rows) else None
    df, ordered = exchanged(
        spark,
        train,
        checked,
        workers=plan.workers,
        shuffle=shuffle,
        validation_split=data.split,
        checked=plan.checkpoint is not None,
    )
    complete = replace(
        plan,
        schema=train.trained,
        ordered=ordered,
        validates=checked is not None or data.split > 0,
        asks=bool(notebook),
        needs_weights=notebook.needs_weights,
        watches_training=notebook.watches_training,
        watches_validation=notebook.watches_validation,
        about={
            "settings": run.settings,
            "layers": architecture.of(run.model) if plan.checkpoint is not None else None,
            "code": run.code,
            "began": run.began,
            "schema": None if run.schema is None else run.schema.described(),
        },
    )
    return df, complete
