"""CPU of a step of models that draw random numbers, against the same models without, on 1 and 2 workers.

The CPU is that of worker 0's trainer, all its threads, without the first epoch, which traces.
"""

from __future__ import annotations

import argparse
import statistics
import time

import keras
import numpy as np
import results
import task

import nbkeras

EPOCHS, SIDE = 4, 28


class Cpu(keras.callbacks.Callback):
    """CPU seconds of a step, by epoch; runs on worker 0, since it reads a clock."""

    def __init__(self) -> None:
        super().__init__()
        self.spent: list[float] = []
        self.begun = 0.0

    def on_train_batch_begin(self, batch, logs=None):
        if not batch:
            self.spent.append(0.0)
            self.begun = time.process_time()
        else:
            self.spent[-1] = (time.process_time() - self.begun) / batch


def dense(*, hidden: float = 0.0, inputs: float = 0.0) -> keras.Model:
    return _compiled(
        [
            keras.Input((task.FEATURES,)),
            *([keras.layers.Dropout(inputs)] if inputs else []),
            keras.layers.Dense(128, activation="relu"),
            *([keras.layers.Dropout(hidden)] if hidden else []),
        ]
    )


def convolutional(*, augmented: bool = False) -> keras.Model:
    random = [
        keras.layers.RandomFlip("horizontal"),
        keras.layers.RandomTranslation(0.1, 0.1),
        keras.layers.RandomContrast(0.2),
    ]
    return _compiled(
        [
            keras.Input((SIDE, SIDE, 1)),
            *(random if augmented else []),
            keras.layers.Conv2D(16, 3, activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Flatten(),
        ]
    )


def _compiled(layers: list) -> keras.Model:
    keras.utils.set_random_seed(1)
    model = keras.Sequential([*layers, keras.layers.Dense(10, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


CASES = {
    "Dropout of 128 units": (dense, lambda: dense(hidden=0.5)),
    "Dropout of 784 inputs": (dense, lambda: dense(inputs=0.2)),
    "a CNN with three augmentations": (convolutional, lambda: convolutional(augmented=True)),
}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--rows", type=int, default=8192)
    chosen = options.parse_args()
    x, y = task.arrays(chosen.rows)
    spark = task.spark()

    def cpu(model: keras.Model, workers: int) -> float:
        spent = Cpu()
        shaped = np.reshape(x, (-1, *model.input_shape[1:]))
        how = {"batch_size": task.BATCH, "epochs": EPOCHS, "workers": workers, "callbacks": [spent]}
        nbkeras.fit(model, shaped, y, spark=spark, verbose=0, **how)
        return min(spent.spent[1:])

    rows = []
    for what, (without, drawing) in CASES.items():
        ratios: dict[int, list[float]] = {1: [], 2: []}
        for _ in range(chosen.rounds):
            for workers, found in ratios.items():
                found.append(cpu(drawing(), workers) / cpu(without(), workers))
        rows.append({"what": what})
        for workers, found in ratios.items():
            name = f"CPU of a step to without, {workers} worker{'s' if workers > 1 else ''}"
            rows[-1][name] = round(statistics.median(found), 2)
        print(rows[-1])
    spark.stop()
    results.keep("draws", rows)


if __name__ == "__main__":
    main()
