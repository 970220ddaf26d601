"""The same task by plain Keras, by elephas, by nbkeras, and by nbkeras as it was before.

elephas 7.3.0 gets a virtual environment of its own, which borrows all other
packages of this one: its own pins are older than Keras 3.15 and Spark 4.3.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import sysconfig
import tempfile
from contextlib import ExitStack
from pathlib import Path

import results
import task

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
#: elephas alone: what it needs else is there, or borrowed.
PEER = ["elephas==7.3.0"]
NEEDS = ["flask"]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--rows", type=int, default=60_000)
    options.add_argument("--previous", metavar="COMMIT", help="an older nbkeras to compare with")
    chosen = options.parse_args()
    with ExitStack() as stack:
        folder = stack.enter_context(task.parquet(chosen.rows))
        place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        python = elephas(place / "elephas")
        ways = {
            "plain Keras": (sys.executable, ROOT, "plain", 1),
            "nbkeras, 1 worker": (sys.executable, ROOT, "ours", 1),
            "nbkeras, 2 workers": (sys.executable, ROOT, "ours", 2),
            "elephas 7.3.0, synchronous, 2 workers": (python, ROOT, "elephas", 2),
        }
        if chosen.previous:
            before = place / "before"
            worktree(chosen.previous, before)
            stack.callback(subprocess.run, ["git", "worktree", "remove", "--force", before], check=True)
            ways[f"nbkeras at {chosen.previous}, 1 worker"] = (sys.executable, before, "ours", 1)
        found: dict[str, list[dict[str, float]]] = {name: [] for name in ways}
        for _ in range(chosen.rounds):
            for name, way in ways.items():
                found[name].append(measured(*way, folder))
                print(f"{name}: {found[name][-1]}", flush=True)
    results.keep("peers", [row(name, each, found["plain Keras"]) for name, each in found.items()])


def row(name: str, each: list[dict[str, float]], plain: list[dict[str, float]]) -> dict[str, object]:
    ratios = [one["seconds"] / other["seconds"] for one, other in zip(each, plain, strict=True)]
    return {
        "way": name,
        "whole fit (s), median": round(statistics.median(one["seconds"] for one in each), 2),
        "to plain Keras": round(statistics.median(ratios), 2),
        "from": round(min(ratios), 2),
        "to": round(max(ratios), 2),
        "loss afterwards": round(each[0]["loss"], 6),
    }


def measured(python, root, way: str, workers: int, folder: str) -> dict[str, float]:
    """What a process of its own measures."""
    words = [python, HERE / "contestant.py", way, folder, str(task.EPOCHS), str(workers)]
    environment = {**os.environ, "PYTHONPATH": str(root), "PYSPARK_PYTHON": str(python)}
    # Spark's workers find first what lies in their working directory.
    done = subprocess.run(words, cwd=root, env=environment, check=False, capture_output=True, text=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith("MEASURED")]
    if not lines:
        sys.exit(f"{way} has failed: {done.stderr[-3000:]}")
    return dict(json.loads(lines[0].removeprefix("MEASURED")))


def elephas(folder: Path) -> Path:
    """The Python of a new environment with elephas, and with all that this one has."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    ours = Path(sysconfig.get_path("purelib", "venv", {"base": str(folder)})) / "borrowed.pth"
    ours.write_text(sysconfig.get_path("purelib") + "\n")
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*install, "--no-deps", *PEER], check=True, stderr=subprocess.DEVNULL)
    subprocess.run([*install, *NEEDS], check=True)
    return python


def worktree(commit: str, folder: Path) -> None:
    subprocess.run(["git", "worktree", "add", "--quiet", "--detach", folder, commit], check=True, cwd=ROOT)


if __name__ == "__main__":
    main()
