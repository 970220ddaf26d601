"""Exceptions on their way from a worker to one line in the notebook."""

from __future__ import annotations

import linecache
import os
import re
import socket
import traceback
from pathlib import Path

from nbkeras import errors
from nbkeras.errors import NbkerasError, TrainingError, WorkerLost, words
from nbkeras.job.job import Failure
from nbkeras.spark import exceptions
from nbkeras.transport import messages

#: A frame, and what else TensorFlow says of a graph before and after what went wrong.
_TRACED = re.compile(r'\s*File "(.+)", line (\d+), in (.+)')
_GRAPH = re.compile(r"Graph execution error:|Detected at node .* defined at|\s*\[\[\{\{node ")
#: Keras prints the user's own message in bold.
_COLOUR = re.compile("\x1b\\[[0-9;]*m")

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
    # What the user's own code writes may lie anywhere.
    if not failure.frames and (full := exceptions.disk_full(failure.message, f" on {host}")) is not None:
        return full
    message = f"on worker {rank} ({host}): {failure.kind}: {failure.message}"
    if failure.kind == "ModuleNotFoundError":
        message += (
            ": give the workers the file with spark.sparkContext.addPyFile(…), or install the package there"
        )
    return TrainingError(message, _traceback(f"Traceback of worker {rank}", failure.frames))


def of_notebook(error: BaseException, what: str = "callback") -> TrainingError:
    """The error of what the user has written and the notebook runs, such as a callback, with its frames."""
    failure = describe(error)
    message = f"in a {what}: {failure.kind}: {failure.message}"
    return TrainingError(message, _traceback(f"Traceback of the {what}", failure.frames))


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


def event(failure: Failure, rank: int) -> messages.Failure:
    """A failure of a worker on this machine as an event.

    Example:
        >>> from nbkeras.job.failures import describe, event, from_event
        >>> from_event(event(describe(ValueError("no")), rank=0)).message
        'no'
    """
    return messages.Failure(
        type="failure",
        rank=rank,
        host=socket.gethostname(),
        kind=failure.kind,
        message=failure.message,
        frames=[list(frame) for frame in failure.frames],
        own=failure.own,
    )


def from_event(data: messages.Failure) -> Failure:
    """A failure from what :func:`event` made of it."""
    frames = tuple((str(file), int(line), str(name)) for file, line, name in data["frames"])
    return Failure(data["kind"], data["message"], frames, data["own"])
