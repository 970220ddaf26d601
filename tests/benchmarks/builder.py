"""Opening the builder, and one change in it: by the number of columns."""

from __future__ import annotations

import json
import statistics
import time

import keras
import numpy as np
import pandas as pd
import task

ROWS, COLUMNS, REPEATS = 500, (20, 200, 2000), 5


def main() -> None:
    from nbkeras.notebook.builder import Builder

    spark = task.spark()
    keras.layers.Dense(1)  # what the first layer of a process costs is Keras'
    for columns in COLUMNS:
        values = np.random.default_rng(0).random((ROWS, columns))
        table = pd.DataFrame(values, columns=[f"c{index}" for index in range(columns)])
        df = spark.createDataFrame(table.assign(label=np.arange(ROWS) % 3))
        opened, changed = [], []
        for _ in range(REPEATS):
            start = time.perf_counter()
            builder = Builder(df)
            opened.append(time.perf_counter() - start)
            start = time.perf_counter()
            builder.editor.act("epochs", value="3")
            state = builder.editor.state()
            changed.append(time.perf_counter() - start)
        print(
            f"{columns:5} columns: open {opened[0]:.2f} s, then {statistics.median(opened):.2f} s; "
            f"a change {statistics.median(changed) * 1000:.0f} ms, {len(json.dumps(state)) / 1000:.0f} kB"
        )
    spark.stop()


if __name__ == "__main__":
    main()
