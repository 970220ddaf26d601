"""The task of the benchmarks: 784 floats a row from Parquet, 784-128-10 softmax, Adam, batch 256."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import SparkSession

from nbkeras.run.run import Run
from nbkeras.spark import java

FEATURES, BATCH, EPOCHS = 784, 256, 5


def model() -> keras.Model:
    keras.utils.set_random_seed(1)
    made = keras.Sequential(
        [
            keras.Input((FEATURES,)),
            keras.layers.Dense(128, activation="relu"),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    made.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return made


def arrays(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rows, and which of their first ten numbers is the largest."""
    x = np.random.default_rng(seed).random((rows, FEATURES), dtype=np.float32)
    return x, x[:, :10].argmax(axis=1)


def read(folder: str) -> tuple[np.ndarray, np.ndarray]:
    """What lies in a folder of Parquet files, as arrays."""
    table = pq.read_table(folder)
    x = table["features"].combine_chunks().flatten().to_numpy()
    return x.reshape(-1, FEATURES), table["label"].to_numpy()


@contextmanager
def parquet(rows: int, files: int = 4):
    """A folder of Parquet files, written in pieces so that the writer stays small."""
    with TemporaryDirectory() as folder:
        for index in range(files):
            x, y = arrays(rows // files, index)
            vectors = pa.FixedSizeListArray.from_arrays(pa.array(x.ravel()), FEATURES)
            table = pa.table({"features": vectors.cast(pa.list_(pa.float32())), "label": y})
            pq.write_table(table, Path(folder) / f"{index}.parquet")
        yield folder


def spark(master: str = "local[2]", memory: str = "4g") -> SparkSession:
    java.ensure()
    session = (
        SparkSession.builder.master(master)
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.memory", memory)
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .getOrCreate()
    )
    session.sparkContext.setLogLevel("ERROR")
    return session


@contextmanager
def epoch_times():
    """The moments at which epochs of a run are recorded."""
    moments: list[float] = []
    record = Run.record_epoch

    def timed(self, epoch, *about, **more):
        if epoch not in self.epoch_numbers:
            moments.append(time.perf_counter())
        record(self, epoch, *about, **more)

    Run.record_epoch = timed
    try:
        yield moments
    finally:
        Run.record_epoch = record


def steady(moments: list[float]) -> float:
    """Seconds of an epoch, without the first, which compiles."""
    return (moments[-1] - moments[0]) / (len(moments) - 1)


@contextmanager
def phases():
    """When the phases of a run first began, and ``start`` and ``end`` of the block."""
    moments = {"start": time.perf_counter()}
    enter = Run.enter

    def timed(self, phase):
        moments.setdefault(phase, time.perf_counter())
        enter(self, phase)

    Run.enter = timed
    try:
        yield moments
    finally:
        Run.enter = enter
        moments["end"] = time.perf_counter()


class EpochTimes(keras.callbacks.Callback):
    """The same for plain Keras."""

    def __init__(self) -> None:
        super().__init__()
        self.moments: list[float] = []

    def on_epoch_end(self, epoch, logs=None):
        self.moments.append(time.perf_counter())
