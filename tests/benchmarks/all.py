"""Every benchmark after the other, then the table and the plot."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

BENCHMARKS = (
    "whole_fit",
    "peers",
    "scaling",
    "growth",
    "feed",
    "step",
    "collective",
    "sync_every",
    "draws",
    "datasets",
    "tables",
    "text",
    "images",
    "streams",
    "predict",
    "small_predict",
    "any_size",
    "first_minute",
    "chart_cost",
    "builder",
    "leaks",
    "leaks_of_keras",
    "results",
)


def main() -> None:
    for name in BENCHMARKS:
        print(f"== {name}", flush=True)
        subprocess.run([sys.executable, Path(__file__).with_name(f"{name}.py")], check=True)


if __name__ == "__main__":
    main()
