"""Command: ``nbkeras run``, with progress on standard error, the result on standard output, and a status."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nbkeras.data import filesystems
from nbkeras.errors import Aborted, NbkerasError, TaskError, one_line
from nbkeras.notebook import connection, imports
from nbkeras.tasks.task import Task

if TYPE_CHECKING:
    from nbkeras.tasks.result import Result

#: Exit statuses, as shells and make know them.
DONE, FAILED, WRONG, INTERRUPTED = 0, 1, 2, 130
_OURS = str(Path(__file__).parents[1])


def run(file: str, changes: Sequence[str] = (), *, result: str | None = None, dry: bool = False) -> int:
    """Run a task, and return the exit status: 0 done, 1 failed, 2 the task is wrong, 130 interrupted.

    Args:
        file: of the task.
        changes: what to set otherwise, as ``key=value``.
        result: where its result is written to; ``-`` for standard output; None for where the task says, else
            standard output.
        dry: only say what a run would do.

    Example:
        >>> run("no-such.yaml")
        2
    """
    connection.connect()
    imports.without_words()
    if result is not None and result != "-":
        # Relative to this folder, as all that is typed, not to that of the task.
        place = result if filesystems.is_uri(result) else os.path.abspath(result)  # noqa: PTH100  # a link stays one
        changes = [*changes, f"out.result={json.dumps(place)}"]
    try:
        task = Task.read(file, *changes)
    except TaskError as error:
        return _wrong(error)
    if dry:
        return _explained(task)
    from nbkeras.tasks.result import Result

    outcome = Result(task.title, file)
    # The displays print; what is printed goes beside the result.
    with contextlib.redirect_stdout(sys.stderr):
        status = _status(task, outcome)
    if result == "-" or task.out.result is None:
        print(outcome.json())
    return status


def _explained(task: Task) -> int:
    with contextlib.redirect_stdout(sys.stderr):
        try:
            words = task.explain()
        except TaskError as error:
            return _wrong(error)
        except KeyboardInterrupt:
            return INTERRUPTED
        except (Exception, SystemExit) as error:  # noqa: BLE001  # the user's code may raise anything
            return _failed(error)
    print(words)
    return DONE


def _status(task: Task, outcome: Result) -> int:
    from nbkeras.tasks import running  # imports Keras

    try:
        running.perform(task, outcome)
    except TaskError as error:
        return _wrong(error)
    except (KeyboardInterrupt, Aborted):
        _say("nbkeras: interrupted")
        return INTERRUPTED
    except (Exception, SystemExit) as error:  # noqa: BLE001  # the user's code may raise anything
        return _failed(error)
    return DONE if outcome.status == "done" else INTERRUPTED


def _wrong(error: TaskError) -> int:
    _say(*error.faults)
    return WRONG


def _failed(error: BaseException) -> int:
    """Say why in one line, below the traceback if the user's own code has raised it."""
    if isinstance(error, NbkerasError):
        _say(*getattr(error, "worker_traceback", "").splitlines(), f"nbkeras: {error}")
        return FAILED
    own = [
        frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(_OURS)
    ]
    _say("".join(traceback.format_list(own)).rstrip("\n"), f"nbkeras: {one_line(error)}")
    return FAILED


def _say(*lines: str) -> None:
    print(*filter(None, lines), sep="\n", file=sys.stderr, flush=True)
