"""Class data: a file of Spark's classes, in the form that they have in Java's memory.

Spark starts sooner with it. Java does without a file that was made for another Java or another Spark, see
https://docs.oracle.com/en/java/javase/17/vm/class-data-sharing.html.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from nbkeras.errors import ClusterError
from nbkeras.spark import java

#: Where the launcher of Spark looks for options of its Java.
_OPTIONS = "SPARK_SUBMIT_OPTS"
_FLAG = "-XX:SharedArchiveFile"
#: Settings of the user by which the small session would be one of another Spark.
_ELSEWHERE = ("SPARK_REMOTE", "SPARK_CONNECT_MODE_ENABLED", "PYSPARK_SUBMIT_ARGS")
#: A session that loads what the first training does.
_SESSION = """
import pandas
from pyspark.sql import SparkSession, functions
builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
builder = builder.config("spark.ui.showConsoleProgress", "false")
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
    """Where the file for a Java and for this Spark is, or would be.

    Args:
        home: of Java.

    Example:
        >>> from nbkeras.spark import class_data, java
        >>> class_data.path(java.ensure()).suffix
        '.jsa'
    """
    spec = importlib.util.find_spec("pyspark")
    spark = Path(os.environ.get("SPARK_HOME") or Path(str(spec and spec.origin)).parent)
    # Java compares its classes and the jars with those that the file was made of.
    files = [home / "release", *sorted(spark.glob("jars/*.jar"))]
    found = [(one.name, one.stat()) for one in files if one.exists()]
    state = [(name, status.st_size, status.st_mtime_ns) for name, status in found]
    folder = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "nbkeras"
    return folder / f"{_short(home, spark)}-{_short(state)}.jsa"


def _short(*known: object) -> str:
    return hashlib.sha256(repr(known).encode()).hexdigest()[:12]


def make(place: Path, options: Sequence[str] = ()) -> None:
    """Make the file by a small Spark session, at the lowest priority, and remove those that it replaces.

    Args:
        place: of the file, which takes about 160 MB.
        options: of the Java that will use it.

    Raises:
        ClusterError: the folder cannot be written, Spark does not start, or Java has written no file.
    """
    java.ensure()
    made = place.with_name(f"{os.getpid()}.part")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        said = _run(made, options)
        if not made.exists():
            free = shutil.disk_usage(made.parent).free // 2**20
            raise ClusterError(
                f"Java has written no {place} ({said or 'it says nothing'}): it takes about 160 MB, and "
                f"{free} MB are free there; Spark works without it, and starts later"
            )
        with made.open("rb") as file:
            os.fsync(file)  # a Java that finds a part of it would end
        made.replace(place)
        _sweep(place)
    except OSError as error:
        raise ClusterError(
            f"{place} cannot be written ({error.strerror}): set XDG_CACHE_HOME to one that can be"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            made.unlink(missing_ok=True)


def _run(made: Path, options: Sequence[str]) -> str:
    """Run the small session, whose Java writes the file at its end, and return its last words."""
    dump = " ".join((*options, f'-XX:ArchiveClassesAtExit="{made}"', "-Xlog:disable"))
    environment = os.environ | {_OPTIONS: dump, "PYSPARK_PYTHON": sys.executable}
    for name in _ELSEWHERE:
        environment.pop(name, None)
    yielding = [nice, "-n", "19"] if (nice := shutil.which("nice")) else []
    # In a group of its own: Java would go on, and write, after this process was interrupted.
    child = subprocess.Popen(
        [*yielding, sys.executable, "-c", _SESSION],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        _, said = child.communicate()
    except BaseException:
        os.killpg(child.pid, signal.SIGKILL)
        child.communicate()
        raise
    return next(iter(said.strip().splitlines()[-1:]), "")


def _sweep(place: Path) -> None:
    """Remove the files of other versions of the same Java and Spark, and what others have left half made."""
    for other in place.parent.glob(f"{place.stem.partition('-')[0]}-*.jsa"):
        if other != place:
            other.unlink(missing_ok=True)
    for part in place.parent.glob("*.part"):
        if not Path(f"/proc/{part.stem}").exists():
            part.unlink(missing_ok=True)


def options(place: Path) -> list[str]:
    """The options by which Java uses a file, and says nothing where it cannot; none without the file."""
    return [f'{_FLAG}="{place}"', "-Xlog:cds*=off"] if place.exists() else []


@contextlib.contextmanager
def used() -> Iterator[Path | None]:
    """Let a Spark that starts within the block use its file, and give the file; None where there is none.

    The user's own options of Java come last. If they name such a file, that one is used.
    """
    home = os.environ.get("JAVA_HOME")  # :func:`java.ensure` has set it
    before = os.environ.get(_OPTIONS)
    place = path(Path(home)) if home and _FLAG not in (before or "") else None
    more = options(place) if place else []
    try:
        if more:
            os.environ[_OPTIONS] = " ".join(filter(None, (*more, before)))
        yield place if more else None
    finally:
        if more:
            os.environ.pop(_OPTIONS)
            if before is not None:
                os.environ[_OPTIONS] = before
