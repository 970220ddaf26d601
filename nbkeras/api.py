"""The public functions, which magics, widgets and users call.

Long because each argument is documented where users look it up.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from nbkeras.options import NAMES, Options
from nbkeras.patch import Calls, routed
from nbkeras.run import registry
from nbkeras.run.display import Host, Silent
from nbkeras.run.listeners import Listener
from nbkeras.run.registry import runs
from nbkeras.run.run import Run
from nbkeras.spark.session import attached

if TYPE_CHECKING:
    import pandas as pd
    from pyspark.sql import Column, DataFrame, SparkSession

    from nbkeras.driver.columns.proposal import Features

__all__ = [
    "adapt",
    "evaluate",
    "features",
    "fit",
    "fit_stream",
    "host",
    "images",
    "load_model",
    "on_spark",
    "pad_sequences",
    "predict",
    "runs",
    "save_model",
    "status",
    "timeseries",
]

#: Shows runs; the package sets it to the host of this environment.
host: Host = Silent()


def fit(
    model: Any,
    data: Any,
    y: Any = None,
    *,
    features: Sequence[str] | None = None,
    sample_weight: Any = None,
    validation_data: Any = None,
    validation_split: float = 0.0,
    nulls: Any = "error",
    epochs: int = 1,
    batch_size: int | None = None,
    shuffle: bool = True,
    callbacks: Any = None,
    class_weight: Mapping[Any, float] | str | None = None,
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
    monitor: str | None = None,
    restore_best: bool = False,
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
        data: a DataFrame of Spark, pandas, polars, pandas on Spark or Arrow, or of any package that offers
            Arrow's stream of rows (``__arrow_c_stream__``); arrays; a dict of arrays, or an array with
            fields, which have columns where y names one; or a ``tf.data.Dataset``, a PyDataset or a torch
            DataLoader, whose batches every worker reads to take its rows of each. What is missing to pandas
            (NaN) is a null; polars and Arrow tell the two apart.
        y: label column(s) of a DataFrame, several as a list in the order of the
            outputs or as a dict by output name; or arrays, or a series. Words are classes, numbered
            from 0 in their sorted order, those of an ordered category in its own.
        features: feature columns; None for all that are not label or weight.
        sample_weight: weight column of a DataFrame, or an array.
        validation_data: a DataFrame with the same columns, or a tuple of arrays.
        validation_split: part of the rows to validate on: the last rows of
            arrays; rows of a DataFrame by their hash.
        nulls: what stands for values of the feature columns that are missing: "error" refuses
            nulls, and leaves NaN as it is, as Keras does; "mean" fills null and NaN in all columns of
            numbers by the mean of the rows to train on; a dict gives "mean", a number or a word for
            each column. An input ``age_missing`` takes 1 where the column ``age`` lacks a value,
            which is then filled by the mean.
        batch_size: rows of a batch over all workers, 32 if None.
        class_weight: weights by number or word of the class; "balanced" weighs each class by
            rows / (classes x rows of the class), as scikit-learn does.
        steps_per_epoch: batches of an epoch; the next epoch continues with the remaining rows.
        validation_steps: batches to validate on, from the first.
        workers: number of workers; "auto" for one on a local Spark, else one
            per executor.
        background: return at once; the training continues in the background. Meanwhile ``run.pause()``,
            ``run.resume()``, ``run.set_learning_rate(rate)`` and ``run.stop()`` steer it.
        name: shown in the chart.
        seed: of the order in which epochs visit the rows; None draws it from
            NumPy, so that ``keras.utils.set_random_seed`` fixes it.
        backend: Keras backend of the workers, "tensorflow", "torch" or "jax"; "auto"
            for the notebook's own.
        checkpoint: folder that takes weights, optimizer state and history after each
            epoch: a path, or a URI that PyArrow or fsspec opens. A training that
            loses a worker continues from there; without a checkpoint it starts again.
        resume: continue from the newest checkpoint there, if there is one; it must have the same optimizer,
            loss, seed and batch size, and its feature columns are used if ``features`` is None.
        monitor: with ``restore_best``, the metric by which an epoch is best, such as "val_accuracy"; None
            for the loss, that of validation if there is one.
        restore_best: give the model the weights of the best epoch in the end, as Keras' EarlyStopping
            does with ``restore_best_weights``, without stopping early.
        heartbeat: seconds of silence after which a worker counts as lost.
        gpus: number that each worker requests from Spark; None for those that Spark assigns to each task.
        sync_every: each of several workers takes so many steps on its own rows of the batches
            before all average their weights, weighted by rows (local SGD, Stich 2019): fewer
            messages, and a result that differs from one process. They also average at the end
            of an epoch, and with ``steps_per_execution`` at the end of an execution. 1 sums
            the gradients in each step.
        trusted_network: allow several workers although Spark encrypts, or authenticates and
            they have GPUs. Gradients are sent unencrypted; NCCL sends them over ports that
            listen on every address of the workers and accept unauthenticated connections.
        spark: the session; None for the active one, or a new local one.
        shown_by: host that shows the run; None for that of this environment.
        listeners: objects of :class:`nbkeras.Listener` for the events of this run, besides those
            in ``nbkeras.listeners``.

    Returns:
        The run, ended unless ``background``.

    Raises:
        OptionError: an argument has an invalid value.
        DataError: the data does not fit the model.
        ModelError: the model cannot be trained like this.
        ClusterError: Spark or its executors lack something.
        TrainingError: an exception on a worker.
        WorkerLost: workers were lost in several attempts in a row that finished no epoch.
        Aborted: the user interrupted twice.

    Example:
        >>> import keras, nbkeras, numpy as np
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> model.compile("adam", "mse")
        >>> nbkeras.fit(model, np.ones((8, 2)), np.ones(8), epochs=2, name="ones", verbose=0)
        <Run 'ones': finished, 2 of 2 epochs>
    """
    arguments = dict(locals())
    from nbkeras.driver import checks
    from nbkeras.driver.training import fit as driver

    checks.require_compiled(model, "fit")
    checks.require_free(model)
    options = Options(**{name: arguments.pop(name) for name in NAMES})
    given = driver.Given(**{one.name: arguments.pop(one.name) for one in fields(driver.Given)})
    return driver.fit(options, host, given=given, **arguments)


def fit_stream(
    model: Any,
    data: Any,
    y: Any = None,
    *,
    features: Sequence[str] | None = None,
    sample_weight: Any = None,
    nulls: Any = "error",
    trigger: Mapping[str, Any] | None = None,
    batch_size: int | None = None,
    shuffle: bool = True,
    class_weight: Mapping[Any, float] | None = None,
    verbose: Any = "auto",
    workers: int | str = "auto",
    background: bool = False,
    name: str | None = None,
    seed: int | None = None,
    backend: str = "auto",
    checkpoint: str | os.PathLike[str] | None = None,
    heartbeat: float = 60.0,
    gpus: int | None = None,
    sync_every: int = 1,
    trusted_network: bool = False,
    spark: SparkSession | None = None,
    shown_by: Host | None = None,
    listeners: Sequence[Listener] = (),
) -> Run:
    """Go on training a compiled Keras model on the rows of a stream as they come, and show its chart.

    Each micro-batch of Structured Streaming is trained on once, as one more epoch of
    ``keras.Model.fit``, with the model and the optimizer as the one before has left them: a point in the
    chart. With a checkpoint, the number of the micro-batch lies in it beside the weights, and Spark's own
    notes on the stream in its folder ``stream``: after a stop or a crash the same call goes on, and no row
    is trained on twice or left out. Layers that never learned, classes and means are taken from the first
    micro-batch.

    A stop, by the chart's button or ``run.stop()``, waits for the end of a micro-batch that is trained on.
    One that is not trained on yet, and with a second interrupt also the one in work, comes again with the
    next call. A restart takes a model that is built and compiled as the first one.

    Args:
        model: compiled; holds the trained weights and optimizer state after each micro-batch.
        data: a streaming DataFrame of a session of this notebook, ``spark.readStream…``.
        y, features, sample_weight, nulls, batch_size, shuffle, class_weight, workers: as in :func:`fit`.
        background, name, seed, backend, heartbeat, gpus, sync_every, trusted_network: as in :func:`fit`.
        spark, shown_by, listeners: as in :func:`fit`.
        trigger: when Spark makes micro-batches, as ``DataStreamWriter.trigger`` takes it:
            ``{"processingTime": "10 seconds"}``, or ``{"availableNow": True}`` for what there is; None makes
            one as soon as rows have come.
        checkpoint: folder that takes weights, optimizer state and history after each micro-batch: a path, or
            a URI that Spark too can open.

    Returns:
        The run, ended unless ``background``.

    Raises:
        OptionError: an argument has an invalid value.
        DataError: the data does not fit the model, or is no stream.
        ModelError: the model cannot be trained like this.
        ClusterError: Spark or its executors lack something, or the session is one of Spark Connect.
        TrainingError: an exception on a worker.
        WorkerLost: workers were lost in several attempts in a row that finished no micro-batch.
        Aborted: the user interrupted twice.

    Example:
        >>> import keras, nbkeras, tempfile
        >>> spark = nbkeras.local_spark()
        >>> folder = f"{tempfile.mkdtemp()}/rows"
        >>> spark.range(8).selectExpr("float(id) AS x", "float(2 * id) AS y").write.parquet(folder)
        >>> stream = spark.readStream.schema("x float, y float").parquet(folder)
        >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        >>> model.compile("adam", "mse")
        >>> nbkeras.fit_stream(model, stream, "y", trigger={"availableNow": True}, name="twice", verbose=0)
        <Run 'twice': finished, 1 of 1 epochs>
    """
    arguments = dict(locals())
    from nbkeras.driver import checks
    from nbkeras.driver.training import fit_stream as driver
    from nbkeras.driver.training.micro_batches import Given

    checks.require_compiled(model, "fit_stream")
    checks.require_free(model)
    options = Options(**{name: arguments.pop(name) for name in NAMES if name in arguments})
    given = Given(**{one.name: arguments.pop(one.name) for one in fields(Given)})
    return driver.fit_stream(options, host, given=given, **arguments)


def evaluate(
    model: Any,
    data: Any,
    y: Any = None,
    *,
    features: Sequence[str] | None = None,
    sample_weight: Any = None,
    batch_size: int | None = None,
    steps: int | None = None,
    backend: str = "auto",
    spark: SparkSession | None = None,
) -> dict[str, Any]:
    """Compute loss and metrics of a compiled model over all rows, by name.

    Args:
        model: compiled; if a run in the background trains it, waits for its end.
        data: as in :func:`fit`.
        y: label column(s) of a DataFrame, or arrays.
        features: feature columns; None for those that the model was trained on.
        sample_weight: weight column of a DataFrame, or an array.
        batch_size: rows of a batch, 32 if None.
        steps: batches of a dataset to evaluate on, from the first; None for all.
        backend: as in :func:`fit`.
        spark: the session; None for the active one, or a new local one.

    Raises:
        Aborted: the user interrupted.
        DataError: the data does not fit the model.
        ModelError: the model is not compiled.
        TrainingError: an exception on a worker.
    """
    from nbkeras.data.source import Given
    from nbkeras.driver import checks
    from nbkeras.driver.scoring import evaluate as driver

    checks.require_compiled(model, "evaluate")
    checks.wait_for_training(model)
    return driver.evaluate(
        spark,
        model,
        Given(data, y, features, sample_weight),
        batch_size=batch_size,
        steps=steps,
        backend=backend,
    )


def predict(
    model: Any,
    data: Any,
    *,
    features: Sequence[str] | None = None,
    output: str = "prediction",
    batch_size: int | None = None,
    steps: int | None = None,
    classes: bool | Sequence[str] = False,
    backend: str = "auto",
    spark: SparkSession | None = None,
) -> Any:
    """Compute the model's outputs for all rows.

    Args:
        model: built; if a run in the background trains it, waits for its end.
        data: a DataFrame of any kind, arrays, or a dataset, as in :func:`fit`. Up to 1,024 rows of arrays are
            predicted in this process, which takes less time than a Spark job.
        features: feature columns; None for those that the model was trained on.
        output: name of the column with the outputs; a model with several outputs gets
            one column for each, with the output's name appended.
        batch_size: rows of a batch, 1,024 if None, fewer where a row has more than 8,000 numbers.
        steps: batches of a dataset to predict, from the first; None for all.
        classes: True adds two columns for an output that was trained on labels that are words,
            ``…_class`` with the likeliest class and ``…_probability`` with its probability; or the
            names of the classes, in the order of their numbers.
        backend: as in :func:`fit`.
        spark: the session; None for the active one, or a new local one.

    Returns:
        For a DataFrame of Spark, a lazy DataFrame that keeps its columns and adds the
        outputs: a number for a model with one output unit, else an array. For another DataFrame, or a dict
        of arrays, one of its own kind, with its columns, order and index, where the model was trained on
        columns by their names, or takes what no array holds, such as words. For
        arrays and datasets, and for a DataFrame that Keras would take as an array, the same as
        ``keras.Model.predict``.

    Raises:
        Aborted: the user interrupted.
        DataError: the data does not fit the model.
        OptionError: a dataset never ends, steps of what is not a dataset, or classes that nobody knows.
    """
    from nbkeras.driver import checks
    from nbkeras.driver.scoring import predict as driver

    checks.require_model(model, "predict")
    checks.wait_for_training(model)
    return driver.predict(
        spark,
        model,
        data,
        features=features,
        output=output,
        batch_size=batch_size,
        steps=steps,
        classes=classes,
        backend=backend,
    )


def function(
    model: Any,
    name: str | None = None,
    *,
    output: str = "prediction",
    features: Sequence[str] | None = None,
    classes: Sequence[str] | None = None,
    batch_size: int | None = None,
    backend: str = "auto",
    spark: SparkSession | None = None,
) -> Callable[..., Column]:
    """Make a model a function of columns, for DataFrames and, by its name, for SQL; for streams too.

    Its arguments are what the inputs of the model take, a column for each, in their order; those of a model
    with a single input are one array, or as many numbers as it takes, in the order of the columns that it was
    trained on. It keeps the model as it is now.

    It computes each row once where it stands in a query, and counts as not deterministic: to filter by the
    result, name it in a subquery, ``SELECT … FROM (SELECT *, score(x) AS p FROM t) WHERE p > 0.5``. Filters
    on other columns stand best in the subquery, since Spark does not move them below the function.

    Args:
        model: built; if a run in the background trains it, waits for its end.
        name: for SQL, in the session; None registers none.
        output: "prediction" gives what the model gives: a number for one output unit, else an array, a struct
            for several outputs; "class" the name of the likeliest class, "probability" its probability, and
            "both" a struct of the two.
        features: names of the arguments, for another order; None for that of the model.
        classes: names of the classes in the order of their numbers; None for those of the training.
        batch_size: as in :func:`predict`.
        backend: as in :func:`fit`.
        spark: the session; None for the active one, or a new local one.

    Returns:
        A function that takes columns, or their names, and gives a column.

    Raises:
        DataError: the classes are of another number than the outputs.
        ModelError: the model does not say what it takes, or needs more than a row.
        OptionError: an argument has an invalid value, or nobody knows the classes.

    Example:
        >>> import keras, nbkeras
        >>> spark = nbkeras.local_spark()
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, kernel_initializer="ones")])
        >>> total = nbkeras.function(model, "total", spark=spark)
        >>> spark.sql("SELECT total(array(id, 1)) AS p FROM range(2)").collect()
        [Row(p=1.0), Row(p=2.0)]
        >>> spark.range(1).select(total("id", "id").alias("p")).collect()
        [Row(p=0.0)]
    """
    from nbkeras.driver import checks
    from nbkeras.driver.scoring import function as functions

    checks.require_model(model, "function")
    checks.wait_for_training(model)
    return functions.function(
        spark,
        model,
        name,
        output=output,
        features=features,
        classes=classes,
        batch_size=batch_size,
        backend=backend,
    )


def adapt(
    layers: Any,
    data: Any,
    y: Any = None,
    *,
    features: Sequence[str] | None = None,
    spark: SparkSession | None = None,
) -> pd.DataFrame:
    """Let preprocessing layers learn from the rows of a DataFrame, as their own ``adapt`` does, on Spark.

    They learn in one Spark job, and no row is collected: vocabularies with Keras' order of words, ``tf_idf``
    weights, means and variances; for ``Discretization`` the quantiles of the values, which Keras'
    own ``adapt`` approximates. Rows that lack a value, null or NaN, are left out and counted.

    Args:
        layers: a functional or sequential model; a ``keras.utils.FeatureSpace``; or layers by the names of
            their columns.
        data: a DataFrame of any kind, or a dict of arrays, as in :func:`fit`: the rows to train on alone.
        y: label column(s), which are no features.
        features: feature columns of a model; None for those with the names of its inputs, or all.
        spark: the session; None for the active one, or a new local one.

    Returns:
        A table of what each layer has learned, and how many rows lacked a value.

    Raises:
        Aborted: the user interrupted.
        DataError: the columns do not fit the layers, hold no value, or a word has a line break.
        ModelError: a model does not say which columns its layers take.
        OptionError: there is no layer that learns.

    Example:
        >>> import keras, nbkeras, pandas as pd
        >>> port = keras.layers.StringLookup(name="port")
        >>> nbkeras.adapt({"embarked": port}, pd.DataFrame({"embarked": ["S", "Q", "S"]})).learned[0]
        "2 words: 'S', 'Q'"
    """
    from nbkeras.driver.columns import adaptation

    return adaptation.adapt(spark, layers, data, y, features)


def features(
    data: Any, label: str | Sequence[str] | None = None, *, spark: SparkSession | None = None
) -> Features:
    """Propose preprocessing for the columns of a DataFrame, as plain Keras code to read, change and use.

    One Spark job looks at the columns: types, numbers of different values (estimated), gaps and skewness.

    Args:
        data: a DataFrame of any kind, or a dict of arrays, as in :func:`fit`.
        label: column(s) that are no features.
        spark: the session; None for the active one, or a new local one.

    Returns:
        A table of the columns and what is proposed for each, the code, ``inputs`` and ``features`` that the
        code makes, and ``nulls`` for :func:`fit`.

    Raises:
        Aborted: the user interrupted.
        DataError: there is no such label, or no column that a model could take.

    Example:
        >>> import keras, nbkeras, pandas as pd
        >>> df = pd.DataFrame({"port": list("SQSQ"), "fare": [7.0, 8.5, 9.0, 30.0], "survived": 1})
        >>> found = nbkeras.features(df, "survived")
        >>> model = keras.Model(found.inputs, keras.layers.Dense(1)(found.features))
        >>> found.table["proposed"].tolist()
        ['category: one place for each of 4', 'number, normalized']
    """
    from nbkeras.driver.columns import proposal

    return proposal.propose(spark, data, label)


def images(
    data: Any,
    column: str | None = None,
    *,
    labels: str | None = "inferred",
    class_names: Sequence[str] | None = None,
    color_mode: str | None = None,
    image_size: int | tuple[int, int] | None = None,
    interpolation: str = "bilinear",
    crop_to_aspect_ratio: bool = False,
    pad_to_aspect_ratio: bool = False,
    antialias: bool = False,
    dtype: str = "uint8",
    invalid: str = "error",
    spark: SparkSession | None = None,
) -> DataFrame:
    """Read a folder of images as a DataFrame, or say how a column of images is to be read.

    A folder is read by the rules of ``keras.utils.image_dataset_from_directory``: its folders are the
    classes, in the order of their names, and the images in these count, however deep. But names that begin
    with ``_`` or ``.`` are left out below the classes, since Spark hides them, and links to folders are
    followed. Workers decode the files, and
    resize them to what the model takes, to the pixel as Keras does; pixels of JPEG files differ by some grey
    levels, since two decoders round differently. A column of files (binary) or of Spark's ``image`` source
    needs this function only to choose an option.

    Args:
        data: a folder: a path, or a URI that Spark reads; or a DataFrame of any kind with a column of files,
            of their paths, or of what Spark's ``image`` source gives.
        column: of a DataFrame, the column of images; None for the only one.
        labels: "inferred" gives a column ``label`` with the name of each file's class; None does not.
        class_names: the classes to read, in the order of their numbers.
        color_mode: "grayscale", "rgb" or "rgba"; None for what the model takes.
        image_size: (height, width) for a model that does not say what it takes.
        interpolation: "bilinear" or "nearest".
        crop_to_aspect_ratio, pad_to_aspect_ratio: keep the shape of what is on an image: cut off what is too
            much, or add black bars.
        antialias: let all pixels count in a smaller image, as Pillow does, not the nearest ones alone.
        dtype: in which workers keep pixels: "uint8" rounds those of images that are resized, by half a grey
            level at most; "float32" keeps them as they are, in four times the room.
        invalid: "error" refuses files that cannot be read, and counts them; "skip" leaves their rows out, and
            says so. :func:`predict` gives null for them.
        spark: the session; None for the active one, or a new local one.

    Returns:
        A DataFrame with the columns ``path``, ``image`` (the files) and ``label``; or the given one. The
        column keeps the options through the steps of Spark; of two that ``union`` puts together, those of the
        first count. A trained model reads images as its training has done, and refuses other options.

    Raises:
        Aborted: the user interrupted.
        DataError: the folder holds no images, or the column none.
        OptionError: an option has an invalid value.

    Example:
        >>> import pathlib, tempfile, matplotlib, nbkeras
        >>> photo = pathlib.Path(matplotlib.get_data_path(), "sample_data", "grace_hopper.jpg").read_bytes()
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> for name in ("a", "b"):
        ...     (folder / name).mkdir()
        ...     _ = (folder / name / "photo.jpg").write_bytes(photo)
        >>> df = nbkeras.images(folder)
        Found 2 files belonging to 2 classes.
        >>> df.columns
        ['path', 'image', 'label']
    """
    from nbkeras.driver.columns import images

    return images.images(
        spark,
        data,
        column,
        labels=labels,
        class_names=class_names,
        color_mode=color_mode,
        image_size=image_size,
        interpolation=interpolation,
        crop_to_aspect_ratio=crop_to_aspect_ratio,
        pad_to_aspect_ratio=pad_to_aspect_ratio,
        antialias=antialias,
        dtype=dtype,
        invalid=invalid,
    )


def pad_sequences(
    data: Any,
    columns: str | Sequence[str],
    maxlen: int | None = None,
    *,
    padding: str = "pre",
    truncating: str = "pre",
    value: float | str | None = None,
    spark: SparkSession | None = None,
) -> DataFrame:
    """Say that arrays of several lengths are padded and cut to the length that a model takes.

    The arguments are those of ``keras.utils.pad_sequences``. Spark pads the rows as they are sent to the
    workers; the column itself stays as it is. :func:`predict` and :func:`evaluate` pad as the training has
    done.

    Args:
        data: a DataFrame of any kind, or a dict of arrays, as in :func:`fit`.
        columns: of arrays of numbers or words, or of arrays of such arrays (steps of several numbers).
        maxlen: the length; None for that of the model's input.
        padding: where values are added, "pre" or "post".
        truncating: where values are cut off, "pre" or "post".
        value: that is added; None for 0, and for an empty word.
        spark: the session; None for the active one, or a new local one.

    Returns:
        The DataFrame as one of Spark, whose columns keep this through the steps of Spark.

    Raises:
        DataError: there is no such column, or it holds no arrays.
        OptionError: an option has an invalid value.

    Example:
        >>> import keras, nbkeras, pandas as pd
        >>> df = nbkeras.pad_sequences(pd.DataFrame({"ids": [[1, 2, 3], [4]]}), "ids", padding="post")
        >>> model = keras.Sequential([keras.Input((2,), name="ids"), keras.layers.Flatten()])
        >>> sorted(row["prediction"] for row in nbkeras.predict(model, df).collect())
        [[2.0, 3.0], [4.0, 0.0]]
    """
    from nbkeras.driver.columns import sequences

    return sequences.pad(spark, data, columns, maxlen, padding, truncating, value)


def timeseries(
    data: Any,
    time: str,
    sequence_length: int,
    *,
    key: str | Sequence[str] | None = None,
    sequence_stride: int = 1,
    sampling_rate: int = 1,
    offset: int = 0,
    spark: SparkSession | None = None,
) -> DataFrame:
    """Say that a model takes windows of rows that follow each other in time.

    The windows are those of ``keras.utils.timeseries_dataset_from_array`` for each series, in the order of
    its time. The series itself is sent to the workers, once, and windows are gathered there. A model takes
    all columns but key, time and label, as ``keras.Input((sequence_length, number of columns))``. Rows
    follow each other whatever the time between them.

    :func:`predict` gives one row for each window: the columns of its last row, and the prediction.
    :func:`predict` and :func:`evaluate` make windows as the training has done.

    Args:
        data: a DataFrame of any kind, or a dict of arrays, as in :func:`fit`.
        time: the column that orders the rows of a series; no time may come twice.
        sequence_length: rows of a window.
        key: column(s) that tell one series from another; None if there is one series.
        sequence_stride: rows from the first one of a window to that of the next.
        sampling_rate: rows from one of a window to its next.
        offset: rows from the first one of a window to the one whose label counts. 0 is the window's first
            row, as in Keras; ``sequence_length`` is the row behind the window, to predict what comes next.
        spark: the session; None for the active one, or a new local one.

    Returns:
        The DataFrame as one of Spark, whose column of time keeps this through the steps of Spark.

    Raises:
        DataError: there is no such column.
        OptionError: an option has an invalid value.

    Example:
        >>> import keras, nbkeras, pandas as pd
        >>> df = pd.DataFrame({"day": [1, 2, 3, 4], "sold": [1.0, 2.0, 4.0, 8.0]})
        >>> model = keras.Sequential([keras.Input((2, 1)), keras.layers.Flatten()])
        >>> found = nbkeras.predict(model, nbkeras.timeseries(df, "day", 2))
        >>> [(row["day"], row["prediction"]) for row in found.collect()]
        [(2, [1.0, 2.0]), (3, [2.0, 4.0]), (4, [4.0, 8.0])]
    """
    from nbkeras.driver.columns import timeseries

    return timeseries.timeseries(
        spark,
        data,
        time,
        sequence_length,
        key=key,
        sequence_stride=sequence_stride,
        sampling_rate=sampling_rate,
        offset=offset,
    )


def save_model(model: Any, path: str | os.PathLike[str]) -> None:
    """Save a model as ``model.save`` does, with its feature columns, classes and what fills gaps.

    ``keras.models.load_model`` reads the file too, without these.

    Args:
        model: trained by this notebook, or loaded by :func:`load_model`; if a run in the background trains
            it, waits for its end.
        path: of the file, which ends in ``.keras``.

    Raises:
        OptionError: the file is named otherwise.
    """
    from nbkeras.driver import checks, model_files

    checks.wait_for_training(model)
    model_files.save(model, path)


def load_model(path: str | os.PathLike[str], **options: Any) -> Any:
    """Load a model as ``keras.models.load_model`` does, and what :func:`save_model` has saved with it.

    :func:`predict` and :func:`evaluate` then select its columns, fill gaps and know its classes.

    Args:
        path: of the file.
        options: of ``keras.models.load_model``.

    Raises:
        OptionError: what was saved with the model cannot be read.
    """
    from nbkeras.driver import model_files

    return model_files.load(path, **options)


@contextlib.contextmanager
def on_spark(
    workers: int | str = "auto",
    *,
    background: bool = False,
    name: str | None = None,
    backend: str = "auto",
    checkpoint: str | os.PathLike[str] | None = None,
    resume: bool = False,
    monitor: str | None = None,
    restore_best: bool = False,
    heartbeat: float = 60.0,
    gpus: int | None = None,
    sync_every: int = 1,
    trusted_network: bool = False,
    spark: SparkSession | None = None,
    shown_by: Host | None = None,
    listeners: Sequence[Listener] = (),
) -> Iterator[Calls]:
    """Within the block, ``fit``, ``evaluate`` and ``predict`` of Keras models run on Spark.

    The block does not change these methods in other threads.

    A training that is running is the last of ``nbkeras.runs``: any thread may
    pause, resume and stop it, and set its learning rate.

    Args:
        workers, background, name, backend, checkpoint, resume, monitor, restore_best: as in :func:`fit`.
        heartbeat, gpus, sync_every, trusted_network, spark, shown_by, listeners: as in :func:`fit`.

    Yields:
        The methods that replace Keras' own; ``fits`` counts the calls of ``fit``.

    Raises:
        OptionError: an option has an invalid value.
    """
    calls = Calls(Options(**locals()), fit, evaluate, predict)
    from nbkeras.driver.training import warm

    warm.begin(spark, backend)
    with routed(calls):
        yield calls


def status(spark: SparkSession | None = None) -> str:
    """Describe Spark, its slots, the versions here and on the executors, and the runs at work, as text."""
    from nbkeras.spark import survey

    trains = [
        f"run '{one.name}': {one.phase}, {len(one.epoch_numbers)} of {one.epochs} epochs"
        for one in registry.at_work()
    ]
    return "\n".join([survey.report(attached(spark)), *trains])
