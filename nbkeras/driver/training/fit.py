"""One call of fit: from its arguments to a run that trains."""

from __future__ import annotations

import itertools
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from nbkeras.data import source, stream
from nbkeras.data.rows import Rows
from nbkeras.driver import checks
from nbkeras.driver.training import again, attempts, best, preparation, resumption
from nbkeras.driver.training import callbacks as user
from nbkeras.driver.training.attend import attend
from nbkeras.job.checkpoint import Checkpoint
from nbkeras.job.store import absolute
from nbkeras.model import exactness, settings
from nbkeras.model.reader import kind_of
from nbkeras.options import Options
from nbkeras.plan import Plan, whole
from nbkeras.run import registry
from nbkeras.run.display import Host, Silent
from nbkeras.run.listeners import hearing
from nbkeras.run.run import Run
from nbkeras.schema import Schema
from nbkeras.spark import cluster, dynamic_allocation, protection
from nbkeras.spark.session import attached

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_numbers = itertools.count(1)
_WAITS = "nobody is at this notebook, which would end before a training in the background: it is waited for"


@dataclass(frozen=True)
class Given(source.Given):
    """The data of a training as the user gave it; see :func:`nbkeras.fit`."""

    validation_data: Any
    validation_split: float
    nulls: Any


def fit(
    options: Options,
    host: Host,
    model: Any,
    given: Given,
    *,
    shuffle: bool,
    seed: int | None,
    callbacks: Any,
    verbose: Any,
    **limits: Any,
) -> Run:
    """Train a model, and show it.

    Args:
        options: where and how to train.
        host: shows the run, unless the options name another.
        model: compiled.
        given: the data.
        shuffle, seed, callbacks, verbose: as in :func:`nbkeras.fit`.
        limits: arguments of ``keras.Model.fit`` that a plan has by their names, such as ``epochs``.

    Raises:
        NbkerasError: an argument, the data or the model cannot be, or the training fails.
    """
    on_workers, in_notebook = user.divided(callbacks, model)
    validates = given.validation_data is not None or bool(given.validation_split)
    keeper = best.keeper(
        options.monitor, restore=options.restore_best, validates=validates, epochs=limits["epochs"]
    )
    on_workers += [] if keeper is None else [keeper]
    spark, host = attached(options.spark), options.shown_by or host
    plan, begun, alone = planned(spark, options, model, shuffle=shuffle, seed=seed, **limits)
    known = registry.schema(model) if begun is None else begun.schema
    train, validation, split = rows_of(spark, plan, model, given, begun)
    run = entered(host, options, model, plan, begun)
    run.monitor = None if keeper is None else keeper.monitor
    schema = run.schema = None if train.numbered else train.schema
    chosen = settings.of(model, plan, schema, (*on_workers, *in_notebook), given.validation_split)
    run.settings = chosen | resumption.restored(begun, chosen)
    going_on = resumption.notes(model, plan, chosen, begun, resume=options.resume) + user.notes(in_notebook)
    streams = stream.Streams(
        train if isinstance(train, stream.Stream) else None,
        validation if isinstance(validation, stream.Dataset) else None,
    )
    going_on += again.notes(streams)
    begin(spark, options, plan, run, [*alone, *streams.notes], going_on)
    notebook = user.NotebookCallbacks(
        in_notebook, model, {"epochs": plan.epochs, "verbose": 0, "steps": plan.steps_per_epoch}
    )

    def prepare() -> Callable[[], None]:
        data = preparation.Data(train, validation, split, known, given.nulls, on_workers, keeper)
        made = preparation.prepared(spark, plan, run, data, notebook, shuffle=shuffle)
        hooks = notebook.epoch_end, notebook.steps
        return attempts.Driver(
            spark, made.plan, made.df, run, on_workers, *hooks, begun, streams, made.trained, made.decoder
        ).train

    begins = plan.initial_epoch if begun is None else begun.next_epoch(plan.epochs)
    shows = Silent() if verbose in (0, False) else host
    try:
        with cluster.link(spark).undisturbed():
            return attend(run, prepare, notebook, shows, begins, spark)
    finally:
        # As Keras does, also where an error or an interrupt ends the cell.
        model.history = history(run)


def planned(
    spark: SparkSession, options: Options, model: Any, *, shuffle: bool, seed: int | None, **limits: Any
) -> tuple[Plan, Checkpoint | None, list[str]]:
    """Plan a training before its rows are known: options that Spark or Keras decides are settled.

    Returns:
        The plan; the checkpoint to go on from, if there is one; and a note where one worker trains because
        several cannot.

    Raises:
        NbkerasError: an option cannot be, or Spark lacks something.
    """
    dynamic = dynamic_allocation.is_on(spark)
    if not dynamic:
        cluster.settle(spark, None if options.workers == "auto" else whole("workers", options.workers, 1))
    begun = resumption.newest(options.checkpoint, resume=options.resume)
    if begun is not None and seed is None:
        seed = begun.origin.seed
    workers, alone = _workers(spark, options, model)
    plan = _plan(options, begun, workers=workers, seed=checks.seed(seed) if shuffle else None, **limits)
    resumption.require_same(begun, plan)
    checks.require(spark, plan, dynamic=dynamic, trusted=options.trusted_network)
    return plan, begun, alone


def begin(
    spark: SparkSession, options: Options, plan: Plan, run: Run, before: list[str], going_on: list[str]
) -> None:
    """Tell the user and all listeners of a run that begins; the notes are sentences."""
    dynamic = dynamic_allocation.is_on(spark)
    for sentence in [*before, *_notes(spark, options, plan, run, going_on, dynamic=dynamic)]:
        run.note(sentence)
    run.listen(hearing(options.listeners))
    registry.runs.append(run)


def history(run: Run) -> Any:
    """The run's logs as the ``keras.callbacks.History`` that ``keras.Model.fit`` returns."""
    import keras

    done = keras.callbacks.History()
    done.set_model(run.model)
    done.set_params({"verbose": 0, "epochs": run.epochs, "steps": run.snapshot().steps})
    # The run's own lists: they grow with it in the background.
    done.epoch, done.history = run.epoch_numbers, run.history
    return done


def rows_of(
    spark: SparkSession, plan: Plan, model: Any, given: Given, begun: Checkpoint | None
) -> tuple[Rows, Rows | stream.Dataset | None, float]:
    """The data to train and to validate on, and the part still to be split off.

    Raises:
        DataError: the data does not fit the model.
        OptionError: an argument does not fit the data.
    """
    batch_size, validation = plan.validation_batch_size or plan.batch_size or 32, given.validation_data
    if kind_of(validation) is not None:
        stream.require_end(validation, plan.validation_steps, "validation_steps")
    if (kind := kind_of(given.data)) is not None:
        stream.require_end(given.data, plan.steps_per_epoch, "steps_per_epoch")
        dataset = stream.Dataset(given.data, seed=plan.seed)
        split = None if validation is not None else given.validation_split
        rows = stream.made(spark, plan.workers, dataset, given.y, given.sample_weight, split)
        return rows, None if validation is None else stream.checking(validation, batch_size, kind), 0.0
    known = None if begun is None else begun.schema
    own = source.Source(spark, model, given.features, known)
    beside = None if kind_of(validation) is not None else validation
    train, checked, part = own.both(given.data, given.y, given.sample_weight, beside, given.validation_split)
    checks.require_class_weight(plan.class_weight, train.schema)
    if beside is validation:
        return train, checked, part
    return train, stream.Dataset(validation, batch_size), 0.0


def _workers(spark: SparkSession, options: Options, model: Any) -> tuple[int, list[str]]:
    """The number of workers, and a note where it is one because several cannot train the model."""
    if options.workers != "auto":
        return whole("workers", options.workers, 1), []
    executors, reason = cluster.executors(spark), exactness.alone(model)
    if executors == 1 or not reason:
        return executors, []
    return 1, [f"one worker trains: {reason}"]


def _plan(options: Options, begun: Checkpoint | None, **limits: Any) -> Plan:
    named = {one.name: getattr(options, one.name) for one in fields(Plan) if hasattr(options, one.name)}
    checkpoint = options.checkpoint
    settled = {
        "backend": checks.backend(options.backend),
        "checkpoint": None if checkpoint is None else absolute(os.fspath(checkpoint)),
        "training": secrets.token_hex(4) if begun is None else begun.training,
    }
    return Plan(Schema(), **(named | settled | limits))


def entered(host: Host, options: Options, model: Any, plan: Plan, begun: Checkpoint | None) -> Run:
    """The run of a plan; in the background only where somebody stays at the notebook."""
    run = Run(
        options.name or f"run {next(_numbers)}",
        model,
        resumption.total(begun, plan.epochs),
        plan.workers,
        background=options.background and not host.headless(),
    )
    run.code, run.folder = host.code(), plan.checkpoint
    return run


def _notes(
    spark: SparkSession, options: Options, plan: Plan, run: Run, going_on: list[str], *, dynamic: bool
) -> list[str]:
    """What a user should know of a training before it begins, in sentences."""
    return [
        *protection.notes(spark, plan),
        *going_on,
        *([_WAITS] if options.background and not run.background else []),
        *([dynamic_allocation.note(plan.workers)] if dynamic and options.workers == "auto" else []),
        *([] if dynamic else _waits_for(spark, plan.workers)),
    ]


def _waits_for(spark: SparkSession, workers: int) -> list[str]:
    """What a training of so many workers waits for, where those of this notebook have the slots."""
    # Between its micro-batches a stream holds none.
    others = [one for one in registry.at_work() if one.phase != "waiting"]
    taken = sum(one.workers for one in others)
    if not others or taken + workers <= (slots := cluster.slots(spark)):
        return []
    names, hold = " and ".join(one.name for one in others), "hold" if len(others) > 1 else "holds"
    waits = (
        f"{names} {hold} {taken} of {slots} task slots, this training needs {workers}: it begins when they"
    )
    return [f"{waits} are free (nbkeras.runs[{others[-1].name!r}].stop() ends that one)"]
