"""Exceptions on their way from a worker to one line in the notebook."""

from __future__ import annotations

import linecache
import os
import re
import traceback
from pathlib import Path
from typing import Any

from nbkeras import errors
from nbkeras.engine.job import Failure
from nbkeras.errors import ClusterError, NbkerasError, TrainingError

#: A frame, and what else TensorFlow says of a graph before and after what went wrong.
_TRACED = re.compile(r'\s*File "(.+)", line (\d+), in (.+)')
_GRAPH = re.compile(r"Graph execution error:|Detected at node .* defined at|\s*\[\[\{\{node ")
#: Keras prints the user's own message in bold.
_COLOUR = re.compile("\x1b\\[[0-9;]*m")

_PACKAGE = str(Path(__file__).parents[1]) + os.sep


def describe(error: BaseException) -> Failure:
    """An exception in words, with the frames that lie in the user's own code."""
    raised = [(one.filename, one.lineno or 0, one.name) for one in traceback.extract_tb(error.__traceback__)]
    # What fails while TensorFlow runs a graph has the frames that made the graph in its text.
    traced = [(one[1], int(one[2]), one[3]) for one in map(_TRACED.match, str(error).splitlines()) if one]
    frames = tuple(one for one in raised + traced if _is_users(one[0]))
    return Failure(type(error).__name__, _message(error), frames, isinstance(error, NbkerasError))


def _message(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if not (_TRACED.match(line) or _GRAPH.match(line))]
    return " ".join(_COLOUR.sub("", " ".join(lines or [str(error)])).split())[:600]


def _is_users(filename: str) -> bool:
    library = "site-packages" in filename or "dist-packages" in filename
    # By its folder: the user's own may be called nbkeras too.
    ours = filename.startswith(_PACKAGE) or "nbkeras.zip" in filename
    standard = filename.startswith(("<frozen", str(Path(os.__file__).parent)))
    return not (library or ours or standard)


def of_worker(failure: Failure, rank: int, host: str) -> NbkerasError:
    """The error that a worker reported, with the traceback of the user's own code."""
    kind = getattr(errors, failure.kind, None)
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
    for filename, number, function in frames:
        lines.append(f'  File "{filename}", line {number}, in {function}')
        # A worker has no source of a notebook's cell; this process has.
        if source := linecache.getline(filename, number).strip():
            lines.append(f"    {source}")
    return "\n".join(lines)


def of_spark(error: BaseException) -> NbkerasError:
    """A Spark exception in one line: its Python cause if there is one."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = "\n".join(lines)
    if "PYTHON_VERSION_MISMATCH" in text:
        return ClusterError(
            "the executors run another Python version than this notebook: set PYSPARK_PYTHON "
            f"(or spark.pyspark.python) to the same version. Spark says: {lines[0][:300]}"
        )
    if missing := [line for line in lines if "Cannot run program" in line]:
        return ClusterError(f"the executors cannot start Python: {missing[0][:300]}: check PYSPARK_PYTHON")
    causes = [line for line in lines if _is_exception(line)]
    if packages := [line for line in causes if line.startswith(("ModuleNotFoundError", "ImportError"))]:
        return ClusterError(
            f"the Python of the executors lacks a package: {packages[-1][:300]}: install it there "
            "or set PYSPARK_PYTHON to a Python that has it, and start Spark anew"
        )
    if own := [line for line in causes if line.startswith("nbkeras.errors.")]:
        name, _, message = own[-1].removeprefix("nbkeras.errors.").partition(": ")
        kind: type[NbkerasError] = getattr(errors, name, NbkerasError)
        return kind(message)
    if causes:
        return ClusterError(
            f"Spark failed on the rows: {causes[-1][:500]}: mend what computes the columns of the DataFrame"
        )
    java = [line for line in lines if line.startswith((": ", "Caused by: "))]
    return ClusterError(f"Spark failed: {(java[-1:] or lines or ['no reason given'])[0].lstrip(': ')[:500]}")


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
