"""Class data: the classes of Spark as Java holds them in memory, in a file: with it Java starts far sooner.

See https://docs.oracle.com/en/java/javase/17/vm/class-data-sharing.html. Java itself looks whether the file
fits, and does without where it does not.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from nbkeras.errors import ClusterError
from nbkeras.spark import java

#: Where the launcher of Spark looks for options of its Java.
_OPTIONS = "SPARK_SUBMIT_OPTS"
_FLAG = "-XX:SharedArchiveFile"
#: A session that loads what the first training does.
_SESSION = """
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


def path(home: Path) -> Path:
    """Where the file of a Java and of this Spark is, or would be.

    Args:
        home: of Java.

    Example:
        >>> from nbkeras.spark import class_data, java
        >>> class_data.path(java.ensure()).suffix
        '.jsa'
    """
    release = home / "release"
    spark = importlib.util.find_spec("pyspark")
    known = (home, release.read_bytes() if release.exists() else b"", spark and spark.origin)
    name = hashlib.sha256(repr(known).encode()).hexdigest()[:12]
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "nbkeras" / f"{name}.jsa"


def make(place: Path, options: Sequence[str] = ()) -> None:
    """Make the file by a small Spark session of its own, which gives way to all else on this machine.

    Args:
        place: of the file, which takes about 160 MB.
        options: of the Java that will use it.

    Raises:
        ClusterError: Spark does not start, or Java has written nothing.
    """
    java.ensure()
    place.parent.mkdir(parents=True, exist_ok=True)
    made = place.with_name(f"{os.getpid()}.jsa")
    dump = " ".join((*options, f'-XX:ArchiveClassesAtExit="{made}"', "-Xlog:disable"))
    environment = os.environ | {_OPTIONS: dump, "PYSPARK_PYTHON": sys.executable}
    yielding = [nice, "-n", "19"] if (nice := shutil.which("nice")) else []
    try:
        done = subprocess.run(
            [*yielding, sys.executable, "-c", _SESSION],
            env=environment,
            check=False,
            capture_output=True,
            text=True,
        )
        if not made.exists():
            free = shutil.disk_usage(made.parent).free // 2**20
            said = " ".join(done.stderr.split())[-300:]
            raise ClusterError(
                f"Java has written no {place} ({said or 'it says nothing'}): {free} MB are free there, it "
                "takes about 160 MB; Spark works without it, and starts more slowly"
            )
        made.replace(place)
    finally:
        made.unlink(missing_ok=True)


def options(place: Path) -> list[str]:
    """The options of a Java that uses a file; none where the file is not there."""
    # Where the file does not fit, Java would warn, and go on without.
    return [f'{_FLAG}="{place}"', "-Xlog:disable", "-Xlog:all=error:stderr"] if place.exists() else []


@contextlib.contextmanager
def used() -> Iterator[None]:
    """Have a Spark that starts within the block use the file, if it is there and no other is named."""
    home = os.environ.get("JAVA_HOME")  # :func:`java.ensure` has set it
    before = os.environ.get(_OPTIONS)
    more = options(path(Path(home))) if home and _FLAG not in (before or "") else []
    try:
        if more:
            os.environ[_OPTIONS] = " ".join(filter(None, (before, *more)))
        yield
    finally:
        if more:
            os.environ.pop(_OPTIONS)
            if before is not None:
                os.environ[_OPTIONS] = before
