"""Features for MLlib: one vector for each row, made of the columns of a DataFrame.

Numbers stay numbers, with gaps filled by their mean. Words of few values get one place each. Sentences
become weighted counts of words (TF-IDF), dates and times their parts. Arrays and vectors of numbers stay as
they are. What is learned for it, such as means and words, is learned from the rows to train on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pyspark.ml import feature
from pyspark.ml.functions import array_to_vector
from pyspark.ml.linalg import VectorUDT
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from nbkeras.data import columns, parts
from nbkeras.data.names import listed
from nbkeras.driver import inference
from nbkeras.driver.columns.encoding import proposed
from nbkeras.driver.columns.inspection import Inspected, inspected
from nbkeras.errors import DataError

#: The vector that MLlib's models take; the same with each number scaled.
FEATURES, SCALED = "nbkeras_features", "nbkeras_scaled"
#: What a model adds to the rows, unless it is told other names.
_ADDED = ("rawPrediction", "probability", "prediction")
#: Words of sentences that are counted, and of categories that have a place: the most frequent ones.
_WORDS, _PLACES = 1_000, 100


@dataclass(frozen=True)
class Features:
    """How a row becomes a vector.

    Attributes:
        made: columns that are added to the rows first, by name.
        stages: of a pipeline that takes these.
        left: columns that MLlib cannot take, each with the reason.
    """

    made: dict[str, Column]
    stages: tuple[Any, ...]
    left: tuple[str, ...]

    def prepared(self, df: DataFrame) -> DataFrame:
        """The rows with what the stages take.

        Raises:
            DataError: they have a column that a model adds.
        """
        if taken := [name for name in _ADDED if name in df.columns]:
            raise DataError(f"MLlib's models add a column '{taken[0]}', and there is one: rename it")
        return df.withColumns(self.made)

    def alone(self, df: DataFrame, beside: Sequence[str]) -> DataFrame:
        """What the stages take, and some other columns: others may be named as what a model adds."""
        return df.withColumns(self.made).select(*self.made, *beside)


def features(spark: SparkSession, df: DataFrame, names: Sequence[str]) -> Features:
    """Choose what is made of each column, by one look at all rows.

    Args:
        spark: the session.
        df: the rows.
        names: of the columns.

    Raises:
        Aborted: an interrupt.
        DataError: there is no such column, or none that MLlib could take.
    """
    names = list(dict.fromkeys(columns.existing(df, name, "feature") for name in names))
    # One may be a part of a column, such as the hour of a time.
    seen = df.select(*[parts.column(df, name).alias(name) for name in names])
    made: dict[str, Column] = {}
    stages: list[Any] = []
    numbers: list[str] = []
    taken: list[str] = []
    left: list[str] = []
    for place, one in enumerate(inspected(spark, seen, names)):
        found = _of_column(df, one, f"nbkeras_{place}")
        if isinstance(found, str):
            left.append(f"{one.name} ({found})")
            continue
        made |= found.made
        stages += found.stages
        taken += found.taken
        numbers += found.taken if found.filled else []
    if not taken:
        raise DataError(f"no column is one that MLlib could take: {', '.join(left) or 'there is none'}")
    if numbers:
        # Rows to score on may have gaps where those to train on have none.
        filled = {name: f"{name}_filled" for name in numbers}
        stages.insert(0, feature.Imputer(inputCols=numbers, outputCols=[*filled.values()]))
        taken = [filled.get(name, name) for name in taken]
    stages.append(feature.VectorAssembler(inputCols=taken, outputCol=FEATURES))
    return Features(made, tuple(stages), tuple(left))


def require_finite(spark: SparkSession, df: DataFrame, names: Sequence[str]) -> None:
    """Make sure that no number is infinite: MLlib takes none.

    Args:
        spark: the session.
        df: the rows.
        names: of the columns.

    Raises:
        Aborted: an interrupt.
        DataError: one is.
    """
    floats = [name for name in names if isinstance(parts.type_of(df, name), (T.FloatType, T.DoubleType))]
    if not floats:
        return
    counts = [F.count_if(F.abs(parts.column(df, name)) == float("inf")) for name in floats]
    found = inference.attended(spark, "compare", df.agg(*counts).first)
    for name, count in zip(floats, found, strict=True):
        if count:
            raise DataError(
                f"feature column '{name}' is infinite in {count:,} rows, which MLlib's models do not take: "
                "put other numbers there, or leave it out, features=[…]"
            )


def scaler() -> Any:
    """What scales each number, for models that need it."""
    return feature.StandardScaler(withMean=True, inputCol=FEATURES, outputCol=SCALED)


@dataclass(frozen=True)
class _Made:
    """Of one column: what is added to the rows, what of it the vector takes, and the stages between them.

    What is filled are numbers, which have the mean where they are missing.
    """

    made: dict[str, Column]
    taken: list[str]
    stages: tuple[Any, ...] = ()
    filled: bool = False


def _of_column(df: DataFrame, one: Inspected, name: str) -> _Made | str:
    """What is made of a column; the reason where it is left out."""
    own, dtype = parts.column(df, one.name), one.dtype
    if one.missing == one.rows:
        return "it has no value"
    if isinstance(dtype, (T.NumericType, T.BooleanType)):
        return _Made({name: own.cast("double")}, [name], filled=True)
    if isinstance(dtype, T.StringType):
        return _of_words(one, own, name)
    if parts.is_time(dtype):
        chosen = ("days", "month", "weekday", *(() if isinstance(dtype, T.DateType) else ("hour",)))
        made = {f"{name}_{part}": parts.TIMES[part](own).cast("double") for part in chosen}
        return _Made(made, [*made], filled=True)
    return "it has gaps" if one.missing else _of_numbers(one, own, name)


def _of_numbers(one: Inspected, own: Column, name: str) -> _Made | str:
    """What is made of a column of vectors, or of arrays of any depth."""
    dtype: Any = one.dtype
    if isinstance(dtype, VectorUDT):
        return _Made({name: own}, [name])
    depth = 0
    while isinstance(dtype, T.ArrayType):
        dtype, depth = dtype.elementType, depth + 1
    if not depth or not isinstance(dtype, T.NumericType):
        return f"MLlib takes no {one.dtype.simpleString()}"
    for _ in range(depth - 1):
        own = F.flatten(own)
    return _Made({name: array_to_vector(own.cast("array<double>"))}, [name])


def _of_words(one: Inspected, own: Column, name: str) -> _Made | str:
    plan = proposed(one)
    if plan.why == "unique":
        return "nearly each row has a word of its own"
    if plan.sentences:
        counted = (
            feature.RegexTokenizer(pattern=r"(?U)\W+", inputCol=name, outputCol=f"{name}_words"),
            feature.CountVectorizer(vocabSize=_WORDS, inputCol=f"{name}_words", outputCol=f"{name}_counts"),
            feature.IDF(inputCol=f"{name}_counts", outputCol=f"{name}_weights"),
        )
        return _Made({name: F.coalesce(own, F.lit(""))}, [f"{name}_weights"], counted)
    # A word that is not among the most frequent ones has no place, as a missing one.
    places = feature.CountVectorizer(vocabSize=_PLACES, inputCol=name, outputCol=f"{name}_places")
    return _Made({name: F.array_compact(F.array(own))}, [f"{name}_places"], (places,))


def said(found: Features) -> str:
    """What is left out, in words; empty where nothing is."""
    return f"MLlib's models do without {listed(found.left)}" if found.left else ""
