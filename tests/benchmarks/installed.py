"""Megabytes on disk of each package of an environment, with what was compiled of it, the largest first."""

from __future__ import annotations

import sys
from importlib.metadata import Distribution, distributions
from pathlib import Path

SHOWN = 20


def main() -> None:
    """Print them for the environment whose folder is given."""
    folders = [str(one) for one in Path(sys.argv[1]).glob("lib/python*/site-packages")]
    sizes = {f"{one.name} {one.version}": megabytes(one) for one in distributions(path=folders)}
    largest = sorted(sizes, key=sizes.__getitem__, reverse=True)
    for name in largest[:SHOWN]:
        print(f"{sizes[name]:8.0f}  {name}")
    print(f"{sum(sizes[name] for name in largest[SHOWN:]):8.0f}  {len(largest[SHOWN:])} others")
    print(f"{sum(sizes.values()):8.0f}  together")


def megabytes(one: Distribution) -> float:
    """What the files of a package take on the disk."""
    files = [Path(str(file.locate())) for file in one.files or ()]
    return sum(file.stat().st_blocks * 512 for file in files if file.exists()) / 1e6


if __name__ == "__main__":
    main()
