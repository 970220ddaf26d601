"""Headers: the columns of a csv by the names in its first line, in the types that a task says."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nbkeras.data.names import first, quoted
from nbkeras.tasks.places import Wrong

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, DataFrameReader, SparkSession

_CORRUPT = "columnNameOfCorruptRecord"


def decides(options: Mapping[str, Any]) -> bool:
    """Whether columns go by the names in a header: there is one, and nothing says that types go by place.

    Args:
        options: of Spark's reader.

    Example:
        >>> decides({"header": True}), decides({"header": True, "Header": "false"})
        (True, False)
        >>> decides({"header": True, "enforceSchema": True})
        False
    """
    return _is_on(options, "header") and not _is_on(options, "enforceSchema")


def typed(spark: SparkSession, path: str, types: str, options: Mapping[str, Any]) -> DataFrame:
    """Read a csv with a header: Spark itself would give types to its columns by their places.

    Args:
        spark: the session.
        path: of the file or folder.
        types: names and types of the columns that are read, in any order.
        options: of Spark's reader.

    Raises:
        Wrong: the header lacks a column.
    """
    from pyspark.sql import functions as F
    from pyspark.sql import types as T

    plain = _reader(spark, options).schema(types).load(path)
    raw = _reader(spark, {**options, "inferSchema": False}).load(path)
    if not (names := raw.columns):
        return plain  # no file holds a line
    own, kept, extra = {}, [], []
    corrupt = _said(options, _CORRUPT) or spark.conf.get(f"spark.sql.{_CORRUPT}")
    for field in plain.schema:
        name = _in_header(names, field.name, exact=spark.conf.get("spark.sql.caseSensitive") == "true")
        if name is not None:
            own[name] = field.dataType
        elif field.name == corrupt:
            extra.append(field)
        else:
            near = difflib.get_close_matches(field.name, names, 1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise Wrong("types", f"{field.name!r} is not in the header: {hint}it has {first(names, 20)}")
        kept.append(F.col(quoted(name or field.name)).alias(field.name))
    schema = T.StructType([T.StructField(name, own.get(name, T.StringType())) for name in names] + extra)
    # Spark compares the headers of further files with the first one's.
    checked = {} if len(raw.inputFiles()) < 2 else {"enforceSchema": False}
    return _reader(spark, {**options, **checked}).schema(schema).load(path).select(*kept)


def _reader(spark: SparkSession, options: Mapping[str, Any]) -> DataFrameReader:
    return spark.read.format("csv").options(**options)


def _in_header(names: Sequence[str], wanted: str, *, exact: bool) -> str | None:
    if wanted in names or exact:
        return wanted if wanted in names else None
    return next((one for one in names if one.lower() == wanted.lower()), None)


def _said(options: Mapping[str, Any], name: str) -> Any:
    """An option, whose name Spark reads in any case."""
    return {key.lower(): value for key, value in options.items()}.get(name.lower())


def _is_on(options: Mapping[str, Any], name: str) -> bool:
    return str(_said(options, name)).lower() == "true"
