"""How the tests' Java runs: most live for seconds, on a machine of two cores.

As a program, it makes the archive of Spark's classes, before the first test.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

#: Without the second compiler, which pays after minutes, and without a thread of its own for the garbage.
SHORT_LIVED = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
_SPARK = str(importlib.util.find_spec("pyspark").origin)
#: The classes of this Spark as Java has them in memory; kept between runs.
ARCHIVE = (
    Path(__file__).parents[1] / "build" / "tests" / f"{hashlib.sha256(_SPARK.encode()).hexdigest()[:12]}.jsa"
)

_USE_SPARK = """
import pandas
from pyspark.sql import SparkSession, functions
builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
for what in ("bindAddress", "host"):
    builder = builder.config(f"spark.driver.{what}", "127.0.0.1")
spark = builder.getOrCreate()
df = spark.createDataFrame(pandas.DataFrame({"x": [[1.0], [2.0]], "y": [1, 2]}))
rows = df.withColumn("order", functions.monotonically_increasing_id()).repartition(2)
rows.mapInArrow(lambda batches: batches, rows.schema, barrier=True).collect()
df.cache().randomSplit([0.5, 0.5])[0].groupBy("y").count().collect()
spark.stop()
"""


def options() -> str:
    """Options for a Java that runs Spark."""
    # Where it does not fit, as with another Java, Java goes on without it and says nothing.
    archived = (f"-XX:SharedArchiveFile={ARCHIVE}", "-Xlog:disable") if ARCHIVE.exists() else ()
    return " ".join((*SHORT_LIVED, *archived))


def archive() -> None:
    """Make the archive, unless it is there: with it, Spark starts in half of the time."""
    from nbkeras.spark import java

    if ARCHIVE.exists():
        return
    java.ensure()
    ARCHIVE.parent.mkdir(parents=True, exist_ok=True)
    made = ARCHIVE.with_name(f"{os.getpid()}.jsa")
    dump = " ".join((*SHORT_LIVED, f"-XX:ArchiveClassesAtExit={made}", "-Xlog:disable"))
    environment = os.environ | {"SPARK_SUBMIT_OPTS": dump, "PYSPARK_PYTHON": sys.executable}
    subprocess.run([sys.executable, "-c", _USE_SPARK], env=environment, check=True, capture_output=True)
    if not made.exists():
        free = shutil.disk_usage(made.parent).free
        raise OSError(f"Java has written no {made}: {free // 2**20} MiB are free there, it takes about 150")
    made.rename(ARCHIVE)


if __name__ == "__main__":
    archive()
