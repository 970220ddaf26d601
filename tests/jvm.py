"""How the tests' Java runs: most live for seconds, on a machine of two cores.

As a program, it makes the file of Spark's classes, before the first test.
"""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

from nbkeras.spark import class_data

#: Without the second compiler, which pays after minutes, and without a thread of its own for the garbage.
SHORT_LIVED = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
_SPARK = str(importlib.util.find_spec("pyspark").origin)
#: The classes of this Spark as Java has them in memory; kept between runs.
ARCHIVE = (
    Path(__file__).parents[1] / "build" / "tests" / f"{hashlib.sha256(_SPARK.encode()).hexdigest()[:12]}.jsa"
)


def options() -> str:
    """Options for a Java that runs Spark."""
    return " ".join((*SHORT_LIVED, *class_data.options(ARCHIVE)))


if __name__ == "__main__" and not ARCHIVE.exists():
    class_data.make(ARCHIVE, SHORT_LIVED)
