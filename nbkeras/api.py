"""fit, evaluate, predict and on_spark: what the magics, the widgets and users call."""

from __future__ import annotations

import contextlib
import itertools
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nbkeras.driver.attend import Host, Silent, attend
from nbkeras.errors import DataError, ModelError, OptionError
from nbkeras.model import settings
from nbkeras.patch import Calls, history, routed
from nbkeras.plan import BACKENDS, Plan, whole
from nbkeras.run.listeners import Listener, hearing
from nbkeras.run.run import Run, calling
from nbkeras.schema import Schema
from nbkeras.spark.session import attached

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

#: All runs of this process, the newest last.
runs: list[Run] = []
#: Shows runs; set by the package to what fits the place it runs in.
host: Host = Silent()
_numbers = itertools.count(1)
_WAITS = "nobody is at this notebook, which would end before a training in the background: it is waited for"


def fit(
    model: Any,
    data: Any,
    y: Any = None,
    *,
    features: Sequence[str] | None = None,
    sample_weight: Any = None,
    validation_data: Any = None,
    validation_split: float = 0.0,
    epochs: int = 1,
    batch_size: int | None = None,
    shuffle: bool = True,
    callbacks: Any = None,
    class_weight: dict[int, float] | None = None,
    steps_per_epoch: int | None = None,
    validation_steps: int | None = None,
    validation_batch_size: int | None = None,
    validation_freq: Any = 1,
    initial_epoch: int = 0,
    verbose: Any = "auto",
    workers: int | str = "auto",
    background: bool = False,
    name: str | None = None,
    seed: int | None = None,
    backend: str = "auto",
    checkpoint: str | os.PathLike[str] | None = None,
    resume: bool = False,
    heartbeat: float = 60.0,
    gpus: int | None = None,
    sync_every: int = 1,
    trusted_network: bool = False,
    spark: SparkSession | None = None,
    shown_by: Host | None = None,
    listeners: Sequence[Listener] = (),
) -> Run:
    """Train a compiled Keras model on Spark and show its chart.

    Arguments that ``keras.Model.fit`` has mean what they mean there.

    Args:
        model: compiled; holds the trained weights and optimizer state afterwards.
        data: a Spark DataFrame; or arrays, or a pandas DataFrame.
        y: label column(s) of a DataFrame, several as a list in the order of the
            outputs or as a dict by output name; or arrays.
        features: feature columns; None for all that are not label or weight.
        sample_weight: weight column of a DataFrame, or an array.
        validation_data: a DataFrame with the same columns, or a tuple of arrays.
        validation_split: part of the rows to validate on: the last rows of
            arrays; rows of a DataFrame by their hash.
        batch_size: rows of a batch over all workers, 32 if None.
        steps_per_epoch: batches of an epoch; the next goes on with the rows that are left.
        validation_steps: batches to validate on, from the first.
        workers: number of workers; "auto" for one on a local Spark, else one
            per executor.
        background: return at once; the run ends by itself. Meanwhile ``run.pause()``,
            ``run.resume()``, ``run.set_learning_rate(rate)`` and ``run.stop()`` steer it.
        name: shown in the chart.
        seed: of the order in which epochs visit the rows; None draws it from
            NumPy, so that ``keras.utils.set_random_seed`` fixes it.
        backend: Keras backend of the workers, "tensorflow", "torch" or "jax"; "auto"
            for the notebook's own.
        checkpoint: folder that takes weights, optimizer state and history after each
            epoch: a path, or a URI that PyArrow or fsspec opens. A training that
            loses a worker goes on from there, without it from the start.
        resume: go on from the newest checkpoint there, if there is one; its optimizer, loss, seed and
            batch size must be these.
        heartbeat: seconds of silence after which a worker counts as lost.
        gpus: that each worker asks Spark for; None for those that it gives by itself.
        sync_every: several workers take so many steps, each on its own rows of the batches,
            before their weights become their mean, weighted by rows (local SGD, Stich 2019):
            fewer messages, and another result than that of one process. They meet at the end
            of an epoch too, and with ``steps_per_execution`` at the end of an execution. 1
            sums the gradients in each step.
        trusted_network: several workers may train though Spark encrypts, or authenticates and
            they have GPUs: gradients travel in the clear, those that NCCL sums over ports that
            listen on every address of the workers and accept unauthenticated connections.
        spark: the session; None for the active one, or a new local one.
        shown_by: what shows the run; None for the place that it is called in.
        listeners: objects of :class:`nbkeras.Listener`, which hear what happens to the run, besides those
            in ``nbkeras.listeners``.

    Returns:
        The run, ended unless ``background``.

    Raises:
        OptionError: an argument cannot be.
        DataError: the data does not fit the model.
        ModelError: the model cannot be trained so.
        ClusterError: Spark or its executors lack something.
        TrainingError: an exception on a worker.
        WorkerLost: workers were gone again and again, without finishing an epoch.
        Aborted: the second interrupt.

    Example:
        >>> import keras, nbkeras, numpy as np
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> model.compile("adam", "mse")
        >>> nbkeras.fit(model, np.ones((8, 2)), np.ones(8), epochs=2, name="ones", verbose=0)
        <Run 'ones': finished, 2 of 2 epochs>
    """
    from nbkeras.data.rows import exchanged
    from nbkeras.data.sample import build
    from nbkeras.data.source import Source
    from nbkeras.driver import callbacks as user
    from nbkeras.driver import memory, resumption, training
    from nbkeras.job.store import absolute
    from nbkeras.model import exactness
    from nbkeras.spark import cluster, dynamic_allocation, protection

    _require_trainable(model)
    deciders, others = user.divided(callbacks)
    spark = attached(spark)
    if not (dynamic := dynamic_allocation.is_on(spark)):
        cluster.settle(spark, None if workers == "auto" else whole("workers", workers, 1))
    begun = resumption.newest(checkpoint, resume=resume)
    if begun is not None and seed is None:
        seed = begun.origin.seed
    plan = Plan(
        schema=Schema((), ()),
        workers=cluster.executors(spark) if workers == "auto" else whole("workers", workers, 1),
        seed=_seed(seed) if shuffle else None,
        batch_size=batch_size,
        epochs=epochs,
        initial_epoch=initial_epoch,
        steps_per_epoch=steps_per_epoch,
        validation_batch_size=validation_batch_size,
        validation_steps=validation_steps,
        validation_freq=validation_freq,
        class_weight=class_weight,
        backend=_backend(backend),
        checkpoint=None if checkpoint is None else absolute(os.fspath(checkpoint)),
        training=secrets.token_hex(4) if begun is None else begun.training,
        heartbeat=heartbeat,
        gpus=gpus,
        sync_every=sync_every,
    )
    resumption.require_same(begun, plan)
    _require(spark, plan, dynamic=dynamic, trusted=trusted_network)
    source = Source(spark, model, features)
    train, validation, split = source.both(data, y, sample_weight, validation_data, validation_split)
    if plan.workers > 1:
        exactness.refuse(model)
    place = shown_by or host
    waits = background and place.headless()
    run = Run(
        name or f"run {next(_numbers)}",
        model,
        resumption.total(begun, plan.epochs),
        plan.workers,
        background=background and not waits,
    )
    chosen = settings.of(
        model,
        plan,
        None if train.numbered else train.schema,
        (*deciders, *others),
        validation_split,
    )
    run.settings = chosen | resumption.restored(begun, chosen)
    for sentence in (
        *exactness.notes(model, plan.workers, plan.sync_every),
        *protection.notes(spark, plan),
        *resumption.notes(model, plan, chosen, begun, resume=resume),
        *([_WAITS] if waits else []),
        *([dynamic_allocation.note(plan.workers)] if dynamic and workers == "auto" else []),
        *([] if dynamic else _waits_for(spark, plan.workers)),
    ):
        run.note(sentence)
    run.code = place.code()
    run.listen(hearing(listeners))
    runs.append(run)
    source.remember(train)
    notebook = user.NotebookCallbacks(others, model, {"epochs": plan.epochs, "verbose": 0, "steps": None})

    def prepare() -> Callable[[], None]:
        build(model, train)
        run.settings["weights"] = settings.weights(model)
        if (sentence := memory.note(spark, model, plan)) is not None:
            run.note(sentence)
        cluster.ship(spark)
        df, ordered = exchanged(
            spark,
            train,
            validation,
            workers=plan.workers,
            shuffle=shuffle,
            validation_split=split,
            checked=plan.checkpoint is not None,
        )
        whole_plan = replace(
            plan,
            schema=train.schema,
            ordered=ordered,
            validates=validation is not None or split > 0,
            asks=bool(notebook),
            needs_weights=notebook.needs_weights,
            about={"settings": run.settings, "code": run.code, "began": run.began},
        )
        return training.Driver(spark, whole_plan, df, run, deciders, notebook.epoch_end, begun).train

    shows = Silent() if verbose in (0, False) else place
    try:
        begins = plan.initial_epoch if begun is None else begun.next_epoch(plan.epochs)
        with cluster.link(spark).undisturbed():
            return attend(run, prepare, notebook, shows, begins, spark)
    finally:
        # As Keras does, also where an error or an interrupt ends the cell.
        model.history = history(run)


def evaluate(
    model: Any,
    data: Any,
    y: Any = None,
    *,
    features: Sequence[str] | None = None,
    sample_weight: Any = None,
    batch_size: int | None = None,
    backend: str = "auto",
    spark: SparkSession | None = None,
) -> dict[str, Any]:
    """Loss and metrics of a compiled model over all rows, by name.

    Args:
        model: compiled; a run in the background that trains it is waited for.
        data: a Spark DataFrame, arrays, or a pandas DataFrame.
        y: label column(s) of a DataFrame, or arrays.
        features: feature columns; None for those that the model was trained on.
        sample_weight: weight column of a DataFrame, or an array.
        batch_size: rows of a batch, 32 if None.
        backend: as in :func:`fit`.
        spark: the session; None for the active one, or a new local one.

    Raises:
        Aborted: an interrupt.
        DataError: the data does not fit the model.
        ModelError: the model is not compiled.
        TrainingError: an exception on a worker.
    """
    from nbkeras.data.rows import hashed, in_order
    from nbkeras.data.sample import build, build_metrics, first_batch
    from nbkeras.data.source import Source, columns_of, names_columns
    from nbkeras.driver import inference
    from nbkeras.spark import cluster

    _require_compiled(model, "evaluate")
    _await(model)
    spark = attached(spark)
    source = Source(spark, model, features)
    if names_columns(data, y) and y is None:
        raise DataError(f"y is missing: name the label column, y='…'; {columns_of(data)}")
    rows = source.rows(data, y, sample_weight)
    if not rows.schema.labels:
        raise DataError("y is missing: give the labels")
    _say_guessed(source.guessed(rows))
    build(model, rows)
    build_metrics(model, rows)
    reason = inference.coupled(model, lambda: first_batch(rows, 4))
    if reason:
        print(f"Evaluating on one worker: {reason}.")  # noqa: T201  # why it takes longer
    plan = Plan(
        rows.schema,
        workers=1 if reason else max(1, cluster.slots(spark)),
        batch_size=batch_size,
        backend=_backend(backend),
    )
    cluster.require_backend(spark, plan.backend)
    cluster.ship(spark)
    return inference.evaluate(spark, plan, model, in_order(rows) if reason else hashed(rows))


def predict(
    model: Any,
    data: Any,
    *,
    features: Sequence[str] | None = None,
    output: str = "prediction",
    batch_size: int | None = None,
    backend: str = "auto",
    spark: SparkSession | None = None,
) -> Any:
    """The model's outputs for all rows.

    Args:
        model: built; a run in the background that trains it is waited for.
        data: a Spark DataFrame, arrays, or a pandas DataFrame.
        features: feature columns; None for those that the model was trained on.
        output: name of the column with the outputs; a model with several has
            one column each, with the output's name appended.
        batch_size: rows that go through the model together, 1,024 if None.
        backend: as in :func:`fit`.
        spark: the session; None for the active one, or a new local one.

    Returns:
        For a DataFrame, a lazy DataFrame that keeps its columns and adds the
        outputs: a number for a model with one output unit, else an array. For
        arrays what ``keras.Model.predict`` returns.

    Raises:
        Aborted: an interrupt.
        DataError: the data does not fit the model.
    """
    import keras

    from nbkeras.data.columns import distinct
    from nbkeras.data.rows import inputs
    from nbkeras.data.sample import build, first_batch, outputs
    from nbkeras.data.source import Source, data_frame, names_columns
    from nbkeras.driver import inference
    from nbkeras.model import exactness
    from nbkeras.spark import cluster

    _require_model(model, "predict")
    _await(model)
    spark = attached(spark)
    source = Source(spark, model, features)
    by_name = names_columns(data, ())
    rows = source.rows(data, () if by_name else None, None)
    _say_guessed(source.guessed(rows))
    build(model, rows)
    if inference.predicts_by_batch(model, lambda: first_batch(rows, 4)):
        reason = exactness.COUPLED
        if not by_name:
            print(f"Predicting in the notebook, in Keras' own batches: {reason}.")  # noqa: T201  # no Spark job
            return super(keras.Model, model).predict(data, batch_size=batch_size, verbose=0)
        print(f"Predicting in batches as Spark makes them: {reason}.")  # noqa: T201  # no other result tells it
    structure = outputs(model, rows)
    shapes = [tuple(one.shape[1:]) for one in keras.tree.flatten(structure)]
    cluster.ship(spark)
    plan = Plan(
        rows.schema,
        workers=max(1, cluster.slots(spark)),
        batch_size=batch_size,
        backend=_backend(backend),
    )
    cluster.require_backend(spark, plan.backend)
    if by_name:
        names = _output_names(model, output, structure)
        df = data_frame(spark, data)
        distinct(df, names)
        return inference.predict_dataframe(plan, model, df, inputs(df, rows), names, shapes)
    arrays = inference.predict_arrays(plan, model, rows.df, shapes)
    return keras.tree.pack_sequence_as(structure, arrays)


@contextlib.contextmanager
def on_spark(
    workers: int | str = "auto",
    *,
    background: bool = False,
    name: str | None = None,
    backend: str = "auto",
    checkpoint: str | os.PathLike[str] | None = None,
    resume: bool = False,
    heartbeat: float = 60.0,
    gpus: int | None = None,
    sync_every: int = 1,
    trusted_network: bool = False,
    spark: SparkSession | None = None,
    shown_by: Host | None = None,
    listeners: Sequence[Listener] = (),
) -> Iterator[Calls]:
    """Within the block, ``fit``, ``evaluate`` and ``predict`` of Keras models run on Spark.

    Other threads are not in the block: there they stay Keras' own.

    A training that is at work is the last of ``nbkeras.runs``: any thread may
    pause, resume and stop it, and set its learning rate.

    Args:
        workers, background, name, backend, checkpoint, resume, heartbeat, gpus,
            sync_every, trusted_network, spark, shown_by, listeners: as in :func:`fit`.

    Yields:
        What was called so far.

    Raises:
        OptionError: an option cannot be.
    """
    options: dict[str, Any] = {
        "workers": workers,
        "background": background,
        "name": name,
        "backend": backend,
        "checkpoint": checkpoint,
        "resume": resume,
        "heartbeat": heartbeat,
        "gpus": gpus,
        "sync_every": sync_every,
        "trusted_network": trusted_network,
        "spark": spark,
        "shown_by": shown_by,
        "listeners": listeners,
    }
    calls = Calls(options, fit, evaluate, predict)
    with routed(calls):
        yield calls


def status(spark: SparkSession | None = None) -> str:
    """Which Spark, how many slots, the versions here and on the executors, and what trains, as text."""
    from nbkeras.spark import survey

    trains = [
        f"run '{one.name}': {one.phase}, {len(one.epoch_numbers)} of {one.epochs} epochs"
        for one in runs
        if not one.done.is_set()
    ]
    return "\n".join([survey.report(attached(spark)), *trains])


def _say_guessed(columns: Sequence[str]) -> None:
    """Name the columns that a model takes because nothing says which: one of them may be the label."""
    if columns:
        listed = ", ".join(columns[:8]) + (f", … ({len(columns)} in all)" if len(columns) > 8 else "")
        print(f"The model takes the columns {listed}, in this order: choose others with df.select('…', …).")  # noqa: T201  # no other result tells it


def _require_model(model: Any, method: str) -> None:
    import keras

    if not isinstance(model, keras.Model):
        raise ModelError(f"{method} takes a keras.Model, not {type(model).__module__}.{type(model).__name__}")


def _require_compiled(model: Any, method: str) -> None:
    _require_model(model, method)
    if not model.compiled:
        raise ModelError(f"the model is not compiled: call model.compile(optimizer, loss) before {method}")


def _require(spark: SparkSession, plan: Plan, *, dynamic: bool, trusted: bool) -> None:
    """Refuse what this Spark cannot give a training."""
    from nbkeras.spark import cluster, dynamic_allocation, gpus, protection

    cluster.require_backend(spark, plan.backend)
    protection.require_trust(spark, plan, trusted=trusted)
    gpus.require(spark, plan)
    if dynamic:
        dynamic_allocation.require(spark, plan.workers)
    else:
        cluster.require_slots(spark, plan.workers)


def _waits_for(spark: SparkSession, workers: int) -> list[str]:
    """What a training of so many workers waits for, where those of this notebook have the slots."""
    from nbkeras.spark import cluster

    others = [one for one in runs if not one.done.is_set()]
    taken = sum(one.workers for one in others)
    if not others or taken + workers <= (slots := cluster.slots(spark)):
        return []
    names, hold = " and ".join(one.name for one in others), "hold" if len(others) > 1 else "holds"
    waits = (
        f"{names} {hold} {taken} of {slots} task slots, this training needs {workers}: it begins when they"
    )
    return [f"{waits} are free (nbkeras.runs[{others[-1].name!r}].stop() ends that one)"]


def _backend(backend: str) -> str:
    """The Keras backend of the workers.

    Raises:
        ModelError: the notebook's own is one that no model can be trained with.
    """
    import keras

    own = str(keras.config.backend())
    if own not in BACKENDS:
        raise ModelError(
            f"Keras runs on {own} in this notebook, nbkeras knows {', '.join(BACKENDS)}: "
            "restart the kernel with KERAS_BACKEND=tensorflow"
        )
    return own if backend == "auto" else backend


def _seed(seed: int | None) -> int:
    import numpy as np

    return int(np.random.randint(1 << 31)) if seed is None else whole("seed", seed, 0)  # noqa: NPY002


def _require_trainable(model: Any) -> None:
    _require_compiled(model, "fit")
    if (run := _in_training(model)) is not None:
        raise OptionError(
            f"{run.name} trains this model: wait for it (run.wait()) or stop it (run.stop()) first, or train "
            "a copy, keras.models.clone_model(model), compiled like it"
        )


def _in_training(model: Any) -> Run | None:
    return next((run for run in runs if run.model is model and not run.done.is_set()), None)


def _await(model: Any) -> None:
    """Wait for a training of this model: half trained, it says little.

    Raises:
        OptionError: the training waits itself, for its user or for a callback that asks here.
    """
    if (run := _in_training(model)) is None:
        return

    def go_on() -> None:
        if run.pausing.is_set():
            raise OptionError(
                f"{run.name} trains this model and is paused: let it go on with %keras_spark resume "
                "(run.resume()), or end it with %keras_spark stop (run.stop())"
            )

    go_on()
    if calling() is run:
        raise OptionError(
            f"{run.name} trains this model, and waits for this callback: validation_data gives metrics of "
            "every epoch; to predict, copy it with keras.models.clone_model(model) and set_weights"
        )
    print(f"Waiting for {run.name}, which trains this model.")  # noqa: T201  # no wait without its reason
    run.wait(tick=go_on)


def _output_names(model: Any, output: str, structure: Any) -> list[str]:
    """What the columns of a prediction are called: by the keys of a dict, else by the model's outputs."""
    import keras

    paths = [path for path, _ in keras.tree.flatten_with_path(structure)]
    if len(paths) == 1:
        return [output]
    names = getattr(model, "output_names", None)
    if isinstance(structure, (list, tuple)) and names is not None and len(names) == len(paths):
        return [f"{output}_{name}" for name in names]
    return ["_".join(map(str, (output, *path))) for path in paths]
