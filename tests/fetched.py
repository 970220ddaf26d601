"""What tests need and their environment cannot hold: other versions of packages. Kept between runs.

As a program, it fetches all of them, and Zeppelin, beside the first tests.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

from zeppelin import assemble

FOLDER = Path(__file__).parents[1] / "build" / "tests"
#: The oldest that is supported, the last that may sleep over a request, and the first that does not.
IPYKERNELS = ("6.30.1", "7.3.0", "7.4.0")
OLD_KERAS = "3.10.0"
#: Those that Zeppelin runs; the first is the oldest that is supported, with the py4j that goes with it.
SPARKS = ("3.5.9", "4.0.5")
OLDEST_SPARK = (("pyspark", SPARKS[0]), ("py4j", "0.10.9.7"))
ALL = (
    *(("ipykernel", version) for version in IPYKERNELS),
    ("keras", OLD_KERAS),
    *OLDEST_SPARK,
    ("pyspark", SPARKS[1]),
)


def package(name: str, version: str) -> Path:
    """The folder with a version of a package, without what it depends on, to shadow the installed one."""
    folder = FOLDER / f"{name}-{version}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another process may be at it
        if not (folder / name).is_dir():
            install = [sys.executable, "-m", "uv", "pip", "install", "--no-deps", "--target", str(folder)]
            done = subprocess.run(
                [*install, f"{name}=={version}"], check=False, capture_output=True, text=True
            )
            if done.returncode:
                raise RuntimeError(f"{name} {version} cannot be had: {done.stderr.strip()[-1000:]}")
    return folder


def zeppelin() -> Path:
    """The home of a Zeppelin."""
    folder = FOLDER / "zeppelin"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return assemble.assemble(folder)


def oldest_spark() -> str:
    """The path by which a Python finds the oldest Spark in place of the installed one."""
    return os.pathsep.join(str(package(*one)) for one in OLDEST_SPARK)


if __name__ == "__main__":
    if sys.argv[1:] == ["oldest"]:
        print(oldest_spark())  # noqa: T201  # for who starts a Python with it
    else:
        for one in ALL:
            package(*one)
        zeppelin()
