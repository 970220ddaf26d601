"""Whole fit and steady epochs against plain Keras, in turn, 60,000 rows."""

from __future__ import annotations

import argparse
import statistics
import time

import results
import task

import nbkeras


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--pairs", type=int, default=5)
    options.add_argument("--rows", type=int, default=60_000)
    chosen = options.parse_args()
    spark = task.spark()
    whole, steady = [], []
    with task.parquet(chosen.rows) as folder:
        df, (x, y) = spark.read.parquet(folder), task.read(folder)
        for _ in range(3):
            ours(df)  # warm: Java compiles what reads the rows in their second pass or third
        plain(x, y)
        for pair in range(chosen.pairs):
            seconds, per_epoch = plain(x, y)
            our_seconds, our_per_epoch = ours(df)
            whole.append(our_seconds / seconds)
            steady.append(per_epoch / our_per_epoch)
            print(
                f"pair {pair + 1}: plain {seconds:.2f} s, ours {our_seconds:.2f} s, "
                f"ratio {whole[-1]:.2f}; steady rows per second, ours to plain {steady[-1]:.2f}"
            )
    print(f"whole fit, warm, ours to plain: median {statistics.median(whole):.2f}, best {min(whole):.2f}")
    print(f"steady rows per second, ours to plain: median {statistics.median(steady):.2f}")
    spark.stop()
    named = {"whole fit, warm, ours to plain": whole, "steady rows per second, ours to plain": steady}
    results.keep(
        "whole_fit",
        [
            {
                "what": name,
                "median": round(statistics.median(each), 2),
                "from": round(min(each), 2),
                "to": round(max(each), 2),
            }
            for name, each in named.items()
        ],
    )


def plain(x, y) -> tuple[float, float]:
    model, times = task.model(), task.EpochTimes()
    start = time.perf_counter()
    model.fit(x, y, batch_size=task.BATCH, epochs=task.EPOCHS, verbose=0, callbacks=[times])
    return time.perf_counter() - start, task.steady(times.moments)


def ours(df) -> tuple[float, float]:
    model = task.model()
    with task.epoch_times() as moments:
        start = time.perf_counter()
        nbkeras.fit(model, df, "label", batch_size=task.BATCH, epochs=task.EPOCHS, workers=1, verbose=0)
        return time.perf_counter() - start, task.steady(moments)


if __name__ == "__main__":
    main()
