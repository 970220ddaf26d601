"""What `fit` may be fed with, one small case of each kind, and what the manual says of it."""

from __future__ import annotations

import itertools
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cloudpickle
import keras
import numpy as np
import pandas as pd
import polars as pl
import tensorflow as tf
import torch

# Workers cannot import this file, as they cannot import a notebook.
cloudpickle.register_pickle_by_value(sys.modules[__name__])
ROWS, BATCH = 50, 8
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(ROWS, 4)).astype("float32")
Y = RANDOM.normal(size=(ROWS, 1)).astype("float32")
CLASSES = (Y > 0).astype("float32")
FRAME = pd.DataFrame(X, columns=list("abcd"))
#: With the file of each row; it is removed when the tests have ended.
FILES = tempfile.TemporaryDirectory()


def net(x=X):
    """A compiled model, always with the same weights."""
    keras.utils.set_random_seed(3)
    layers = [keras.layers.Dense(6, activation="relu"), keras.layers.Dense(1)]
    model = keras.Sequential([keras.Input(x.shape[1:]), *layers])
    model.compile(keras.optimizers.Adam(0.01), "mse", metrics=["mae"])
    return model


def slices(*arrays):
    return tf.data.Dataset.from_tensor_slices(arrays if len(arrays) > 1 else arrays[0])


def noisy(x, y):
    return x + tf.random.normal(tf.shape(x), seed=2), y


class Batches(keras.utils.PyDataset):
    """Batches by their number."""

    def __len__(self):
        return ROWS // BATCH + 1

    def __getitem__(self, index):
        rows = slice(index * BATCH, (index + 1) * BATCH)
        return X[rows], Y[rows]


class Reordered(Batches):
    """Batches of rows in another order in each epoch, by NumPy's own generator."""

    def __init__(self):
        super().__init__()
        np.random.seed(4)  # noqa: NPY002
        self.order = np.arange(ROWS)

    def __getitem__(self, index):
        rows = self.order[index * BATCH : (index + 1) * BATCH]
        return X[rows], Y[rows]

    def on_epoch_end(self):
        np.random.shuffle(self.order)  # noqa: NPY002


class Stops(keras.callbacks.Callback):
    """Stops a training after two steps."""

    def on_train_batch_end(self, batch, logs=None):
        self.model.stop_training = batch == 1


class Shrinks(Reordered):
    """Batches that become fewer with each epoch."""

    number = 6

    def __len__(self):
        return self.number

    def on_epoch_end(self):
        self.number -= 1


class Locked(Batches):
    """A PyDataset that cannot be pickled, and gives other batches in each epoch."""

    def __init__(self):
        super().__init__()
        self.lock, self.ended = threading.Lock(), 0

    def __getitem__(self, index):
        x, y = super().__getitem__(index)
        return x + self.ended, y

    def on_epoch_end(self):
        self.ended += 1


class Items(torch.utils.data.Dataset):
    """Rows by their number."""

    def __len__(self):
        return ROWS

    def __getitem__(self, index):
        return X[index], Y[index]


def endless(batches=None):
    """Batches for ever, or so many."""
    for number in itertools.count() if batches is None else range(batches):
        start = number % (ROWS // BATCH + 1) * BATCH
        yield X[start : start + BATCH], Y[start : start + BATCH]


def calls_python():
    """A shuffled dataset that calls a function of this process."""
    doubled = slices(X, Y).map(
        lambda x, y: (tf.ensure_shape(tf.numpy_function(lambda one: 2 * one, [x], tf.float32), [4]), y)
    )
    return doubled.shuffle(ROWS, seed=1).batch(BATCH)


class LockedItems(Items):
    """Items that draw, and cannot be pickled."""

    def __init__(self):
        self.lock = threading.Lock()

    def __getitem__(self, index):
        x, y = super().__getitem__(index)
        return x + torch.rand(()).numpy(), y


def shuffling_loader(items):
    torch.manual_seed(1)
    return torch.utils.data.DataLoader(items, BATCH, shuffle=True)


def of_files():
    """A dataset with a file for each row."""
    for number, row in enumerate(X):
        (Path(FILES.name) / f"{number}").write_bytes(row.tobytes())
    paths = slices(np.array([f"{FILES.name}/{number}" for number in range(ROWS)]), Y)
    read = paths.shuffle(ROWS, seed=1).map(
        lambda path, y: (tf.io.decode_raw(tf.io.read_file(path), "float32"), y)
    )
    return read.map(lambda x, y: (tf.ensure_shape(x, [4]), y)).batch(BATCH).prefetch(2)


@dataclass(frozen=True)
class Fed:
    """What a call of `fit` is fed with.

    Attributes:
        by: in words.
        data: makes x and y, or x alone.
        read: where it is read, of :data:`READ`.
        how: what else the call says.
        reason: why the notebook reads it.
    """

    by: str
    data: Callable[[], Any]
    read: str
    how: dict[str, Any] = field(default_factory=dict)
    reason: str = ""


#: Where data is read: in words for `fit`, and for `evaluate` and `predict`.
READ = {
    "rows": ("Spark spreads the rows over the workers", "on Spark"),
    "workers": ("each worker reads the batches and takes its rows of each", "on Spark"),
    "files": (
        "each worker reads its own rows of each batch alone, if the workers can divide it; a line says so",
        "on Spark",
    ),
    "notebook": (
        "the notebook reads the batches and sends each worker its rows; a line says why",
        "in the notebook; a line says why",
    ),
}
_UNSHUFFLED = {"shuffle": False, "batch_size": BATCH}
FED = {
    "DataFrame": Fed("a Spark DataFrame", lambda: (FRAME.assign(y=Y[:, 0]), "y"), "rows", _UNSHUFFLED),
    "arrays": Fed("NumPy arrays or tensors", lambda: (X, Y), "rows", _UNSHUFFLED),
    "pandas": Fed("pandas", lambda: (FRAME, pd.Series(Y[:, 0])), "rows", _UNSHUFFLED),
    "polars": Fed("polars", lambda: (pl.from_pandas(FRAME), pl.Series(Y[:, 0])), "rows", _UNSHUFFLED),
    "shuffled": Fed(
        "a `tf.data.Dataset`, also one that shuffles with a seed",
        lambda: (slices(X, Y).shuffle(ROWS, seed=1).batch(BATCH),),
        "workers",
    ),
    "mapped": Fed(
        "maps",
        lambda: (slices(X, Y).batch(BATCH).map(noisy).prefetch(2),),
        "workers",
    ),
    "repeated": Fed(
        "repeats (with `steps_per_epoch`)",
        lambda: (slices(X, Y).shuffle(9, seed=1).repeat().batch(BATCH),),
        "workers",
        {"steps_per_epoch": 4},
    ),
    "of unknown length": Fed(
        "does not know its length",
        lambda: (slices(X, Y).filter(lambda x, _: x[0] > 0).batch(BATCH),),
        "workers",
    ),
    "cached": Fed(
        "caches",
        lambda: (slices(X, Y).map(noisy).cache().shuffle(ROWS, seed=1).batch(BATCH),),
        "workers",
    ),
    "with weights": Fed(
        "holds sample weights",
        lambda: (slices(X, Y, np.linspace(0, 2, ROWS, dtype="float32")).batch(BATCH),),
        "workers",
    ),
    "with class weights": Fed(
        "comes with `class_weight`",
        lambda: (slices(X, CLASSES).batch(BATCH),),
        "workers",
        {"class_weight": {0: 1.0, 1: 3.0}},
    ),
    "few rows": Fed(
        "has a batch of fewer rows than workers",
        lambda: (slices(X[:17], Y[:17]).batch(BATCH),),
        "workers",
    ),
    "files": Fed(
        "reads a file for each row (`image_dataset_from_directory`)", lambda: (of_files(),), "files"
    ),
    "PyDataset": Fed("`keras.utils.PyDataset`", lambda: (Batches(),), "workers", {"shuffle": False}),
    "PyDataset that shuffles": Fed(
        "one that shuffles its rows when an epoch has ended",
        lambda: (Reordered(),),
        "workers",
        {"shuffle": False},
    ),
    "DataLoader": Fed(
        "`torch.utils.data.DataLoader`, also one that shuffles",
        lambda: (shuffling_loader(Items()),),
        "workers",
    ),
    "generator": Fed(
        "a generator that never ends (with `steps_per_epoch`)",
        lambda: (endless(),),
        "notebook",
        {"steps_per_epoch": 4},
        "a generator",
    ),
    "generator that ends": Fed(
        "a generator that ends", lambda: (endless(7),), "notebook", reason="a generator"
    ),
    "Python function": Fed(
        "`tf.data.Dataset` that calls Python (`py_function`, `from_generator`)",
        lambda: (calls_python(),),
        "notebook",
        {},
        "a tf.data.Dataset: it calls a Python function or a generator of this notebook",
    ),
    "lock": Fed(
        "a PyDataset that cannot be pickled",
        lambda: (Locked(),),
        "notebook",
        {"shuffle": False},
        "a PyDataset: cannot pickle '_thread.lock' object",
    ),
    "loader with a lock": Fed(
        "a DataLoader that cannot be pickled",
        lambda: (shuffling_loader(LockedItems()),),
        "notebook",
        {},
        "a DataLoader: cannot pickle '_thread.lock' object",
    ),
}


def table():
    """The manual's table of these kinds."""
    lines = ["| `fit` is fed with | Training | `evaluate`, `predict` |", "|---|---|---|"]
    for read, (training, others) in READ.items():
        kinds = [one.by for one in FED.values() if one.read == read]
        lines.append(f"| {', '.join(kinds)} | {training} | {others} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())  # noqa: T201
