"""Target: the column that is to be predicted, as classes or as amounts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from nbkeras.data import columns, marks, parts
from nbkeras.data.names import listed
from nbkeras.driver import inference
from nbkeras.driver.scoring import question
from nbkeras.errors import DataError, OptionError

Task = Literal["classification", "regression"]
TASKS: tuple[Task, ...] = ("classification", "regression")
#: Whole numbers of at most so many values are classes, where nothing else says what they are.
_FEW = 20
#: Classes that are told apart.
_MOST = 1_000


@dataclass(frozen=True)
class Target:
    """What is to be predicted.

    Attributes:
        name: of the column.
        task: "classification" or "regression".
        values: of the classes, sorted; empty for amounts.
        guessed: whether whole numbers alone say which of the two it is.
    """

    name: str
    task: Task
    values: tuple[Any, ...] = ()
    guessed: bool = False

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes."""
        return tuple(map(str, self.values))

    def number(self, df: DataFrame) -> Column:
        """The column as MLlib takes it: the number of a class from 0, or the amount, a double."""
        own = parts.column(df, self.name)
        if self.task == "regression":
            return own.cast("double")
        known = F.array(*[F.lit(one) for one in self.values]).cast(T.ArrayType(parts.type_of(df, self.name)))
        return (F.call_function("array_position", known, own) - 1).cast("double")


def target(
    spark: SparkSession,
    df: DataFrame,
    name: str,
    task: str | None,
    likely: Callable[[], Task | None] = lambda: None,
) -> Target:
    """Find out what is to be predicted, by one look at the column.

    Args:
        spark: the session.
        df: all rows.
        name: of the column.
        task: as given; None decides by the column's type and values.
        likely: says what the models predict, for whole numbers, which may be either.

    Raises:
        Aborted: an interrupt.
        DataError: it holds gaps, one value alone, or what is neither a class nor an amount.
        OptionError: there is no such task.
    """
    if task not in (None, *TASKS):
        raise OptionError(f"task={task!r}: use 'classification' or 'regression', or leave it out")
    require_own(df, name, "label")
    dtype, own = parts.type_of(df, name), parts.column(df, name)
    title = f"label column '{name}'"
    _require_kind(dtype, title)
    chosen, guessed = task, False
    if isinstance(dtype, T.NumericType):
        fractions = _fractions(spark, df, own, title)
        if task is None:
            # Whole numbers may be either; as doubles they are seldom classes, but 0.0 and 1.0 may be.
            chosen = "regression" if fractions else likely()
            guessed = not fractions and chosen is None
        if chosen == "regression" or (chosen is None and isinstance(dtype, T.FractionalType)):
            return Target(name, "regression", guessed=guessed)
    elif task == "regression":
        raise DataError(f"{title} is {dtype.simpleString()}, and no amount: leave out task='regression'")
    counted = df.groupBy(own.alias("value")).count().limit(_MOST + 1)
    values = [row["value"] for row in inference.attended(spark, "compare", counted.collect)]
    if None in values:
        raise DataError(f"{title} has nulls: drop these rows, df.dropna(subset=['{name}'])")
    if guessed and len(values) > _FEW:
        return Target(name, "regression", guessed=True)
    _require_classes(values, title)
    # Keras numbers them so too.
    order = marks.of(df, name).get("classes") if isinstance(dtype, T.StringType) else None
    if order and (strange := [one for one in values if one not in order]):
        raise DataError(f"{title} is {strange[0]!r} in some rows, and its classes are {listed(order[:8])}")
    return Target(name, "classification", tuple(order or sorted(values)), guessed=guessed)


def _require_kind(dtype: T.DataType, title: str) -> None:
    """Refuse labels that are neither classes nor amounts.

    Raises:
        DataError: they are.
    """
    parts.require_some(title, dtype)
    if not isinstance(dtype, (T.StringType, T.BooleanType, T.NumericType)):
        raise DataError(
            f"{title} is {dtype.simpleString()}: MLlib's models predict one class or one amount for a row, "
            "so name a column of words, truths or numbers"
        )


def require_own(df: DataFrame, name: str, role: str) -> None:
    """Make sure that a column is there, and no part of another one: that would be a feature.

    Raises:
        DataError: it is not.
    """
    columns.existing(df, name, role)
    if name not in df.columns:
        raise DataError(
            f"{role} column '{name}' is a part of another column: make it one of its own, "
            f"df.withColumn('{name}', …), and drop what it is a part of, or name features="
        )


def require_known(spark: SparkSession, target: Target, test: DataFrame) -> None:
    """Make sure that rows to score on have labels that rows to train on have.

    Raises:
        Aborted: an interrupt.
        DataError: they do not.
    """
    require_own(test, target.name, "label")
    number = target.number(test)
    wrong = number.isNull() | F.isnan(number) | (number < 0 if target.values else F.lit(False))
    own = parts.column(test, target.name)
    figures = test.agg(
        F.count(F.lit(1)).alias("rows"),
        F.count_if(wrong).alias("wrong"),
        F.first(F.when(wrong, own.cast("string")), ignorenulls=True).alias("one"),
    )
    found = inference.attended(spark, "compare", figures.first)
    if not found["rows"]:
        raise DataError("test= has no rows to score on: give a larger part, such as test=0.2, or rows")
    if found["wrong"]:
        what = "null or NaN" if found["one"] is None or not target.values else repr(found["one"])
        raise DataError(
            f"label column '{target.name}' of test= is {what} in {found['wrong']:,} rows, which the rows to "
            "train on do not have: leave these rows out"
        )


def require_weights(spark: SparkSession, df: DataFrame, name: str) -> None:
    """Make sure that each row has a weight.

    Raises:
        Aborted: an interrupt.
        DataError: some have none, or less than nothing.
    """
    dtype, weight = parts.type_of(df, name), parts.column(df, name)
    if not isinstance(dtype, T.NumericType):
        raise DataError(f"weight column '{name}' is {dtype.simpleString()}: name a column of numbers")
    number = weight.cast("double")
    wrong = number.isNull() | F.isnan(number) | (number < 0) | (number == float("inf"))
    found = inference.attended(spark, "compare", df.agg(F.count_if(wrong)).first)[0]
    if found:
        raise DataError(
            f"weight column '{name}' is null, negative or no finite number in {found:,} rows: drop them, or "
            "fill them"
        )


def _require_classes(values: list[Any], title: str) -> None:
    if not values:
        raise DataError("the DataFrame has no rows to compare on: df.count() is 0")
    if len(values) > _MOST:
        raise DataError(
            f"{title} has more than {_MOST:,} different values: give task='regression' if they are amounts"
        )
    if len(values) == 1:
        raise DataError(f"{title} is {values[0]!r} in all rows: there is nothing to tell apart")


def _fractions(spark: SparkSession, df: DataFrame, own: Column, title: str) -> int:
    """Count the numbers that are not whole.

    Raises:
        DataError: some are missing, or all are the same.
    """
    number = own.cast("double")
    broken = (number.isNull() | F.isnan(number) | (F.abs(number) == float("inf"))).cast("int")
    figures = df.agg(
        F.sum(broken).alias("broken"),
        F.min(number).alias("low"),
        F.max(number).alias("high"),
        F.count_if(number != F.floor(number)).alias("fractions"),
    )
    found = inference.attended(spark, "compare", figures.first)
    if found["broken"] is None:
        raise DataError("the DataFrame has no rows to compare on: df.count() is 0")
    if found["broken"]:
        raise DataError(
            f"{title} is null, NaN or infinite in {found['broken']:,} rows: drop them, or fill them"
        )
    if found["low"] == found["high"]:
        raise DataError(f"{title} is {found['low']:g} in all rows: there is nothing to predict")
    return int(found["fractions"])


def task_of(model: Any) -> Task:
    """What a compiled Keras model predicts, by its loss.

    Example:
        >>> import keras
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> task_of(model)
        'regression'
    """
    number = question.task_of(model, 0, 1)
    return "regression" if number == "regression" else "classification"


def said(target: Target) -> str:
    """What was decided where the column alone does not say it; empty where it does."""
    if not target.guessed:
        return ""
    if target.task == "regression":
        return f"'{target.name}' is taken for amounts; task='classification' makes them classes"
    few = listed(target.classes[:8])
    return f"'{target.name}' is taken for classes ({few}); task='regression' makes them amounts"
