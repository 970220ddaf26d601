"""Exceptions on their way from a worker to one line in the notebook."""

from __future__ import annotations

import linecache
import os
import platform
import re
import traceback
from pathlib import Path
from typing import Any

from nbkeras import errors, gateway
from nbkeras.engine.job import Failure
from nbkeras.errors import ClusterError, NbkerasError, TrainingError, WorkerLost, words

#: A frame, and what else TensorFlow says of a graph before and after what went wrong.
_TRACED = re.compile(r'\s*File "(.+)", line (\d+), in (.+)')
_GRAPH = re.compile(r"Graph execution error:|Detected at node .* defined at|\s*\[\[\{\{node ")
#: Keras prints the user's own message in bold.
_COLOUR = re.compile("\x1b\\[[0-9;]*m")

#: What Spark says of tasks whose process has ended, or the one that had rows for them; the last two, where a
#: Python ended while it began, by signal 9 or 15 or by what Spark does not know yet, and where Spark spoke
#: with one that was gone.
_GONE = re.compile(
    r"ExecutorLostFailure|Python worker exited unexpectedly|Remote RPC client disassociated|worker lost|"
    r"FetchFailedException|"
    r"pyspark\.daemon's stdout(?:\.| and terminated with code: (?:137|143))|"
    r"java\.(?:io|net)\.\w+Exception.*\n(?:at (?:java|jdk|scala|sun).*\n)*"
    r"at org\.apache\.spark\.api\.python\."
)
#: How Spark says that its worker's Python is not the notebook's, or is not there.
_VERSIONS = re.compile(r"PYTHON_VERSION_MISMATCH.* version:? (.+?) than that in driver:? ([\d.]+\d)")
_PROGRAM = re.compile(r'Cannot run program ".*')
#: What a prediction's task raises when its trainer has failed.
_TRAINER = "nbkeras.engine.task.TrainerFailed: "
#: What Spark says in many lines.
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
#: Which ends in the loss of a worker too, that would only be lost again.
_FULL = "No space left on device"
#: How py4j says that there is no Java at the other end: alone, not within the words of a task.
_NO_JAVA = re.compile(
    r"(?:.*: )?(?:Answer from Java side is empty|\[Errno \d+\] Connection (?:refused|reset by peer))"
)

#: Of a traceback's frames the first and the last are shown; between them lies what calls itself for ever.
_FRAMES = 8

_PACKAGE = str(Path(__file__).parents[1]) + os.sep


def describe(error: BaseException) -> Failure:
    """An exception in words, with the frames that lie in the user's own code."""
    raised = [(one.filename, one.lineno or 0, one.name) for one in traceback.extract_tb(error.__traceback__)]
    # What fails while TensorFlow runs a graph has the frames that made the graph in its text.
    traced = [(one[1], int(one[2]), one[3]) for one in map(_TRACED.match, words(error).splitlines()) if one]
    frames = tuple(one for one in raised + traced if _is_users(one[0]))
    return Failure(type(error).__name__, _message(error), frames, isinstance(error, NbkerasError))


def _message(error: BaseException) -> str:
    said = words(error)
    lines = [line for line in said.splitlines() if not (_TRACED.match(line) or _GRAPH.match(line))]
    return " ".join(_COLOUR.sub("", " ".join(lines or [said])).split())[:600]


def _is_users(filename: str) -> bool:
    library = "site-packages" in filename or "dist-packages" in filename
    # By its folder: the user's own may be called nbkeras too.
    ours = filename.startswith(_PACKAGE) or "nbkeras.zip" in filename
    standard = filename.startswith(("<frozen", str(Path(os.__file__).parent)))
    return not (library or ours or standard)


def of_worker(failure: Failure, rank: int, host: str) -> NbkerasError:
    """The error that a worker reported, with the traceback of the user's own code."""
    kind = getattr(errors, failure.kind, None)
    if failure.own and isinstance(kind, type) and issubclass(kind, WorkerLost):
        return kind(f"worker {rank} on {host}: {failure.message}")
    if failure.own and isinstance(kind, type) and issubclass(kind, NbkerasError):
        return kind(failure.message)
    message = f"on worker {rank} ({host}): {failure.kind}: {failure.message}"
    if failure.kind == "ModuleNotFoundError":
        message += (
            ": give the workers the file with spark.sparkContext.addPyFile(…), or install the package there"
        )
    return TrainingError(message, _traceback(f"Traceback of worker {rank}", failure.frames))


def of_callback(error: BaseException) -> TrainingError:
    """The error of the user's own callback, with its frames."""
    failure = describe(error)
    message = f"in a callback: {failure.kind}: {failure.message}"
    return TrainingError(message, _traceback("Traceback of the callback", failure.frames))


def _traceback(title: str, frames: tuple[tuple[str, int, str], ...]) -> str:
    if not frames:
        return ""
    lines = [f"{title} (most recent call last):"]
    left_out = len(frames) - 2 * _FRAMES
    for index, (filename, number, function) in enumerate(frames):
        if _FRAMES <= index < _FRAMES + left_out:
            if index == _FRAMES:
                lines.append(f"  … {left_out} more calls …")
            continue
        lines.append(f'  File "{filename}", line {number}, in {function}')
        # A worker has no source of a notebook's cell; this process has.
        if source := linecache.getline(filename, number).strip():
            lines.append(f"    {source}")
    return "\n".join(lines)


def of_spark(error: BaseException, *, stopped: bool = False) -> NbkerasError:
    r"""A Spark exception in one line: its Python cause if there is one.

    Args:
        error: as it came.
        stopped: whether the session is known to have been stopped meanwhile.

    Example:
        >>> from nbkeras.engine.failures import of_spark
        >>> of_spark(Exception("PythonException: Traceback:\nnbkeras.errors.WorkerLost: it ended"))
        WorkerLost('it ended')
    """
    if stopped:
        return ClusterError(gateway.STOPPED)
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = "\n".join(lines)
    if (problem := _of_interpreter(text)) is not None:
        return problem
    if _FULL in text:
        return ClusterError(
            f"a disk is full{where(text)}: make room, or start Spark with spark.local.dir on a larger one"
        )
    if _NO_JAVA.fullmatch(text) or gateway.has_ended():
        return ClusterError(gateway.HAS_ENDED)
    if gone := _GONE.search(text):
        said = next(line for line in lines if gone[0].splitlines()[0] in line)
        return WorkerLost(f"a worker or its executor is gone: {said.lstrip(': ')[:300]}")
    return _of_lines(lines, text)


def _of_lines(lines: list[str], text: str) -> NbkerasError:
    """What ended a job whose workers are all there."""
    if raised := [line for line in lines if line.startswith(_TRAINER)]:
        return TrainingError(f"on a worker{where(text)}: {raised[-1].removeprefix(_TRAINER)[:500]}")
    if known := next((said for sign, said in _KNOWN.items() if sign in text), None):
        return ClusterError(known.format(where=where(text)))
    causes = [line for line in lines if _is_exception(line)]
    if packages := [line for line in causes if line.startswith(("ModuleNotFoundError", "ImportError"))]:
        return ClusterError(
            f"the Python of the executors lacks a package: {packages[-1][:300]}: install it there "
            "or set PYSPARK_PYTHON to a Python that has it, and start Spark anew"
        )
    if own := [line for line in lines if line.startswith("nbkeras.errors.")]:
        name, _, message = own[-1].removeprefix("nbkeras.errors.").partition(": ")
        kind: type[NbkerasError] = getattr(errors, name, NbkerasError)
        return kind(message)
    java = [line for line in lines if line.startswith((": ", "Caused by: "))]
    return ClusterError(
        f"Spark failed on the rows: {causes[-1][:500]}: mend what computes the columns of the DataFrame"
        if causes
        else f"Spark failed: {(java[-1:] or lines or ['no reason given'])[0].lstrip(': ')[:500]}"
    )


def _of_interpreter(text: str) -> ClusterError | None:
    """That Spark could not use the executors' Python; None where it could."""
    if versions := _VERSIONS.search(text):
        return ClusterError(
            f"Python {versions[1]} of the executors{where(text)} is not of the notebook's version: set "
            f"PYSPARK_PYTHON (or spark.pyspark.python) to a Python {versions[2]} there, and start Spark anew"
        )
    if missing := _PROGRAM.search(text):
        return ClusterError(
            f"the executors cannot start Python{where(text)}: {missing[0][:300]}: set PYSPARK_PYTHON "
            "(or spark.pyspark.python) to a Python that is there, and start Spark anew"
        )
    if "pyspark.daemon's stdout" in text and not _GONE.search(text):
        return ClusterError(
            f"the Python of the executors{where(text)} cannot run PySpark: set PYSPARK_PYTHON (or "
            f"spark.pyspark.python) to a Python {'.'.join(platform.python_version_tuple()[:2])} there, "
            "and start Spark anew"
        )
    return None


def where(text: str) -> str:
    """The host of the task that Spark tells of, as the end of a phrase; empty where it names none.

    Example:
        >>> where("Lost task 1.0 in stage 3.0 (TID 4) (10.0.0.7 executor 2): java.io.IOException")
        ' on 10.0.0.7'
    """
    found = re.search(r"\(TID \d+\) \((\S+) executor", text)
    return f" on {found[1]}" if found else ""


def _is_exception(line: str) -> bool:
    """Whether a line is the last one of a Python traceback."""
    name, colon, _ = line.partition(":")
    return bool(colon) and name.replace(".", "").isidentifier() and name.endswith(("Error", "Exception"))


def event(failure: Failure) -> dict[str, Any]:
    """A failure as plain data for JSON.

    Example:
        >>> from nbkeras.engine.failures import describe, event, from_event
        >>> from_event(event(describe(ValueError("no")))).message
        'no'
    """
    return {
        "kind": failure.kind,
        "message": failure.message,
        "frames": [list(frame) for frame in failure.frames],
        "own": failure.own,
    }


def from_event(data: dict[str, Any]) -> Failure:
    """A failure from what :func:`event` made of it."""
    frames = tuple((str(file), int(line), str(name)) for file, line, name in data["frames"])
    return Failure(str(data["kind"]), str(data["message"]), frames, bool(data["own"]))
