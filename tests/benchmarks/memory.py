"""The trainer's own memory (RssAnon) at two sizes of the data."""

from __future__ import annotations

import threading
from pathlib import Path

import psutil
import task

import nbkeras


def main() -> None:
    spark = task.spark()
    peaks = {}
    for rows in (60_000, 600_000):
        with task.parquet(rows, files=rows // 15_000) as folder:
            df = spark.read.parquet(folder)
            with Watch() as watch:
                nbkeras.fit(task.model(), df, "label", batch_size=task.BATCH, epochs=2, workers=1, verbose=0)
            peaks[rows] = watch.peak
            size = rows * task.FEATURES * 4 / 1e6
            print(f"{rows:>9,} rows ({size:,.0f} MB): RssAnon {watch.peak / 1e6:.0f} MB")
    small, large = peaks.values()
    print(f"RssAnon of the trainer, ten times the rows: {large / small:.2f} times")
    spark.stop()


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
                    status = Path(f"/proc/{process.pid}/status").read_text()
                except OSError:
                    continue
                line = next(
                    (line for line in status.splitlines() if line.startswith("RssAnon")), "RssAnon: 0 kB"
                )
                self.peak = max(self.peak, int(line.split()[1]) * 1024)


def trainers() -> list[psutil.Process]:
    """Children of the warm server."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if "nbkeras.engine.warm" in (process.info["cmdline"] or []):
            try:
                found += process.children()
            except psutil.NoSuchProcess:
                continue
    return found


if __name__ == "__main__":
    main()
