"""A table of 30 columns from Parquet to trained: adapt and one epoch, against Keras' adapt and `tf.data`.

15 numbers, 10 columns of words of 2 to 50,000 values, three of whole numbers, a time. Beside Keras fed by
`tf.data` stands what a user would do instead: pandas reads the file, and looks the words up.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import keras
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import results
import task
import tensorflow as tf
from keras import layers

import nbkeras

BATCH, WORDS = 1024, (2, 3, 5, 10, 20, 50, 200, 1_000, 10_000, 50_000)
NUMBERS = [f"number{index}" for index in range(15)]
NAMES = [f"word{index}" for index in range(len(WORDS))]
CODES = [f"code{index}" for index in range(3)]


def write(path: Path, rows: int) -> None:
    random = np.random.default_rng(0)
    table = {name: random.normal(index, 1 + index, rows) for index, name in enumerate(NUMBERS)}
    for name, size in zip(NAMES, WORDS, strict=True):
        words = np.array([f"value {index} of {size}" for index in range(size)])
        table[name] = words[np.minimum(random.geometric(min(0.5, 5 / size), rows) - 1, size - 1)]
    table |= {name: random.integers(0, 40, rows) for name in CODES}
    table["at"] = pd.date_range("2024-01-01", periods=rows, freq="s")
    table["y"] = random.random(rows)
    pq.write_table(pa.table(table), path / "table.parquet", row_group_size=100_000, coerce_timestamps="us")


def model() -> tuple[keras.Model, dict[str, layers.Layer]]:
    """A model of all columns, and its layers that learn, by column."""
    keras.utils.set_random_seed(1)
    inputs = {name: keras.Input((1,), name=name) for name in (*NUMBERS, "at_hour")}
    inputs |= {name: keras.Input((1,), dtype="string", name=name) for name in NAMES}
    inputs |= {name: keras.Input((1,), dtype="int64", name=name) for name in CODES}
    learning = {name: layers.Normalization() for name in NUMBERS}
    learning |= {
        name: layers.StringLookup(max_tokens=size + 1) for name, size in zip(NAMES, WORDS, strict=True)
    }
    learning |= {name: layers.IntegerLookup(max_tokens=41) for name in CODES}
    encoded = [inputs["at_hour"]]
    for name, layer in learning.items():
        made = layer(inputs[name])
        size = None if name in NUMBERS else layer.max_tokens
        encoded.append(made if size is None else layers.Flatten()(layers.Embedding(size, 4)(made)))
    body = layers.Dense(32, activation="relu")(layers.Concatenate()(encoded))
    made = keras.Model(inputs, layers.Dense(1)(body))
    made.compile("adam", "mse")
    return made, learning


def ours(path: Path) -> None:
    spark = task.spark()
    nbkeras.fit(model()[0], spark.read.parquet(str(path)), "y", batch_size=BATCH, workers=1, verbose=0)


def by_tf_data(path: Path) -> None:
    """Keras' own layers in the model, fed by `tf.data` with raw columns."""
    table = pq.read_table(path).to_pandas()
    made, learning = model()
    columns = {name: table[name].to_numpy()[:, None] for name in (*NUMBERS, *CODES)}
    columns |= {name: tf.constant(table[name].to_numpy(object))[:, None] for name in NAMES}
    columns["at_hour"] = table["at"].dt.hour.to_numpy("float32")[:, None]
    for name, layer in learning.items():
        layer.adapt(columns[name].astype("float32") if name in NUMBERS else columns[name])
    batches = tf.data.Dataset.from_tensor_slices((columns, table["y"].to_numpy("float32")))
    made.fit(batches.batch(BATCH).prefetch(tf.data.AUTOTUNE), shuffle=False, verbose=0)


def by_pandas(path: Path) -> None:
    """Words looked up by pandas, numbers normalized by NumPy, arrays in one process."""
    table = pq.read_table(path).to_pandas()
    inputs, encoded, x = [], [], []
    numbers = table[NUMBERS].to_numpy("float32")
    numbers = (numbers - numbers.mean(axis=0)) / numbers.std(axis=0)
    hours = table["at"].dt.hour.to_numpy("float32")[:, None]
    x.append(np.concatenate([numbers, hours], axis=1))
    inputs.append(keras.Input((x[0].shape[1],)))
    encoded.append(inputs[0])
    for name in (*NAMES, *CODES):
        codes, found = pd.factorize(table[name])
        x.append(codes[:, None])
        inputs.append(keras.Input((1,), dtype="int64"))
        encoded.append(layers.Flatten()(layers.Embedding(len(found), 4)(inputs[-1])))
    body = layers.Dense(32, activation="relu")(layers.Concatenate()(encoded))
    made = keras.Model(inputs, layers.Dense(1)(body))
    made.compile("adam", "mse")
    made.fit(x, table["y"].to_numpy("float32"), batch_size=BATCH, verbose=0)


def seconds(work: Callable[[Path], None], path: Path) -> float:
    start = time.perf_counter()
    work(path)
    return time.perf_counter() - start


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rows", type=int, default=1_000_000)
    options.add_argument("--rounds", type=int, default=3)
    chosen = options.parse_args()
    ways = {"ours": ours, "tf.data": by_tf_data, "pandas": by_pandas}
    with TemporaryDirectory() as folder:
        path = Path(folder)
        write(path, 10_000)
        for work in ways.values():
            work(path)  # warm
        write(path, chosen.rows)
        rounds = [{name: seconds(work, path) for name, work in ways.items()} for _ in range(chosen.rounds)]
    for one in rounds:
        print({name: round(took, 1) for name, took in one.items()})
    rows = []
    for other in ("tf.data", "pandas"):
        ratios = [one["ours"] / one[other] for one in rounds]
        rows.append(
            {
                "what": f"{chosen.rows:,} rows, Parquet to one epoch, ours to {other}",
                "median": round(statistics.median(ratios), 2),
                "from": round(min(ratios), 2),
                "to": round(max(ratios), 2),
            }
        )
    results.keep("tables", rows)


if __name__ == "__main__":
    main()
