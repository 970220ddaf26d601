"""What was measured: kept as JSON, shown as one table and one plot."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).with_name("results")


def keep(name: str, rows: list[dict[str, Any]]) -> None:
    """Keep the rows of one benchmark, in place of what it measured before."""
    FOLDER.mkdir(exist_ok=True)
    commit = subprocess.check_output(["git", "rev-parse", "--short", "HEAD"], text=True, cwd=FOLDER).strip()
    measured = {"commit": commit, "cores": os.cpu_count(), "python": platform.python_version(), "rows": rows}
    (FOLDER / f"{name}.json").write_text(json.dumps(measured, indent=1) + "\n")


def kept() -> dict[str, dict[str, Any]]:
    """All that was measured, by benchmark."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}


def main() -> None:
    """Write the table and the plot."""
    import matplotlib as mpl

    mpl.use("Agg")
    measured = kept()
    lines = ["# What was measured", "", "![growth](growth.png)", ""]
    for name, one in measured.items():
        lines += [f"## `python tests/benchmarks/{name}.py`", ""]
        lines += [f"At commit {one['commit']}, {one['cores']} cores, Python {one['python']}.", ""]
        columns = list(dict.fromkeys(key for row in one["rows"] for key in row))
        lines += ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
        lines += ["| " + " | ".join(str(row.get(key, "")) for key in columns) + " |" for row in one["rows"]]
        lines.append("")
    (FOLDER / "README.md").write_text("\n".join(lines))
    _plot(measured)


def _plot(measured: dict[str, dict[str, Any]]) -> None:
    import matplotlib.pyplot as plt
    from matplotlib.ticker import EngFormatter

    rows = measured.get("growth", {}).get("rows", [])
    kinds = list(dict.fromkeys(row["what grows"] for row in rows))
    if not kinds:
        return
    figure, axes = plt.subplots(1, len(kinds), figsize=(3.6 * len(kinds), 3.2), layout="constrained")
    for kind, ax in zip(kinds, axes, strict=True):
        points = [row for row in rows if row["what grows"] == kind]
        for series in ("until training (s)", "training (s)", "return (s)"):
            ax.plot([row["size"] for row in points], [row[series] for row in points], "o-", label=series)
        ax.set(xscale="log", yscale="log", xlabel=kind)
        sizes = [row["size"] for row in points]
        ax.set_xticks(sizes, [EngFormatter(sep="")(size) for size in sizes])
        ax.minorticks_off()
        ax.grid(alpha=0.3)
    axes[0].legend(fontsize=8)
    figure.savefig(FOLDER / "growth.png", dpi=110)


if __name__ == "__main__":
    main()
