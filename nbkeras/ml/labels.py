"""Labels: numbers of classes, as StringIndexer makes them, and the names that it keeps of them."""

from __future__ import annotations

from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from nbkeras.data import columns, parts
from nbkeras.data.names import listed
from nbkeras.driver import inference
from nbkeras.errors import DataError

#: What MLlib writes into a column's metadata, and the name of its class of unknown words.
METADATA, _UNKNOWN = "ml_attr", "__unknown"


def require_numbers(df: DataFrame, name: str, owner: str) -> None:
    """Check that a label column holds numbers.

    Args:
        df: the rows.
        name: of the column.
        owner: the estimator, for messages.

    Raises:
        DataError: there is no such column, or it holds something else.
    """
    columns.existing(df, name, "label")
    found = parts.type_of(df, name)
    if isinstance(found, T.StringType):
        raise DataError(
            f"label column '{name}' is string, and {owner} takes numbers: put StringIndexer(inputCol="
            f"'{name}', outputCol='{name}_index') before it, and give it labelCol='{name}_index'"
        )
    if not isinstance(found, T.NumericType):
        raise DataError(
            f"label column '{name}' is {found.simpleString()}, and {owner} takes numbers: name a column of "
            "numbers, labelCol='…', or cast it"
        )


def names(df: DataFrame, name: str) -> tuple[str, ...]:
    """The names of the classes that a column's metadata holds, in the order of their numbers; or none."""
    held = df.schema[name].metadata.get(METADATA, {}) if name in df.columns else {}
    return tuple(str(one) for one in held.get("vals") or ())


def require_classes(spark: SparkSession, df: DataFrame, name: str, classes: int | None) -> None:
    """Check that labels are numbers of classes that a model has outputs for.

    StringIndexer says how many classes there are; of other columns one Spark job finds it.

    Args:
        spark: the session.
        df: the rows.
        name: of the label column.
        classes: that the model tells apart; None where that is not known yet.

    Raises:
        Aborted: an interrupt.
        DataError: they are not.
    """
    known = [one for one in names(df, name) if one != _UNKNOWN]
    number = len(known) or _highest(spark, df, name) + 1
    if classes is not None and number > classes:
        which = f" ({listed(known[:8])})" if known else ""
        raise DataError(
            f"label column '{name}' has {number} classes{which}, and the model tells {classes} apart: give "
            f"its last layer {number} units, with softmax"
        )


def _highest(spark: SparkSession, df: DataFrame, name: str) -> int:
    """The highest number of a class, after a look at all rows.

    Raises:
        DataError: a label is no class.
    """
    label = parts.column(df, name).cast("double")
    figures = df.agg(
        F.min(label).alias("least"),
        F.max(label).alias("most"),
        F.first(F.when(label % 1 != 0, label), ignorenulls=True).alias("broken"),
    )
    found = inference.attended(spark, "read", figures.first)
    if found["broken"] is not None:
        raise DataError(
            f"label column '{name}' holds {found['broken']:g}, which is no class: KerasClassifier takes "
            "whole numbers from 0, as StringIndexer makes them, and KerasRegressor takes all others"
        )
    if found["least"] is None:
        raise DataError(f"label column '{name}' holds no number: the DataFrame has no rows, or only nulls")
    if found["least"] < 0:
        raise DataError(
            f"label column '{name}' goes down to {found['least']:g}: number classes from 0, as StringIndexer "
            "does"
        )
    return int(found["most"])


def attribute(name: str, known: tuple[str, ...], classes: int) -> dict[str, Any]:
    """The metadata of a column of predicted classes, as MLlib writes it: IndexToString reads the names.

    Example:
        >>> attribute("prediction", ("cat", "owl"), 2)["ml_attr"]["vals"]
        ['cat', 'owl']
    """
    values: dict[str, Any] = {"vals": list(known)} if len(known) >= classes else {"num_vals": classes}
    return {METADATA: {"type": "nominal", "name": name, **values}}
