"""From the start of fit to the first point on the chart: digits, warm."""

from __future__ import annotations

import statistics
import time

import pandas as pd
import task
from sklearn.datasets import load_digits

import nbkeras


def main() -> None:
    import keras

    spark = task.spark()
    digits = load_digits()
    table = pd.DataFrame({"features": (digits.data / 16).tolist(), "label": digits.target})
    df = spark.createDataFrame(table).cache()
    df.count()
    seconds = []
    for attempt in range(6):
        model = keras.Sequential(
            [
                keras.Input((64,)),
                keras.layers.Dense(128, activation="relu"),
                keras.layers.Dense(10, activation="softmax"),
            ]
        )
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        with task.epoch_times() as moments:
            start = time.perf_counter()
            nbkeras.fit(model, df, "label", epochs=3, batch_size=32, workers=1, verbose=0)
        if attempt:
            seconds.append(moments[0] - start)
        print(f"{'warm' if attempt else 'cold'}: first point after {moments[0] - start:.2f} s")
    print(f"warm: median {statistics.median(seconds):.2f} s")
    spark.stop()


if __name__ == "__main__":
    main()
