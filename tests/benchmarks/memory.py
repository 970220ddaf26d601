"""Memory at three sizes, of a folder of images and of a table of words: the trainer, and all of Spark.

Needs root, for the control group that counts. Images are 64 x 64 pixels, and are trained on as they are; the
table has two columns of words, of 1,000 and of 50,000 values, and a layer learns each of them first.
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import any_size
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import results
import task
from PIL import Image

#: Bytes that the group may hold.
LIMIT = 6 << 30
BATCH = {"images": 256, "words": 4096}
SIZES = {"images": (1_000, 10_000, 100_000), "words": (100_000, 1_000_000, 10_000_000)}
WORDS = {"street": 50_000, "town": 1_000}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--train", nargs=2, help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.train:
        train(*chosen.train)
        return
    rows = []
    for what, sizes in SIZES.items():
        for size in sizes:
            with TemporaryDirectory() as folder:
                {"images": draw, "words": write}[what](Path(folder), size)
                rows.append(measured(what, folder, size))
                print(rows[-1], flush=True)
    results.keep("memory", rows)


def draw(folder: Path, number: int) -> None:
    """Draw files of noise, 1,000 in each folder of a class."""
    random, names = np.random.default_rng(0), ("a", "b")
    for index in range(number):
        if index % 1_000 < len(names):
            (folder / names[index % 2] / str(index // 1_000)).mkdir(parents=True)
        file = io.BytesIO()
        coarse = Image.fromarray(random.integers(0, 256, (8, 8, 3)).astype("uint8")).resize((64, 64))
        coarse.save(file, "JPEG")
        (folder / names[index % 2] / str(index // 1_000) / f"{index}.jpg").write_bytes(file.getvalue())


def write(folder: Path, number: int) -> None:
    """Write a table of words, 100,000 rows in each file."""
    random, piece = np.random.default_rng(0), 100_000
    words = {name: pa.array([f"{name} number {index}" for index in range(n)]) for name, n in WORDS.items()}
    for start in range(0, number, piece):
        columns = {name: pa.array(random.integers(0, n, piece)) for name, n in WORDS.items()}
        table = {name: words[name].take(codes) for name, codes in columns.items()}
        pq.write_table(pa.table({**table, "y": random.random(piece)}), folder / f"{start}.parquet")


def measured(what: str, folder: str, size: int) -> dict[str, object]:
    """Train in a group of its own."""
    with any_size.group(LIMIT) as (join, most):
        command = [sys.executable, __file__, "--train", what, folder]
        done = subprocess.run(command, preexec_fn=join, check=False, stdout=subprocess.PIPE, text=True)
        lines = [line for line in done.stdout.splitlines() if line.startswith("MEASURED")]
        if not lines:
            sys.exit(f"{size} rows of {what} have failed, exit status {done.returncode}")
        told = json.loads(lines[0].removeprefix("MEASURED"))
        return {
            "what": what,
            "rows": f"{size:,}",
            "trainer's RssAnon (MB)": round(told["anonymous"] / 1e6),
            "most in the group, pages of files included (MB)": round(most() / 1e6),
            "seconds": round(told["seconds"]),
        }


def train(what: str, folder: str) -> None:
    """The training inside the group."""
    import keras
    from keras import layers

    import nbkeras

    spark = task.spark(memory="1g")
    if what == "images":
        df, label = nbkeras.images(folder, spark=spark), "label"
        steps = [keras.Input((64, 64, 3)), layers.Rescaling(1 / 255), layers.AveragePooling2D(8)]
        model = keras.Sequential([*steps, layers.Flatten(), layers.Dense(2, activation="softmax")])
        model.compile("adam", "sparse_categorical_crossentropy")
    else:
        df, label = spark.read.parquet(folder), "y"
        inputs = {name: keras.Input((1,), dtype="string", name=name) for name in WORDS}
        codes = {name: layers.StringLookup(max_tokens=WORDS[name] + 1)(one) for name, one in inputs.items()}
        numbers = [layers.Embedding(WORDS[name] + 1, 4)(one) for name, one in codes.items()]
        body = layers.Flatten()(layers.Concatenate()(numbers))
        model = keras.Model(inputs, layers.Dense(1)(body))
        model.compile("adam", "mse")
    with any_size.Watch() as watch, task.phases() as moments:
        nbkeras.fit(model, df, label, epochs=1, batch_size=BATCH[what], workers=1, verbose=0, spark=spark)
    seconds = moments["end"] - moments["start"]
    print("MEASURED", json.dumps({"anonymous": watch.peak, "seconds": seconds}), flush=True)
    spark.stop()


if __name__ == "__main__":
    main()
