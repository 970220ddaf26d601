"""One call of fit_stream: from its arguments to a run that trains on a stream."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from nbkeras.data import frames
from nbkeras.driver.training import fit, resumption
from nbkeras.driver.training.attend import attend
from nbkeras.driver.training.callbacks import NotebookCallbacks
from nbkeras.driver.training.micro_batches import Given, MicroBatches
from nbkeras.errors import ClusterError, DataError, OptionError
from nbkeras.job.store import absolute
from nbkeras.model import settings
from nbkeras.options import Options
from nbkeras.plan import BALANCED
from nbkeras.run import registry
from nbkeras.run.display import Host, Silent
from nbkeras.run.run import Run
from nbkeras.spark import cluster
from nbkeras.spark.session import attached, is_connect

#: What makes micro-batches, of all that Spark knows.
_TRIGGERS = {"processingTime", "availableNow", "once"}


def fit_stream(
    options: Options,
    host: Host,
    model: Any,
    given: Given,
    *,
    shuffle: bool,
    seed: int | None,
    verbose: Any,
    **limits: Any,
) -> Run:
    """Train a model on the micro-batches of a stream, and show it.

    Args:
        options: where and how to train.
        host: shows the run, unless the options name another.
        model: compiled.
        given: the stream.
        shuffle, seed, verbose: as in :func:`nbkeras.fit_stream`.
        limits: ``batch_size`` and ``class_weight``.

    Raises:
        NbkerasError: an argument, the data or the model cannot be, or the training fails.
    """
    spark, host = attached(options.spark), options.shown_by or host
    _require(spark, given, limits.get("class_weight"))
    # A stream goes on by itself where it has a checkpoint, as each of Spark's own does.
    options = replace(options, resume=options.checkpoint is not None)
    for other in registry.at_work():
        if options.checkpoint is not None and other.stream == absolute(os.fspath(options.checkpoint)):
            raise OptionError(
                f"{other.name} trains on a stream from {other.stream}: stop it first, or name another place"
            )
    plan, begun, alone = fit.planned(spark, options, model, shuffle=shuffle, seed=seed, **limits)
    run = fit.entered(host, options, model, plan, begun)
    run.epochs, run.stream = 0, plan.checkpoint or ""
    run.settings = settings.of(model, plan)
    before = _notes(begun, plan.checkpoint)
    if begun is not None:
        before += resumption.changes(model, run.settings, begun)
        run.settings |= resumption.restored(begun, run.settings)
    fit.begin(spark, options, plan, run, alone, before)
    batches = MicroBatches(spark, plan, run, given, begun, shuffle=shuffle)
    shows = Silent() if verbose in (0, False) else host
    nobody = NotebookCallbacks([], model, {"epochs": 1, "verbose": 0, "steps": None})
    try:
        with cluster.link(spark).undisturbed():
            return attend(run, lambda: batches.train, nobody, shows, 0, spark)
    finally:
        # As Keras does, also where an error or an interrupt ends the cell.
        model.history = fit.history(run)


def _require(spark: SparkSession, given: Given, class_weight: Any) -> None:
    """Make sure that there is a stream whose micro-batches come to this notebook.

    Raises:
        ClusterError: Spark hands them to another Python.
        DataError: it is no stream.
        OptionError: class weights would have to know all rows.
    """
    if not isinstance(given.data, DataFrame) or not given.data.isStreaming:
        kind = "a DataFrame at rest" if frames.is_frame(given.data) else f"a {type(given.data).__name__}"
        raise DataError(
            f"fit_stream takes a stream, spark.readStream…load(), and got {kind}: use nbkeras.fit"
        )
    if is_connect(spark):
        raise ClusterError(
            "over Spark Connect the micro-batches of a stream come to a Python beside the server, not to "
            "this notebook: run fit_stream in a notebook with a session of its own on the cluster, or write "
            "the stream to a table and call nbkeras.fit; predict takes streams here too"
        )
    trigger: Any = given.trigger
    if trigger is not None and not (isinstance(trigger, Mapping) and {*trigger} <= _TRIGGERS):
        raise OptionError(
            f"trigger={trigger!r}: use {{'processingTime': '10 seconds'}}, or {{'availableNow': True}} "
            "for what there is"
        )
    if class_weight == BALANCED:
        raise OptionError(
            f"class_weight={BALANCED!r} counts all rows, and a stream has no end: give a dict from class to "
            "weight"
        )


def _notes(begun: Any, checkpoint: str | None) -> list[str]:
    """What a user should know before a stream begins, in sentences."""
    if begun is not None and "stream" in begun.about:
        return [f"going on after micro-batch {begun.about['stream']['batch']}, from {checkpoint}"]
    if checkpoint is None:
        return ["without a checkpoint, what comes while the stream is stopped is trained on by nobody"]
    return []
