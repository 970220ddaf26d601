"""Sentences from Parquet to trained: adapt and one epoch, rows per second, against Keras fed by `tf.data`.

Sentences of 5 to 60 words out of 20,000, as often as those of a language; a vocabulary of 10,000, 40 words of
each. Beside Keras' own `TextVectorization` in the model stands what a user would do instead: pandas reads the
file, and Python splits and counts the words.
"""

from __future__ import annotations

import argparse
import re
import statistics
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import keras
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import results
import tables
import task
import tensorflow as tf
from keras import layers

import nbkeras

BATCH, WORDS, TOKENS, LENGTH = 256, 20_000, 10_000, 40


def write(path: Path, rows: int) -> None:
    random = np.random.default_rng(0)
    words = np.array([f"Word{index}{',' * (index % 7 == 0)}" for index in range(WORDS)])
    lengths = random.integers(5, 61, rows)
    places = np.minimum(random.zipf(1.2, lengths.sum()) - 1, WORDS - 1)
    ends = np.cumsum(lengths)
    text = [" ".join(words[places[end - n : end]]) for end, n in zip(ends, lengths, strict=True)]
    pq.write_table(pa.table({"text": text, "y": random.random(rows)}), path / "text.parquet")


def body(numbers: keras.KerasTensor) -> keras.KerasTensor:
    """What comes behind the numbers of the words."""
    vectors = layers.Embedding(TOKENS, 16)(numbers)
    return layers.Dense(1)(layers.GlobalAveragePooling1D()(vectors))


def compiled(inputs: keras.KerasTensor, outputs: keras.KerasTensor) -> keras.Model:
    made = keras.Model(inputs, outputs)
    made.compile("adam", "mse")
    return made


def model() -> tuple[keras.Model, layers.TextVectorization]:
    keras.utils.set_random_seed(1)
    words = layers.TextVectorization(max_tokens=TOKENS, output_sequence_length=LENGTH)
    inputs = keras.Input((1,), dtype="string", name="text")
    return compiled(inputs, body(words(inputs))), words


def ours(path: Path) -> None:
    data = task.spark().read.parquet(str(path))
    nbkeras.fit(model()[0], data, "y", batch_size=BATCH, workers=1, verbose=0)


def by_tf_data(path: Path) -> None:
    table = pq.read_table(path).to_pandas()
    made, words = model()
    text = tf.constant(table["text"].to_numpy(object))[:, None]
    words.adapt(text)
    batches = tf.data.Dataset.from_tensor_slices((text, table["y"].to_numpy("float32")))
    made.fit(batches.batch(BATCH).prefetch(tf.data.AUTOTUNE), shuffle=False, verbose=0)


def by_pandas(path: Path) -> None:
    table = pq.read_table(path).to_pandas()
    split = [re.sub(r"[^\w\s]", "", text.lower()).split() for text in table["text"]]
    counts = Counter(word for words in split for word in words)
    numbers = {word: index + 2 for index, (word, _) in enumerate(counts.most_common(TOKENS - 2))}
    x = np.zeros((len(split), LENGTH), "int64")
    for row, words in zip(x, split, strict=True):
        found = [numbers.get(word, 1) for word in words[:LENGTH]]
        row[: len(found)] = found
    inputs = keras.Input((LENGTH,), dtype="int64")
    made = compiled(inputs, body(inputs))
    made.fit(x, table["y"].to_numpy("float32"), batch_size=BATCH, verbose=0)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rows", type=int, default=200_000)
    options.add_argument("--rounds", type=int, default=3)
    chosen = options.parse_args()
    ways = {"ours": ours, "tf.data": by_tf_data, "pandas": by_pandas}
    with TemporaryDirectory() as folder:
        path = Path(folder)
        write(path, 2_000)
        for work in ways.values():
            work(path)  # warm
        write(path, chosen.rows)
        rounds = [
            {name: tables.seconds(work, path) for name, work in ways.items()} for _ in range(chosen.rounds)
        ]
    rows = []
    for name in ways:
        ratios = [one["ours"] / one[name] for one in rounds]
        rows.append(
            {
                "way": name,
                "sentences per second": round(chosen.rows / statistics.median(one[name] for one in rounds)),
                "ours to it, seconds": round(statistics.median(ratios), 2),
                "from": round(min(ratios), 2),
                "to": round(max(ratios), 2),
            }
        )
        print(rows[-1])
    results.keep("text", rows)


if __name__ == "__main__":
    main()
