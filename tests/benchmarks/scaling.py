"""One and two workers of one core each, on a cluster: a convolutional network, steady epochs in turn."""

from __future__ import annotations

import argparse
import statistics

import cluster
import keras
import numpy as np
import results
import task

import nbkeras

ROWS, BATCH, EPOCHS = 4096, 256, 4


def network() -> keras.Model:
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            keras.layers.Conv2D(32, 3, activation="relu"),
            keras.layers.Conv2D(64, 3, activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Conv2D(64, 3, activation="relu"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--pairs", type=int, default=3)
    chosen = options.parse_args()
    random = np.random.default_rng(0)
    x, y = random.random((ROWS, 28, 28, 1), dtype=np.float32), random.integers(0, 10, ROWS)
    with cluster.spark() as spark:

        def epoch(workers: int) -> float:
            with task.epoch_times() as moments:
                options = {"batch_size": BATCH, "epochs": EPOCHS, "workers": workers, "verbose": 0}
                nbkeras.fit(network(), x, y, spark=spark, **options)
            return task.steady(moments)

        pairs = [(epoch(1), epoch(2)) for _ in range(chosen.pairs)]
    ratios = [one / two for one, two in pairs]
    for one, two in pairs:
        print(f"1 worker {one:.2f} s an epoch, 2 workers {two:.2f} s: {one / two:.2f} times")
    results.keep(
        "scaling",
        [
            {
                "network": f"3 convolutions, {network().count_params():,} weights, batch {BATCH}",
                "1 worker, s an epoch": round(statistics.median(one for one, _ in pairs), 2),
                "2 workers": round(statistics.median(two for _, two in pairs), 2),
                "times": round(statistics.median(ratios), 2),
                "from": round(min(ratios), 2),
                "to": round(max(ratios), 2),
            }
        ],
    )


if __name__ == "__main__":
    main()
