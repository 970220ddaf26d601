"""Outputs: what a task writes, and that it finds the room for it before anything is trained."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbkeras.data import filesystems
from nbkeras.driver import inference
from nbkeras.errors import NbkerasError, TaskError, one_line
from nbkeras.job.store import Store
from nbkeras.spark import exceptions
from nbkeras.tasks.declared import Declared
from nbkeras.tasks.parts import Predictions, format_of
from nbkeras.tasks.places import Place

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from nbkeras.notebook.reports.report import Report

#: Formats of Spark whose columns hold no arrays.
_FLAT = {"csv", "text"}


def named(task: Declared) -> Iterator[tuple[Place, str, str]]:
    """Name what a task writes.

    Args:
        task: the task.

    Yields:
        The place of its path, the path or the table, and what happens to what is there.
    """
    out = task.out
    if out.model is not None:
        yield ("out", "model"), out.model, out.mode
    if out.predictions is not None:
        mode = out.predictions.mode or out.mode
        yield ("out", "predictions"), out.predictions.path or f"table {out.predictions.table}", mode
    if out.report is not None and out.report.path is not None:
        yield ("out", "report"), out.report.path, out.mode


def require_apart(task: Declared) -> None:
    """Make sure that nothing that is written replaces what is read, or what else is written.

    Args:
        task: the task.

    Raises:
        TaskError: something would.
    """
    data = task.data
    rows = (data.training, data.validation, data.test, data.predict)
    read = [one.path for one in rows if one is not None and one.path is not None]
    read += [one for one in (task.model.file, task.checkpoint) if one is not None]
    if task.places.file:
        read.append(os.path.abspath(task.places.file))  # noqa: PTH100  # a link stays one
    written = [(place, path) for place, path, _ in named(task) if not path.startswith("table ")]
    if task.out.result is not None:
        written.append((("out", "result"), task.out.result))
    for number, (place, path) in enumerate(written):
        others = [*read, *(other for at, (_, other) in enumerate(written) if at != number)]
        # Spark removes the whole folder of the predictions that were there.
        within = f"{path.rstrip('/')}/" if place == ("out", "predictions") else None
        for other in others:
            if other == path or (within is not None and other.startswith(within)):
                raise task.places.fault(
                    place, f"{path} would replace {other}, which the task needs: write another path"
                )


def require_free(task: Declared) -> None:
    """Make sure that nothing is there that would be lost.

    Args:
        task: the task; not one that :func:`goes_on`, whose results are its own.

    Raises:
        TaskError: something is; a line for each.
    """
    faults: list[str] = []
    for place, path, mode in named(task):
        by_spark = place == ("out", "predictions") and (filesystems.is_uri(path) or path.startswith("table "))
        if mode == "error" and not by_spark and _is_there(path):
            faults += task.places.fault(
                place, f"{path} is there already: name another, or write out.mode: overwrite"
            ).faults
    if faults:
        raise TaskError(faults)


def goes_on(task: Declared) -> bool:
    """Whether a run of this task has not come to its end, as its result says, and has left a checkpoint.

    What it has written is its own then. Its checkpoint is read for this.

    Args:
        task: the task; once it runs, its own result says that it has not ended.

    Raises:
        OptionError: there are checkpoints, and none can be read.
    """
    if task.out.result is None or task.checkpoint is None or not task.resume:
        return False
    try:
        status = json.loads(Path(task.out.result).read_text(encoding="utf-8"))["status"]
    except (OSError, ValueError, KeyError, TypeError):
        return False  # there is none, or it is another file
    # Without a checkpoint it may have ended before it looked for what is there.
    return status in ("running", "interrupted", "failed") and Store(task.checkpoint).latest() is not None


def make_folders(task: Declared) -> None:
    """Make the folders of what a task writes on this machine: better before it trains than behind.

    Args:
        task: the task.

    Raises:
        TaskError: one cannot be made, or written to.
    """
    for place, path, _ in named(task):
        if filesystems.is_uri(path) or path.startswith("table "):
            continue
        folder = Path(path).parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise task.places.fault(
                place, f"nothing can be written to {folder} ({error.strerror}): name another folder"
            ) from error


def require_free_for_spark(task: Declared, spark: SparkSession) -> None:
    """Make sure that the predictions, which Spark writes, are not there yet, where they would be lost.

    Spark looks itself: a plain path is one of the cluster's own file system.

    Args:
        task: the task; not one that :func:`goes_on`.
        spark: the session.

    Raises:
        TaskError: they are.
        NbkerasError: Spark cannot look there.
    """
    out = task.out.predictions
    if out is None or (out.mode or task.out.mode) != "error":
        return
    if out.table is not None and spark.catalog.tableExists(out.table):
        taken = f"the table {out.table}"
    elif out.path is not None and not _is_empty(out.path) and _is_there_for_spark(spark, out.path):
        taken = out.path
    else:
        return
    raise task.places.fault(
        ("out", "predictions"), f"{taken} is there already: name another, or write mode: overwrite"
    )


def require_format(task: Declared, model: Any, df: DataFrame | None) -> None:
    """Make sure that the format of the predictions can hold them.

    Args:
        task: the task.
        model: the model.
        df: the rows to predict; None for none.

    Raises:
        TaskError: it cannot.
    """
    out = task.out.predictions
    if out is None or out.path is None or df is None:
        return
    kind = out.format or format_of(out.path)
    if kind not in _FLAT:
        return
    nested = [
        one.name for one in df.schema if one.dataType.typeName() in {"array", "map", "struct", "binary"}
    ]
    if [shape for shape in _shapes(model) if shape[1:] != (1,)]:
        nested.append("prediction")
    if nested:
        raise task.places.fault(
            ("out", "predictions"),
            f"a {kind} holds no arrays, and {', '.join(nested)} would be one: write a path that ends in "
            ".parquet or .json",
        )


def _shapes(model: Any) -> list[tuple[Any, ...]]:
    return [tuple(one.shape) for one in getattr(model, "outputs", None) or []]


def model(trained: Any, path: str) -> None:
    """Save a model, whole or not at all.

    Args:
        trained: the model.
        path: of the file; a URI that PyArrow or fsspec opens, too.

    Raises:
        NbkerasError: it cannot be saved.
    """
    from nbkeras import api

    with _told(f"the model cannot be saved as {path}"), tempfile.TemporaryDirectory() as folder:
        made = Path(folder, "model.keras")
        api.save_model(trained, made)
        _put(made, path)


def predictions(spark: SparkSession, out: Predictions, df: DataFrame, mode: str) -> None:
    """Write predictions by Spark.

    Args:
        spark: the session.
        out: where to, and how.
        df: with the predictions.
        mode: what happens to what is there.

    Raises:
        NbkerasError: they cannot be computed, or written.
    """
    kind = out.format or (None if out.path is None else format_of(out.path))
    options: dict[str, Any] = {**({"header": True} if kind == "csv" else {}), **out.options}
    writer = df.write.mode("errorifexists" if mode == "error" else mode).options(**options)
    if kind is not None:
        writer = writer.format(kind)
    if out.path is not None and _is_empty(out.path):
        with contextlib.suppress(OSError):  # what an interrupt has left; else it stays
            Path(out.path).rmdir()
    action: Callable[[], None] = (
        (lambda: writer.save(out.path)) if out.table is None else (lambda: writer.saveAsTable(str(out.table)))
    )
    inference.attended(spark, "predict", action)


def report(found: Report, path: str) -> list[str]:
    """Save a report as the end of the path says, or as each kind of file into a folder.

    Args:
        found: the report.
        path: of the file or folder.

    Returns:
        The paths of the files.

    Raises:
        NbkerasError: they cannot be written.
    """
    whole = bool(Path(path).suffix)
    with _told(f"the report cannot be saved as {path}"), tempfile.TemporaryDirectory() as folder:
        made = Path(folder, f"report{Path(path).suffix}")
        found.save(made)
        files = {path: made} if whole else {f"{path.rstrip('/')}/{one.name}": one for one in made.iterdir()}
        for place, one in sorted(files.items()):
            _put(one, place)
    return sorted(files)


def _put(made: Path, path: str) -> None:
    """Put a file where it belongs; on this machine it is there whole or not at all."""
    if filesystems.is_uri(path):
        files, place = filesystems.opened(path, "out")
        with files.open_output_stream(place) as stream, made.open("rb") as file:
            shutil.copyfileobj(file, stream)
        return
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    part = Path(f"{path}.part")
    try:
        shutil.move(made, part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


@contextlib.contextmanager
def _told(failure: str) -> Iterator[None]:
    try:
        yield
    except NbkerasError:
        raise
    except Exception as error:  # each file system has errors of its own
        raise NbkerasError(f"{failure}: {one_line(error)}") from error


def _is_empty(path: str) -> bool:
    """Whether this is an empty folder of this machine."""
    return not filesystems.is_uri(path) and Path(path).is_dir() and not any(Path(path).iterdir())


def _is_there_for_spark(spark: SparkSession, path: str) -> bool:
    """Whether Spark finds a path, whatever lies there.

    Raises:
        NbkerasError: it has no such file system, or cannot reach it.
    """
    from pyspark.errors import AnalysisException

    try:
        _ = spark.read.text(filesystems.unglobbed(path)).schema  # over Connect only now it is looked for
    except AnalysisException as error:
        if "PATH_NOT_FOUND" in str(error):
            return False
        raise exceptions.translate(error) from error
    except Exception as error:  # of any file system
        raise exceptions.translate(error) from error
    return True


def _is_there(path: str) -> bool:
    """Whether a path is taken; an empty folder is not."""
    from pyarrow import fs

    files, place = filesystems.opened(path, "out")
    info = files.get_file_info(place)
    if info.type == fs.FileType.NotFound:
        return False
    return info.type != fs.FileType.Directory or bool(files.get_file_info(fs.FileSelector(place)))
