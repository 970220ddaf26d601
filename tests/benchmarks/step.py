"""Where the time of a step goes: gathering rows, computing, and whether they overlap."""

from __future__ import annotations

import statistics
import time

import keras
import numpy as np
import results
import task

from nbkeras.schema import Field, Schema
from nbkeras.worker import backends
from nbkeras.worker.feed import feed
from nbkeras.worker.files import mapped, unnamed

ROWS, TIMES = 60_000, 5


def main() -> None:
    x, y = task.arrays(ROWS)
    structure = Schema((Field("x0", ("x",), "x"), Field("y0", ("y",), "y")))
    counts = np.diff([*range(0, ROWS, task.BATCH), ROWS])
    arrays = {"x0": on_disk(x), "y0": on_disk(y)}
    fed = feed(arrays, np.arange(ROWS), counts, structure, (1,))
    batches, model = backends.load().batches(fed), task.model()
    same = [(keras.ops.convert_to_tensor(x[: task.BATCH]), keras.ops.convert_to_tensor(y[: task.BATCH]))]

    def gather() -> None:
        for _ in batches:
            pass

    def compute() -> None:
        model.fit(_Same(same[0], len(counts)), verbose=0)

    def both() -> None:
        model.fit(batches, verbose=0)

    ways = {"gather": gather, "compute": compute, "both": both}
    for way in ways.values():
        way()
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for epoch in range(TIMES):
        fed.permute(epoch)
        for name, way in ways.items():
            begun = time.perf_counter()
            way()
            seconds[name].append((time.perf_counter() - begun) / len(counts) * 1e3)
    told = {
        "gather": "gather a batch's rows from mapped memory, alone",
        "compute": "train on one batch that lies in memory, alone",
        "both": "train on the gathered batches, as a worker does",
    }
    rows = [{"part": told[name], "ms a step": round(statistics.median(seconds[name]), 2)} for name in ways]
    for row in rows:
        print(row)
    results.keep("step", rows)


def on_disk(array):
    """The array as a worker maps it from its spool."""
    with unnamed() as file:
        file.write(array.tobytes())
        return mapped(file.fileno(), array.dtype.str, array.shape)


class _Same(keras.utils.PyDataset):
    """One batch again and again."""

    def __init__(self, batch, steps: int) -> None:
        super().__init__()
        self._batch, self._steps = batch, steps

    def __len__(self) -> int:
        return self._steps

    def __getitem__(self, step: int):
        return self._batch


if __name__ == "__main__":
    main()
