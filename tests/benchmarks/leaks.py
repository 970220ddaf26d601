"""What each of many trainings in a row leaves: memory, descriptors, threads and files, in every process."""

from __future__ import annotations

import argparse
import contextlib
import gc
import os
import sys
import tempfile
import threading
from pathlib import Path

import keras
import numpy as np
import psutil
import results
import task

import nbkeras

sys.path.append(str(Path(__file__).parents[1]))
import processes

#: Trainings before the first look: what is made once is there by then, and so are the weights that
#: the newest hundred runs keep, each in a file of its own.
WARM = 120


def net() -> keras.Model:
    """What is trained."""
    model = keras.Sequential([keras.Input((16,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(1)])
    model.compile("adam", "mse", metrics=["mae"])
    return model


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--trainings", type=int, default=200)
    trainings = options.parse_args().trainings
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SPARK_LOCAL_DIRS"] = os.environ["TMPDIR"] = tempfile.tempdir = folder
        spark = task.spark()
        x = np.random.default_rng(0).random((256, 16), dtype=np.float32)

        def train() -> None:
            model = net()
            fit = {"epochs": 2, "batch_size": 64, "workers": 2, "verbose": 0}
            nbkeras.fit(model, x, x.sum(axis=1), validation_split=0.25, spark=spark, **fit)

        looks = []
        for number in range(WARM + trainings):
            if number == WARM:
                looks.append(look(spark, folder))
            train()
            if (number + 1) % 20 == 0:
                print(f"{number + 1} trainings", look(spark, folder), flush=True)
        looks.append(look(spark, folder))
        spark.stop()
    first, last = looks
    results.keep(
        "leaks",
        [
            {
                "what": name,
                f"after {WARM} trainings": first[name],
                f"after {WARM + trainings}": last[name],
                "a training": round((last[name] - first[name]) / trainings, 3),
            }
            for name in first
        ],
    )


def memory() -> float:
    """Megabytes of this process, once what can be collected is."""
    keras.backend.clear_session()
    gc.collect()
    return float(psutil.Process().memory_full_info().uss / 2**20)


def look(spark, folder: str) -> dict[str, float]:
    """What there is now; memory is what a process shares with nobody."""
    notebook = memory()
    java = spark._jvm.java.lang  # there is no public way
    java.System.gc()
    heap = java.Runtime.getRuntime()
    process = psutil.Process(int(java.ProcessHandle.current().pid()))
    (server,) = processes.servers()
    ours, runs = psutil.Process(), len(nbkeras.runs)
    sizes = []
    for one in Path(folder).rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # Spark takes some away just now
            sizes += [one.stat().st_size] if one.is_file() else []
    return {
        "notebook (MB)": round(notebook, 1),
        "warm server (MB)": round(server.memory_full_info().uss / 2**20, 1),
        "Java's heap (MB)": round((heap.totalMemory() - heap.freeMemory()) / 2**20, 1),
        "notebook's descriptors": ours.num_fds(),
        "warm server's descriptors": server.num_fds(),
        "notebook's threads": threading.active_count(),
        "Java's threads": process.num_threads(),
        "processes": len(processes.family(ours.pid)) + len(processes.family(server.pid)),
        "files": len(sizes),
        "files (MB)": round(sum(sizes) / 2**20, 2),
        "runs in the record": runs,
    }


if __name__ == "__main__":
    main()
