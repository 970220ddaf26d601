"""Predicting a few rows: Keras in this process against a Spark job on two slots, in turn."""

from __future__ import annotations

import statistics
import time
from unittest import mock

import numpy as np
import results
import task
from keras import Input, Sequential, layers

import nbkeras
from nbkeras.driver import inference

ROWS = (1, 32, 256, 1024, 4096, 16384)


def models() -> dict[str, Sequential]:
    convolutions = [layers.Conv2D(32, 3, activation="relu"), layers.MaxPooling2D(), layers.Flatten()]
    return {
        "784-128-10": Sequential(
            [Input((784,)), layers.Dense(128, activation="relu"), layers.Dense(10, activation="softmax")]
        ),
        "small CNN": Sequential([Input((28, 28, 1)), *convolutions, layers.Dense(10, activation="softmax")]),
    }


def seconds(model: Sequential, x: np.ndarray, few: int) -> float:
    with mock.patch.object(inference, "FEW", few):
        start = time.perf_counter()
        nbkeras.predict(model, x)
        return time.perf_counter() - start


def main() -> None:
    spark = task.spark()
    found = []
    for name, model in models().items():
        for rows in ROWS:
            x = np.random.default_rng(0).random((rows, *model.input_shape[1:]), dtype=np.float32)
            for few in (rows, 0):
                seconds(model, x, few)  # warm
            pairs = [[seconds(model, x, few) for few in (rows, 0)] for _ in range(5)]
            ratio = [here / there for here, there in pairs]
            here, there = (statistics.median(one) for one in zip(*pairs, strict=True))
            print(f"{name}, {rows:,} rows: here {here:.3f} s, Spark {there:.3f} s")
            found.append(
                {
                    "what": f"{name}, {rows:,} rows, Keras here to Spark",
                    "median": round(statistics.median(ratio), 2),
                    "from": round(min(ratio), 2),
                    "to": round(max(ratio), 2),
                }
            )
    spark.stop()
    results.keep("small_predict", found)


if __name__ == "__main__":
    main()
