"""From a DataFrame of Parquet files to training batches, in MB/s, beside ``toPandas``."""

from __future__ import annotations

import statistics
import time

import numpy as np
import results
import task

import nbkeras

ROWS, TIMES = 60_000, 3


def main() -> None:
    spark = task.spark()
    megabytes = ROWS * task.FEATURES * 4 / 1e6
    rates: dict[str, list[float]] = {"nbkeras, 1 worker": [], "nbkeras, 2 workers": [], "toPandas": []}
    with task.parquet(ROWS) as folder:
        df = spark.read.parquet(folder)
        for workers in (1, 2):
            ours(df.limit(1000), workers)  # warm
        for _ in range(TIMES):
            for workers, name in ((1, "nbkeras, 1 worker"), (2, "nbkeras, 2 workers")):
                rates[name].append(megabytes / ours(df, workers))
            begun = time.perf_counter()
            np.stack(df.toPandas()["features"].to_numpy())
            rates["toPandas"].append(megabytes / (time.perf_counter() - begun))
    spark.stop()
    theirs = statistics.median(rates["toPandas"])
    rows = [
        {
            "way": name,
            "MB/s": round(statistics.median(each)),
            "times": round(statistics.median(each) / theirs, 1),
        }
        for name, each in rates.items()
    ]
    for row in rows:
        print(row)
    results.keep("feed", rows)


def ours(df, workers: int) -> float:
    """Seconds from the submission until all rows are with their trainers, which have their batches."""
    with task.phases() as moments:
        nbkeras.fit(task.model(), df, "label", batch_size=task.BATCH, workers=workers, verbose=0)
    return moments["starting"] - moments["slots"]


if __name__ == "__main__":
    main()
