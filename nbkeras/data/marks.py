"""Marks: what a column's metadata says to nbkeras. Spark keeps it through most steps, also in Parquet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructField

from nbkeras.data.names import quoted

#: The key of the marks in a column's metadata.
METADATA = "nbkeras"


def of(df: DataFrame, name: str) -> dict[str, Any]:
    """Return the marks of a column; none for a part of a column.

    Example:
        >>> import nbkeras
        >>> from nbkeras.data import marks
        >>> df = nbkeras.local_spark().range(1)
        >>> marks.of(df, "id"), marks.of(marks.added(df, "id", {"classes": ["a"]}), "id")
        ({}, {'classes': ['a']})
    """
    return held(df.schema[name]) if name in df.columns else {}


def held(field: StructField) -> dict[str, Any]:
    """Return the marks of a field of a schema.

    Example:
        >>> from pyspark.sql.types import StringType
        >>> held(StructField("kind", StringType(), metadata={"nbkeras": {"classes": ["a"]}}))
        {'classes': ['a']}
    """
    return dict(field.metadata.get(METADATA, {}))


def added(df: DataFrame, name: str, marks: Mapping[str, Any]) -> DataFrame:
    """Return the DataFrame with marks in the metadata of a column, beside those that it has."""
    metadata = {**df.schema[name].metadata, METADATA: {**of(df, name), **marks}}
    if quoted(name) == name:
        return df.withMetadata(name, metadata)
    # It would take a name with a dot for a field of a struct.
    columns = [F.col(quoted(one)) for one in df.columns]
    place = df.columns.index(name)
    columns[place] = columns[place].alias(name, metadata=metadata)
    return df.select(*columns)
