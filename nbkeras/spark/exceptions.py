"""Translates exceptions of Spark, Java and py4j into one line: what has happened, and what to do."""

from __future__ import annotations

import platform
import re

from nbkeras import errors
from nbkeras.errors import ClusterError, DataError, NbkerasError, TrainingError, WorkerLost
from nbkeras.spark import gateway

#: What Spark reports when a task's process has ended, or the one that had its rows. The last two lines: a
#: Python that ended while it started, by signal 9 or 15 or by an unknown cause, and a Python that was gone
#: when Spark communicated with it.
_GONE = re.compile(
    r"ExecutorLostFailure|Python worker exited unexpectedly|Remote RPC client disassociated|worker lost|"
    r"FetchFailedException|"
    r"pyspark\.daemon's stdout(?:\.| and terminated with code: (?:137|143))|"
    r"java\.(?:io|net)\.\w+Exception.*\n(?:at (?:java|jdk|scala|sun).*\n)*"
    r"at org\.apache\.spark\.api\.python\."
)
#: What Spark reports when the executors' Python has another version, or is missing.
_VERSIONS = re.compile(r"PYTHON_VERSION_MISMATCH.* version:? (.+?) than that in driver:? ([\d.]+\d)")
_PROGRAM = re.compile(r'Cannot run program ".*')
#: What Spark reports when a file has another type than the DataFrame.
_TYPES = re.compile(r"column: \[(.+?)\], physicalType: (\w+), logicalType: (\w+)")
#: Exception of a prediction's task whose trainer has failed.
_TRAINER = "nbkeras.worker.process.TrainerFailed: "
#: Errors that Spark reports in many lines.
_UNANSWERED = "the Spark Connect server does not answer any more: see whether it runs, and make a new session"
_KNOWN = {
    "spark.driver.maxResultSize": (
        "the weights are more than Spark's driver takes in as results: start Spark with "
        "spark.driver.maxResultSize=0, which sets no limit, and enough spark.driver.memory"
    ),
    "SparkContext was shut down": gateway.STOPPED,
    "StatusCode.UNAVAILABLE": _UNANSWERED,
    "RPC on closed channel": _UNANSWERED,
    "UNABLE_TO_ACQUIRE_MEMORY": (
        "Spark has no memory left for the rows{where}: start it with more spark.executor.memory (on one "
        "machine spark.driver.memory), or repartition the DataFrame into smaller parts"
    ),
    "java.lang.OutOfMemoryError": (
        "Java has no memory left{where}: start Spark with more spark.driver.memory, and on a cluster more "
        "spark.executor.memory"
    ),
}
#: This error also loses a worker, which would only be lost again.
_FULL = "No space left on device"
#: What py4j reports when Java is gone: as the whole message, not within the message of a task.
_NO_JAVA = re.compile(
    r"(?:.*: )?(?:Answer from Java side is empty|\[Errno \d+\] Connection (?:refused|reset by peer))"
)


def translate(error: BaseException, *, stopped: bool = False) -> NbkerasError:
    r"""Translate a Spark exception into one line: its Python cause if it has one.

    Args:
        error: the exception.
        stopped: whether the session is known to be stopped.

    Example:
        >>> from nbkeras.spark.exceptions import translate
        >>> translate(Exception("PythonException: Traceback:\nnbkeras.errors.WorkerLost: it ended"))
        WorkerLost('it ended')
    """
    if stopped:
        return ClusterError(gateway.STOPPED)
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = "\n".join(lines)
    if (problem := _of_interpreter(text)) is not None:
        return problem
    if (full := disk_full(text, where(text))) is not None:
        return full
    if _NO_JAVA.fullmatch(text) or gateway.has_ended():
        return ClusterError(gateway.HAS_ENDED)
    if gone := _GONE.search(text):
        said = next(line for line in lines if gone[0].splitlines()[0] in line)
        return WorkerLost(f"a worker or its executor is gone: {said.lstrip(': ')[:300]}")
    return _of_lines(lines, text)


def _of_lines(lines: list[str], text: str) -> NbkerasError:
    """Translate the error of a job that has not lost a worker."""
    if raised := [line for line in lines if line.startswith(_TRAINER)]:
        return TrainingError(f"on a worker{where(text)}: {raised[-1].removeprefix(_TRAINER)[:500]}")
    if known := next((said for sign, said in _KNOWN.items() if sign in text), None):
        return ClusterError(known.format(where=where(text)))
    if types := _TYPES.search(text):
        return DataError(
            f"a file holds column '{types[1]}' as {types[2]}, and the DataFrame has it as {types[3]}: read "
            "files of one schema, with that schema"
        )
    causes = [line for line in lines if _is_exception(line)]
    if packages := [line for line in causes if line.startswith(("ModuleNotFoundError", "ImportError"))]:
        return ClusterError(
            f"the Python of the executors lacks a package ({packages[-1][:300]}): install it there "
            "or set PYSPARK_PYTHON to a Python that has it, and restart Spark"
        )
    if own := [line for line in lines if line.startswith("nbkeras.errors.")]:
        name, _, message = own[-1].removeprefix("nbkeras.errors.").partition(": ")
        kind: type[NbkerasError] = getattr(errors, name, NbkerasError)
        return kind(message)
    java = [line for line in lines if line.startswith((": ", "Caused by: "))]
    return ClusterError(
        f"Spark failed on the rows: {causes[-1][:500]}: fix what computes the columns of the DataFrame"
        if causes
        else f"Spark failed: {(java[-1:] or lines or ['no reason given'])[0].lstrip(': ')[:500]}"
    )


def _of_interpreter(text: str) -> ClusterError | None:
    """Return the error of a Spark that cannot use the executors' Python; None for other errors."""
    if versions := _VERSIONS.search(text):
        return ClusterError(
            f"Python {versions[1]} of the executors{where(text)} is not of the notebook's version: set "
            f"PYSPARK_PYTHON (or spark.pyspark.python) to a Python {versions[2]} there, and restart Spark"
        )
    if missing := _PROGRAM.search(text):
        return ClusterError(
            f"the executors cannot start Python{where(text)} ({missing[0][:300]}): set PYSPARK_PYTHON "
            "(or spark.pyspark.python) to a Python that is there, and restart Spark"
        )
    if "pyspark.daemon's stdout" in text and not _GONE.search(text):
        return ClusterError(
            f"the Python of the executors{where(text)} cannot run PySpark: set PYSPARK_PYTHON (or "
            f"spark.pyspark.python) to a Python {'.'.join(platform.python_version_tuple()[:2])} there, "
            "and restart Spark"
        )
    return None


def disk_full(text: str, place: str) -> ClusterError | None:
    """Return the error of a full disk; None if a text does not report one.

    Args:
        text: of an exception.
        place: of the disk, as the end of a phrase.

    Example:
        >>> str(disk_full("OSError: [Errno 28] No space left on device", " on 10.0.0.7"))
        'a disk is full on 10.0.0.7: make room, or start Spark with spark.local.dir on a larger one'
    """
    if _FULL not in text:
        return None
    return ClusterError(
        f"a disk is full{place}: make room, or start Spark with spark.local.dir on a larger one"
    )


def where(text: str) -> str:
    """Return the host that Spark names for a task, as the end of a phrase; empty if it names none.

    Example:
        >>> where("Lost task 1.0 in stage 3.0 (TID 4) (10.0.0.7 executor 2): java.io.IOException")
        ' on 10.0.0.7'
    """
    found = re.search(r"\(TID \d+\) \((\S+) executor", text)
    return f" on {found[1]}" if found else ""


def _is_exception(line: str) -> bool:
    """Whether a line is the last line of a Python traceback."""
    name, colon, _ = line.partition(":")
    return bool(colon) and name.replace(".", "").isidentifier() and name.endswith(("Error", "Exception"))
