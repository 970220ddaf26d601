"""How the parts of a warm fit grow with rows, workers, weights and epochs, on one machine."""

from __future__ import annotations

import keras
import numpy as np
import results
import task

import nbkeras


def main() -> None:
    spark = task.spark("local[8]")
    rows = []

    def note(kind: str, size: int, spent: dict[str, float]) -> None:
        rows.append({"what grows": kind, "size": size, **spent})
        print(rows[-1], flush=True)

    random = np.random.default_rng(0)
    small, labels = random.random((2048, 64), dtype=np.float32), random.integers(0, 10, 2048)

    def small_fit(hidden: int = 32, **how) -> dict[str, float]:
        keras.utils.set_random_seed(1)
        layers = [keras.Input((64,)), keras.layers.Dense(hidden, "relu"), keras.layers.Dense(10, "softmax")]
        model = keras.Sequential(layers)
        model.compile("adam", "sparse_categorical_crossentropy")
        return spent(model, small, labels, spark=spark, **{"epochs": 5, "batch_size": 256, **how})

    small_fit(workers=1)  # warm
    for number in (15_000, 60_000, 240_000):
        with task.parquet(number) as folder:
            df = spark.read.parquet(folder)
            how = {"batch_size": task.BATCH, "epochs": 3, "workers": 1}
            note("rows", number, spent(task.model(), df, "label", spark=spark, **how))
    for workers in (1, 2, 4, 8):
        small_fit(workers=workers)  # as many Python workers of Spark are there
        note("workers", workers, small_fit(workers=workers))
    for hidden in (1_000, 10_000, 100_000, 400_000):
        note("weights (2 workers)", 75 * hidden, small_fit(hidden, workers=2, batch_size=1024))
    for epochs in (1, 10, 100, 1000):
        note("epochs", epochs, small_fit(workers=1, epochs=epochs))
    spark.stop()
    results.keep("growth", rows)


def spent(model, *data, **how) -> dict[str, float]:
    """Seconds of a fit until it trains, while it trains, and after."""
    with task.phases() as moments:
        nbkeras.fit(model, *data, verbose=0, **how)
    begun = moments["training"]
    return {
        "until training (s)": round(begun - moments["start"], 3),
        "training (s)": round(moments["returning"] - begun, 3),
        "return (s)": round(moments["end"] - moments["returning"], 3),
    }


if __name__ == "__main__":
    main()
