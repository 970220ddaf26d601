"""Splits: which rows a model is trained on, and which it is scored on, by the hash of each row."""

from __future__ import annotations

from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from nbkeras.data.names import quoted
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
        if one.dataType.typeName() not in ("map", "variant"):
            found.append(own)
    return found
