"""Predictions that a DataFrame holds already: what they are, by the types of their columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from nbkeras.data import columns, kinds, parts
from nbkeras.data.kinds.classes import Classes
from nbkeras.driver import inference
from nbkeras.driver.scoring import question
from nbkeras.driver.scoring.question import Named
from nbkeras.errors import DataError
from nbkeras.metrics.question import Question
from nbkeras.schema import PREFIX, Field

#: The columns that are looked for where none is named.
_NAMES = ("probability", "prediction")
#: Words or numbers that may be classes.
_MOST = 1_000
_WORD = f"{PREFIX}word"


@dataclass(frozen=True)
class Predictions:
    """Predictions of a DataFrame, and their labels.

    Attributes:
        df: the user's; classes that were numbers are words in it.
        label, predicted: the fields.
        task: as in :func:`nbkeras.report`.
        width: numbers of a prediction.
        scored: whether predictions are probabilities.
        names: of the classes; empty where they are their numbers.
    """

    df: DataFrame
    label: Field
    predicted: Field
    task: Any
    width: int
    scored: bool
    names: tuple[str, ...]

    def named(self, threshold: float) -> Named:
        """What is asked of them.

        Raises:
            DataError: there are other classes than numbers.
        """
        title = self.label.title
        if not self.scored and self.task == "classification":
            return Named(Question("classification", len(self.names), scored=False, title=title), self.names)
        return question.named(
            self.task, self.width, self.names, logits=False, threshold=threshold, title=title
        )


def of(
    spark: SparkSession,
    df: DataFrame,
    y: Any,
    prediction: str | None,
    classes: Sequence[str] | None,
    task: str | None,
) -> Predictions:
    """Find out what is predicted.

    Args:
        spark: the session.
        df: the user's.
        y, prediction, classes, task: as in :func:`nbkeras.report`.

    Raises:
        DataError: the columns are not there, or do not fit each other.
        OptionError: there is no such task.
    """
    question.require_task(task)
    if not isinstance(y, str):
        raise DataError(f"y={y!r}: name the column of labels, y='…' ({columns.offered(df)})")
    name = _chosen(df) if prediction is None else prediction
    label, predicted = columns.label_fields(df, [y, name], "float64")
    predicted = replace(predicted, title=f"prediction '{name}'")
    names = tuple(classes or ()) or _indexed(df, y)
    if _is_array(df, name):
        several = task or ("labels" if _is_array(df, y) else "classification")
        return _scored(spark, df, label, predicted, several, names)
    if _is_array(df, y):
        raise DataError(
            f"{label.title} is an array and {predicted.title} is not: give predictions of its length"
        )
    said, words = predicted.kind == Classes.name, Classes.name in (label.kind, predicted.kind)
    whole = predicted.dtype == "int64"
    chosen = task or ("classification" if words or whole or names else "regression")
    if (
        chosen == "classification"
        and words
        and (label.kind, label.dtype) != (predicted.kind, predicted.dtype)
    ):
        _require_named(df, label, predicted, names)
    if chosen == "classification" and not said and not whole and _has_fractions(spark, df, name):
        # The probability of the second of two classes.
        if label.kind == Classes.name:
            label = replace(label, classes=names)
        return Predictions(df, label, predicted, chosen, 1, scored=True, names=names)
    if chosen == "classification":
        return _said(spark, df, label, predicted, names)
    if chosen == "labels" or words:
        raise DataError(
            f"{predicted.title} is {parts.type_of(df, name).simpleString()}, {label.title} "
            f"{parts.type_of(df, y).simpleString()}: that is no {chosen}"
        )
    fields = [replace(one, dtype="float64") for one in (label, predicted)]
    return Predictions(df, fields[0], fields[1], chosen, 1, scored=True, names=())


def _require_named(df: DataFrame, label: Field, predicted: Field, names: tuple[str, ...]) -> None:
    """Make sure that words and numbers of classes can be told to be the same.

    Raises:
        DataError: they cannot.
    """
    if names and predicted.kind != Classes.name:
        return
    kinds_of = ", ".join(
        f"{one.title} is {parts.type_of(df, one.sources[0]).simpleString()}" for one in (label, predicted)
    )
    raise DataError(
        f"{kinds_of}: give classes=[…], the words in the order of the numbers that are predicted"
        if label.kind == Classes.name
        else f"{kinds_of}: name a column of labels that are words too"
    )


def _chosen(df: DataFrame) -> str:
    found = next((name for name in _NAMES if name in df.columns), None)
    if found is None:
        raise DataError(
            f"give the model, or the column of predictions, prediction='…' ({columns.offered(df)})"
        )
    return found


def _is_array(df: DataFrame, name: str) -> bool:
    kind = kinds.of(parts.type_of(df, name))
    return kind is not None and not kind.single


def _indexed(df: DataFrame, name: str) -> tuple[str, ...]:
    """The words of which Spark's StringIndexer has made a column of numbers."""
    if isinstance(parts.type_of(df, name), T.StringType) or name not in df.columns:
        return ()
    return tuple(df.schema[name].metadata.get("ml_attr", {}).get("vals", ()))


def _scored(
    spark: SparkSession, df: DataFrame, label: Field, predicted: Field, task: str, names: tuple[str, ...]
) -> Predictions:
    """Predictions of several numbers a row."""
    value = columns.expression(df, predicted)
    found = inference.attended(spark, "report", df.select(F.size(value)).where(value.isNotNull()).head)
    width = None if found is None else int(found[0])
    if width == 0:
        raise DataError(
            f"{predicted.title} holds an array of no numbers: give one with a number for each class"
        )
    width = width or 1
    # All have this length, wherever they are.
    predicted = replace(predicted, shape=(width,))
    if label.kind == Classes.name:
        if not names and not label.classes:
            raise DataError(f"{label.title} is words: give classes=[…], their order in {predicted.title}")
        names = names or label.classes
        label = replace(label, classes=names)
    fields = (label, predicted)
    if task == "regression":
        fields = (replace(label, dtype="float64"), replace(predicted, dtype="float64"))
    return Predictions(df, *fields, task, width, scored=True, names=names)


def _has_fractions(spark: SparkSession, df: DataFrame, name: str) -> bool:
    value = parts.column(df, name)
    found = inference.attended(spark, "report", df.where(value != F.rint(value)).select(F.lit(1)).head)
    return found is not None


def _said(
    spark: SparkSession, df: DataFrame, label: Field, predicted: Field, names: tuple[str, ...]
) -> Predictions:
    """Predictions that are classes, which become words: any whole numbers may be classes."""
    # By their own names, which messages say.
    sources = [one.sources[0] for one in (label, predicted)]
    mixed = label.kind != predicted.kind
    made = [_word(df, one, names if mixed else ()) for one in (label, predicted)]
    named = df.withColumns(dict(zip(sources, made, strict=True)))
    words_of = F.explode(F.array(*[parts.column(named, one) for one in sources])).alias(_WORD)
    pairs = named.select(words_of).dropna().distinct().limit(_MOST + 1)
    found = {row[0] for row in inference.attended(spark, "report", pairs.collect)}
    if len(found) > _MOST:
        raise DataError(
            f"{label.title} and {predicted.title} hold more than {_MOST:,} values: for amounts give "
            "task='regression'"
        )
    numbers = all(one.lstrip("-").isdigit() for one in found)
    if names and numbers and not mixed:
        # Numbers of classes that have names.
        words = tuple(map(str, range(len(names))))
        if strange := sorted(found - set(words)):
            raise DataError(
                f"{label.title} or {predicted.title} is {strange[0]}, and there are names for the classes 0 "
                f"to {len(names) - 1}: give classes=[…] with all of them"
            )
    else:
        words = names or tuple(sorted(found, key=int) if numbers else sorted(found))
    label, predicted = (
        replace(one, dtype="int64", shape=None, kind=Classes.name, classes=words)
        for one in (label, predicted)
    )
    return Predictions(named, label, predicted, "classification", 1, scored=False, names=names or words)


def _word(df: DataFrame, field: Field, names: tuple[str, ...]) -> Column:
    """Whole numbers as words; the names of these, where they are given."""
    value = parts.column(df, field.sources[0])
    if field.kind == Classes.name:
        return value
    if isinstance(parts.type_of(df, field.sources[0]), T.BooleanType):
        value = value.cast("int")
    if names:
        return F.get(F.array(*map(F.lit, names)), value.cast("int"))
    whole = F.rint(value).cast("bigint")
    # Fractions are left as they are, and are found among the classes.
    return F.when(value == whole, whole.cast("string")).otherwise(value.cast("string"))
