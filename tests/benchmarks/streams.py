"""Streams: what a micro-batch costs, beside Spark's own cost of one and plain Keras on the same rows."""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import keras
import numpy as np
import pandas as pd
import results
import task
from keras import layers

import nbkeras

COLUMNS = [f"c{index}" for index in range(10)]
SCHEMA = ", ".join(f"{name} float" for name in (*COLUMNS, "y"))


def made() -> Any:
    model = keras.Sequential([keras.Input((10,)), layers.Dense(64, activation="relu"), layers.Dense(1)])
    model.compile("adam", "mse")
    return model


def write(folder: Path, parts: int, rows: int) -> list[pd.DataFrame]:
    random = np.random.default_rng(0)
    frames = []
    for part in range(parts):
        values = random.normal(size=(rows, 11)).astype("float32")
        frames.append(pd.DataFrame(values, columns=[*COLUMNS, "y"]))
        frames[-1].to_parquet(folder / f"{part:04}.parquet")
    return frames


def gaps(moments: list[float]) -> float:
    """The median of the seconds between moments; the first two are those of what is not warm."""
    return statistics.median(after - before for before, after in itertools.pairwise(moments[2:]))


class Points(nbkeras.Listener):
    """When each micro-batch has been trained on."""

    def __init__(self) -> None:
        self.moments: list[float] = []

    def epoch(self, run: Any, epoch: int, logs: Any) -> None:  # as it is called
        self.moments.append(time.perf_counter())


def measured(spark: Any, rows: int, parts: int, backend: str) -> dict[str, Any]:
    with TemporaryDirectory() as place:
        folder = Path(place, "rows")
        folder.mkdir()
        frames = write(folder, parts, rows)

        def stream() -> Any:
            return spark.readStream.schema(SCHEMA).option("maxFilesPerTrigger", 1).parquet(str(folder))

        points = Points()
        nbkeras.fit_stream(
            made(),
            stream(),
            "y",
            trigger={"availableNow": True},
            workers=1,
            backend=backend,
            checkpoint=Path(place, "kept"),
            verbose=0,
            listeners=[points],
            spark=spark,
        )
        bare: list[float] = []

        def count(batch: Any, _: int) -> None:
            batch.count()
            bare.append(time.perf_counter())

        query = stream().writeStream.foreachBatch(count).trigger(availableNow=True).start()
        query.awaitTermination()
    model, plain = made(), []
    for frame in frames:
        model.fit(frame[COLUMNS].to_numpy(), frame["y"].to_numpy(), verbose=0)
        plain.append(time.perf_counter())
    ours, spark_alone, keras_alone = gaps(points.moments), gaps(bare), gaps(plain)
    return {
        "rows": rows,
        "backend": backend,
        "a micro-batch (s)": round(ours, 2),
        "of Spark, counted alone (s)": round(spark_alone, 2),
        "of Keras, trained alone (s)": round(keras_alone, 2),
        "ours to both": round(ours / (spark_alone + keras_alone), 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[200, 20_000])
    parser.add_argument("--parts", type=int, default=12)
    parser.add_argument("--backends", nargs="+", default=["tensorflow", "torch"])
    options = parser.parse_args()
    spark = task.spark()
    table = [
        measured(spark, rows, options.parts, backend) for backend in options.backends for rows in options.rows
    ]
    for row in table:
        print(row)
    spark.stop()
    results.keep("streams", table)


if __name__ == "__main__":
    main()
