"""Workers that meet every K steps, against workers that sum each step's gradients: time and loss.

Two workers of one core each on a cluster, a dense network that has many weights for the work of a step.
"""

from __future__ import annotations

import argparse
import statistics

import cluster
import keras
import results
import task

import nbkeras

ROWS, BATCH, EPOCHS, EVERY = 8192, 64, 4, (1, 4, 16)


def network() -> keras.Model:
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((task.FEATURES,)),
            keras.layers.Dense(1024, activation="relu"),
            keras.layers.Dense(256, activation="relu"),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=3)
    chosen = options.parse_args()
    x, y = task.arrays(ROWS)
    unseen = task.arrays(2000, seed=1)
    with cluster.spark() as spark:

        def trained(every: int) -> tuple[float, float]:
            model = network()
            how = {"batch_size": BATCH, "epochs": EPOCHS, "workers": 2, "sync_every": every, "verbose": 0}
            with task.epoch_times() as moments:
                nbkeras.fit(model, x, y, shuffle=False, spark=spark, **how)
            return task.steady(moments), float(model.evaluate(*unseen, verbose=0))

        rounds = [[trained(every) for every in EVERY] for _ in range(chosen.rounds)]
    results.keep(
        "sync_every",
        [
            {
                "--sync-every": every,
                "s an epoch": round(statistics.median(one[index][0] for one in rounds), 2),
                "to every step": round(statistics.median(one[0][0] / one[index][0] for one in rounds), 2),
                f"loss on unseen rows after {EPOCHS} epochs": round(rounds[0][index][1], 3),
            }
            for index, every in enumerate(EVERY)
        ],
    )


if __name__ == "__main__":
    main()
