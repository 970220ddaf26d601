"""A `tf.data.Dataset` in memory and a generator, each against plain Keras, in turn, 60,000 rows."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import results
import task
import tensorflow as tf

import nbkeras


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--pairs", type=int, default=5)
    options.add_argument("--rows", type=int, default=60_000)
    chosen = options.parse_args()
    spark = task.spark()
    x, y = task.arrays(chosen.rows)
    steps = -(-chosen.rows // task.BATCH)

    def dataset() -> tf.data.Dataset:
        made = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(4096, seed=1)
        return made.batch(task.BATCH).prefetch(tf.data.AUTOTUNE)

    def generator() -> Iterator[Any]:
        while True:
            for start in range(0, chosen.rows, task.BATCH):
                yield x[start : start + task.BATCH], y[start : start + task.BATCH]

    rows = []
    for name, make, how in (
        ("dataset", dataset, {}),
        ("generator", generator, {"steps_per_epoch": steps}),
    ):
        for run in (ours, plain):
            run(make, how)  # warm
        pairs = [(plain(make, how), ours(make, how)) for _ in range(chosen.pairs)]
        rows += [
            summary(f"{name}: whole fit, warm, ours to plain", [our[0] / their[0] for their, our in pairs]),
            summary(
                f"{name}: steady rows per second, ours to plain", [their[1] / our[1] for their, our in pairs]
            ),
        ]
    alone = [seconds_of(generator(), steps) for _ in range(chosen.pairs)]
    fed = [ours(generator, {"steps_per_epoch": steps})[1] for _ in range(chosen.pairs)]
    rows.append(
        summary(
            "generator: rows per second that train, to those that it gives by itself",
            [one / other for one, other in zip(alone, fed, strict=True)],
        )
    )
    spark.stop()
    results.keep("datasets", rows)


def summary(what: str, ratios: list[float]) -> dict[str, Any]:
    print(f"{what}: median {statistics.median(ratios):.2f}, {min(ratios):.2f} to {max(ratios):.2f}")
    return {
        "what": what,
        "median": round(statistics.median(ratios), 2),
        "from": round(min(ratios), 2),
        "to": round(max(ratios), 2),
    }


def plain(make: Callable[[], Any], how: dict[str, Any]) -> tuple[float, float]:
    """Seconds of a fit, and of one of its steady epochs."""
    model, times = task.model(), task.EpochTimes()
    start = time.perf_counter()
    model.fit(make(), epochs=task.EPOCHS, verbose=0, callbacks=[times], **how)
    return time.perf_counter() - start, task.steady(times.moments)


def ours(make: Callable[[], Any], how: dict[str, Any]) -> tuple[float, float]:
    """The same on one worker."""
    model = task.model()
    with task.epoch_times() as moments:
        start = time.perf_counter()
        nbkeras.fit(model, make(), epochs=task.EPOCHS, workers=1, verbose=0, **how)
        return time.perf_counter() - start, task.steady(moments)


def seconds_of(batches: Iterator[Any], steps: int) -> float:
    """How long a source takes for an epoch, its arrays copied as who sends them must."""
    start = time.perf_counter()
    for _, (x, y) in zip(range(steps), batches, strict=False):
        x.copy(), y.copy()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
