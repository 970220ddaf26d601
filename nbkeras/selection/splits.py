"""Splits: which rows a model is trained on, and which it is scored on, by the hash of each row."""

from __future__ import annotations

from typing import Any

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from nbkeras.data.names import quoted
from nbkeras.driver import inference
from nbkeras.errors import OptionError

#: The column that says in which part a row is; a part of 0 and 1 for a hold-out, else the number of a fold.
PART = "nbkeras_part"
#: Cells of a hash that are told apart.
_GRAIN = 10_000


def parted(df: DataFrame, test: Any, folds: Any, seed: int) -> tuple[DataFrame, tuple[int, ...]]:
    """Add the part of each row; return the parts too that are scored on, one after the other.

    A row's part depends on its own values and on the seed alone, so all models have the same rows, however
    Spark reads them. Equal rows are in one part.

    Args:
        df: all rows.
        test: part of the rows to score on, where there are no folds.
        folds: number of folds; None for one split.
        seed: of the hash.

    Raises:
        OptionError: they are no parts.
    """
    if folds is not None and (type(folds) is not int or not 2 <= folds <= 20):
        raise OptionError(f"folds={folds!r}: use a number of folds from 2 to 20, or leave it out")
    if not isinstance(test, (int, float)) or not 0 < test < 1:
        raise OptionError(
            f"test={test!r}: use a part of the rows above 0 and below 1, or a DataFrame of rows to score on"
        )
    cell = F.pmod(F.xxhash64(*_hashed(df), F.lit(seed)), F.lit(_GRAIN))
    if folds is not None:
        return df.withColumn(PART, (cell % folds).cast("int")), tuple(range(folds))
    return df.withColumn(PART, (cell < round(test * _GRAIN)).cast("int")), (1,)


def _hashed(df: DataFrame) -> list[Column]:
    """The columns whose values Spark has hashes of."""
    found = []
    for one in df.schema.fields:
        own = F.col(quoted(one.name))
        if isinstance(one.dataType, T.UserDefinedType):
            own = own.cast("string")
        if not _has(one.dataType, ("map", "variant")):
            found.append(own)
    return found


def _has(dtype: T.DataType, kinds: tuple[str, ...]) -> bool:
    """Whether a type is one of some kinds, or holds one."""
    if isinstance(dtype, T.ArrayType):
        return _has(dtype.elementType, kinds)
    if isinstance(dtype, T.StructType):
        return any(_has(one.dataType, kinds) for one in dtype.fields)
    return dtype.typeName() in kinds


def require_rows(spark: SparkSession, rows: DataFrame, parts: tuple[int, ...]) -> None:
    """Make sure that there are rows to train on and to score on in each turn.

    Raises:
        Aborted: an interrupt.
        OptionError: there are none.
    """
    counted = inference.attended(spark, "compare", rows.groupBy(PART).count().collect)
    there = {row[PART]: row["count"] for row in counted}
    total = sum(there.values())
    for part in parts:
        if not 0 < there.get(part, 0) < total:
            raise OptionError(
                f"{total:,} rows are too few, or too many are equal: part {part} has "
                f"{there.get(part, 0):,} of them; take fewer folds, or another test="
            )
