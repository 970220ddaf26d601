"""From the first cell of the quickstart to the first point of its chart, in a new kernel, then in a warm one.

Beside it, what the same first cells take without nbkeras: the same packages, a Spark, the rows in it, and one
epoch of Keras' own fit. With --unprepared, Spark starts without what ``nbkeras prepare`` has made.
"""

from __future__ import annotations

import argparse
import ast
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
import results
from jupyter_client.manager import start_new_kernel

QUICKSTART = Path(__file__).parents[2] / "notebooks" / "01_quickstart.ipynb"
_WATCH = """
import time as _time, nbkeras as _nbkeras
class _Watch(_nbkeras.Listener):
    points = []
    def epoch(self, run, epoch, logs):
        self.points += [_time.time()] if epoch == 0 else []
_nbkeras.listeners.append(_Watch())
"""
_PLAIN = """
import pandas as pd
from sklearn.datasets import load_digits
from pyspark.sql import SparkSession
spark = SparkSession.builder.config("spark.ui.enabled", "false").getOrCreate()
digits = load_digits()
rows = pd.DataFrame({"features": (digits.data / 16).tolist(), "label": digits.target})
train_df, test_df = spark.createDataFrame(rows).randomSplit([0.8, 0.2], seed=1)
import keras, numpy as np, time
layers = [keras.layers.Dense(128, activation="relu"), keras.layers.Dense(10, activation="softmax")]
model = keras.Sequential([keras.Input((64,)), *layers])
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
known = train_df.toPandas()
model.fit(np.stack(known.features), known.label.to_numpy(), batch_size=32, verbose=0)
print(time.time())
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--unprepared", action="store_true")
    if parser.parse_args().unprepared:
        os.environ["XDG_CACHE_HOME"] = "/nowhere"
    else:
        subprocess.run([shutil.which("nbkeras", path=Path(sys.executable).parent), "prepare"], check=True)
    measured = [{"plain (s)": plain(), **ours()} for _ in range(3)]
    found = {name: statistics.median(one[name] for one in measured) for name in measured[0]}
    found["cold, to plain"] = found["cold (s)"] / found["plain (s)"]
    found = {name: round(value, 1) for name, value in found.items()}
    print(found)
    results.keep("first_minute", [found])


def plain() -> float:
    """Seconds from the first cell to the end of an epoch without nbkeras."""
    with TemporaryDirectory() as folder, _kernel(folder) as run:
        begun = time.time()
        return float(run(_PLAIN)) - begun


def ours() -> dict[str, float]:
    """Seconds from the first cell to the first point: cold, then of the same training again."""
    cells = [one.source for one in nbformat.read(QUICKSTART, as_version=4).cells if one.cell_type == "code"]
    trains = next(number for number, source in enumerate(cells) if ".fit(" in source)
    with TemporaryDirectory() as folder, _kernel(folder) as run:
        begun = time.time()
        for source in (*cells[:trains], _WATCH, cells[trains]):
            run(source)
        again = time.time()
        run(cells[trains])
        cold, warm = ast.literal_eval(run("print(_Watch.points)"))
    return {"cold (s)": cold - begun, "warm (s)": warm - again}


@contextmanager
def _kernel(folder: str) -> Iterator[Callable[[str], str]]:
    """What runs a cell in a new kernel and returns what it prints, as long as a ``with`` block lasts."""
    manager, client = start_new_kernel(cwd=folder)

    def run(source: str) -> str:
        said = []

        def heard(message):
            if message["msg_type"] == "error":
                sys.exit("\n".join(message["content"]["traceback"]))
            if message["msg_type"] == "stream" and message["content"]["name"] == "stdout":
                said.append(message["content"]["text"])

        client.execute_interactive(source, output_hook=heard, timeout=300)
        return "".join(said)

    try:
        yield run
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


if __name__ == "__main__":
    main()
