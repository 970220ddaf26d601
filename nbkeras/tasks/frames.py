"""Frames: the rows that a task names, as DataFrames of Spark."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from nbkeras.data import columns, filesystems
from nbkeras.errors import DataError, NbkerasError
from nbkeras.spark import exceptions
from nbkeras.tasks import headers
from nbkeras.tasks.declared import Declared
from nbkeras.tasks.parts import Rows, format_of
from nbkeras.tasks.places import Place, Wrong

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

#: What Spark's readers do where a task does not say it: a csv without a header names no columns.
_READS = {"csv": {"header": True, "inferSchema": True}}

#: What to do, by the name of Spark's error.
_HINTS = {
    "PATH_NOT_FOUND": "name a file or folder that is there",
    "TABLE_OR_VIEW_NOT_FOUND": "name a table of spark.sql('SHOW TABLES')",
    "PARSE_SYNTAX_ERROR": "write a query that spark.sql takes",
    "UNABLE_TO_INFER_SCHEMA": "name a file that holds rows, or write types",
}
_NO_FORMAT = re.compile("DATA_SOURCE_NOT_FOUND|ClassNotFoundException")


def frames(task: Declared, spark: SparkSession) -> dict[str, DataFrame]:
    """Name the DataFrames of a task; no row is computed, but where types are inferred.

    Args:
        task: the task.
        spark: the session.

    Returns:
        DataFrames by their key below ``data``.

    Raises:
        TaskError: there are no such rows, or they lack a column.
        NbkerasError: Spark cannot read them.
    """
    given = {"training": task.data.training, "validation": task.data.validation}
    given |= {"test": task.data.test, "predict": task.data.predict}
    found = {
        name: _frame(task, spark, one, ("data", name))
        for name, one in given.items()
        if one is not None and getattr(one, "fraction", None) is None
    }
    for place, column in _named(task):
        _require(task, found["training"], column, place)
        for name in {"test", "predict"} & found.keys():
            if place[1] == "features" or (place[1] == "y" and name == "test"):
                _require(task, found[name], column, ("data", name))
    if task.out.report is not None and task.out.report.by is not None:
        _require(task, found["test"], task.out.report.by, ("out", "report", "by"))
    return found


def _frame(task: Declared, spark: SparkSession, rows: Rows, place: Place) -> DataFrame:
    from pyspark.errors import AnalysisException, ParseException

    try:
        df = _read(spark, rows)
        _ = df.columns  # over Connect only now it is looked for
    except (AnalysisException, ParseException) as error:
        words = str(error).strip().partition("\n")[0].partition(" SQLSTATE")[0].rstrip(".")
        hint = next((said for sign, said in _HINTS.items() if sign in words), "look at what it names")
        raise task.places.fault(place, f"Spark cannot read it: {words}: {hint}") from error
    except Wrong as error:
        raise task.places.fault((*place, *error.keys), str(error)) from error
    except NbkerasError:
        raise
    except Exception as error:
        if rows.format is not None and _NO_FORMAT.search(str(error)):
            raise task.places.fault(
                (*place, "format"),
                f"this Spark has no format {rows.format!r}: add its package by spark.config, "
                "{spark.jars.packages: …}",
            ) from error
        told = exceptions.translate(error)
        raise type(told)(f"{task.places.named(place)}: {told}") from error
    return df


def _read(spark: SparkSession, rows: Rows) -> DataFrame:
    if rows.table is not None:
        return spark.table(rows.table)
    if rows.sql is not None:
        # As a query within a query: a command would be done at once, also where rows are only looked at.
        query = rows.sql.strip().rstrip(";")
        return spark.sql(f"SELECT * FROM (\n{query}\n)")  # noqa: S608  # the task's own
    assert rows.path is not None
    kind = rows.format or format_of(rows.path)
    if kind == "images":
        from nbkeras import api

        return api.images(rows.path, spark=spark, **rows.options)  # type: ignore[arg-type]  # it looks itself
    options: dict[str, Any] = {**_READS.get(str(kind), {}), **rows.options}
    path = filesystems.literal(rows.path)
    reader = spark.read.format(str(kind))
    if rows.types is not None:
        options.pop("inferSchema", None)
        if kind == "csv" and headers.decides(options):
            return headers.typed(spark, path, rows.types, options)
        reader = reader.schema(rows.types)
    return reader.options(**options).load(path)


def _named(task: Declared) -> Iterator[tuple[Place, str]]:
    """The columns that a task names, and where."""
    for key in ("y", "features", "sample_weight"):
        yield from _words(getattr(task.data, key), ("data", key))
    if isinstance(task.data.nulls, dict):
        yield from ((("data", "nulls", name), name) for name in task.data.nulls)


def _words(given: Any, place: Place) -> Iterator[tuple[Place, str]]:
    if isinstance(given, str):
        yield place, given
    elif isinstance(given, Mapping):
        for key, one in given.items():
            yield from _words(one, (*place, key))
    elif given is not None:
        for number, one in enumerate(given):
            yield from _words(one, (*place, number))


def _require(task: Declared, df: DataFrame, column: str, place: Place) -> None:
    try:
        columns.existing(df, column, "the")
    except DataError as error:
        raise task.places.fault(place, str(error).removeprefix("the column ")) from error
