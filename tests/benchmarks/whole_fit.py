"""Whole fit and steady epochs against plain Keras, in turn, 60,000 rows."""

from __future__ import annotations

import argparse
import statistics
import time

import task

import nbkeras


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--pairs", type=int, default=5)
    options.add_argument("--rows", type=int, default=60_000)
    chosen = options.parse_args()
    spark = task.spark()
    x, y = task.arrays(chosen.rows)
    whole, steady = [], []
    with task.parquet(chosen.rows) as folder:
        df = spark.read.parquet(folder)
        ours(df.limit(1000))  # warm
        plain(x[:1000], y[:1000])
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


def plain(x, y) -> tuple[float, float]:
    model, times = task.model(), task.EpochTimes()
    start = time.perf_counter()
    model.fit(x, y, batch_size=task.BATCH, epochs=task.EPOCHS, verbose=0, callbacks=[times])
    return time.perf_counter() - start, _steady(times.moments)


def ours(df) -> tuple[float, float]:
    model = task.model()
    with task.epoch_times() as moments:
        start = time.perf_counter()
        nbkeras.fit(model, df, "label", batch_size=task.BATCH, epochs=task.EPOCHS, workers=1, verbose=0)
        return time.perf_counter() - start, _steady(moments)


def _steady(moments: list[float]) -> float:
    """Seconds of an epoch, without the first, which compiles."""
    return (moments[-1] - moments[0]) / (len(moments) - 1)


if __name__ == "__main__":
    main()
