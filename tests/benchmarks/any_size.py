"""DataFrames, datasets of files and generators, the largest beyond the memory that a control group leaves.

Needs root, for the group. Spark, its JVM and Python workers, the server and the trainer
are all in it, and the pages of the files that they map count too: the kernel drops those.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import pyarrow.parquet as pq
import results
import task

sys.path.insert(0, str(Path(__file__).parents[1]))
from processes import trainers

LIMIT = 2_500 << 20
SIZES = (25_000, 250_000, 2_500_000)
SOURCES = ("DataFrame", "dataset", "generator")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--train", nargs=3, help=argparse.SUPPRESS)
    options.add_argument("--fed", choices=SOURCES, nargs="*", default=[*SOURCES])
    chosen = options.parse_args()
    if chosen.train:
        source, folder, size = chosen.train
        train(source, folder, int(size))
        return
    rows = []
    for size in SIZES:
        with task.parquet(size, files=max(4, size // 25_000)) as folder:
            rows += [measured(source, folder, size) for source in chosen.fed]
    results.keep("any_size", rows)


def measured(source: str, folder: str, size: int) -> dict[str, object]:
    """Train in a group of its own."""
    with group(LIMIT) as (join, most):
        command = [sys.executable, __file__, "--train", source, folder, str(size)]
        done = subprocess.run(command, preexec_fn=join, check=False, stdout=subprocess.PIPE, text=True)
        lines = [line for line in done.stdout.splitlines() if line.startswith("MEASURED")]
        if not lines:
            sys.exit(f"{size} rows of a {source} have failed, exit status {done.returncode}")
        told = json.loads(lines[0].removeprefix("MEASURED"))
        bytes_ = size * task.FEATURES * 4
        row = {
            "source": source,
            "rows": f"{size:,}",
            "data (MB)": round(bytes_ / 1e6),
            "to the group's limit": round(bytes_ / LIMIT, 2),
            "most in the group (MB)": round(most() / 1e6),
            "trainer's RssAnon (MB)": round(told["anonymous"] / 1e6),
            "rows/s while training": round(told["rate"]),
        }
    print(row, flush=True)
    return row


def batches(folder: str):
    """Batches of the files, read a piece at a time."""
    for file in sorted(Path(folder).glob("*.parquet")):
        for piece in pq.ParquetFile(file).iter_batches(task.BATCH):
            rows = piece["features"].flatten().to_numpy(zero_copy_only=False).reshape(-1, task.FEATURES)
            yield rows, piece["label"].to_numpy()


def of_files(folder: str):
    """A dataset that reads records of fixed length; they are written here."""
    import tensorflow as tf

    record = 4 * (task.FEATURES + 1)
    files = []
    for file in sorted(Path(folder).glob("*.parquet")):
        files.append(str(file.with_suffix(".raw")))
        table = pq.read_table(file)
        rows = table["features"].combine_chunks().flatten().to_numpy().reshape(-1, task.FEATURES)
        label = table["label"].to_numpy().astype("float32")[:, None]
        np.concatenate([rows, label], axis=1).tofile(files[-1])

    def decoded(bytes_):
        row = tf.ensure_shape(tf.io.decode_raw(bytes_, tf.float32), [task.FEATURES + 1])
        return row[:-1], row[-1]

    records = tf.data.FixedLengthRecordDataset(files, record)
    return records.shuffle(4096, seed=1).map(decoded, tf.data.AUTOTUNE).batch(task.BATCH).prefetch(2)


def train(source: str, folder: str, size: int) -> None:
    """The training inside the group."""
    import nbkeras

    spark = task.spark(memory="768m")
    data, how = {
        "DataFrame": lambda: ((spark.read.parquet(folder), "label"), {"batch_size": task.BATCH}),
        "dataset": lambda: ((of_files(folder),), {}),
        "generator": lambda: (
            (itertools.chain(batches(folder), batches(folder)),),
            {"steps_per_epoch": size // task.BATCH},
        ),
    }[source]()
    with Watch() as watch, task.phases() as moments:
        nbkeras.fit(task.model(), *data, epochs=2, workers=1, verbose=0, **how)
    rate = 2 * size / (moments["returning"] - moments["training"])
    print("MEASURED", json.dumps({"anonymous": watch.peak, "rate": rate}), flush=True)
    spark.stop()


@contextmanager
def group(limit: int):
    """A control group with so many bytes of memory and no swap: what joins it, and the most that it held."""
    unified = not Path("/sys/fs/cgroup/memory").is_dir()
    root = Path("/sys/fs/cgroup") if unified else Path("/sys/fs/cgroup/memory")
    place = root / f"nbkeras-{time.monotonic_ns()}"
    place.mkdir()
    try:
        (place / ("memory.max" if unified else "memory.limit_in_bytes")).write_text(str(limit))
        peak = place / ("memory.peak" if unified else "memory.max_usage_in_bytes")

        def join() -> None:
            (place / "cgroup.procs").write_text("0")

        yield join, lambda: int(peak.read_text())
    finally:
        for process in (place / "cgroup.procs").read_text().split():
            psutil.Process(int(process)).kill()
        while (place / "cgroup.procs").read_text():
            time.sleep(0.1)
        place.rmdir()


class Watch:
    """The most anonymous memory that a trainer had meanwhile."""

    def __enter__(self):
        self.peak = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._done.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._done.wait(0.1):
            for process in trainers():
                try:
                    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
                except OSError:
                    continue
                line = next((line for line in lines if line.startswith("RssAnon")), "RssAnon: 0 kB")
                self.peak = max(self.peak, int(line.split()[1]) * 1024)


if __name__ == "__main__":
    main()
