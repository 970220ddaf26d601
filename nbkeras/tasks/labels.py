"""Labels: those of the test that are words are known to the training, which is asked before it begins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nbkeras.data import marks, parts
from nbkeras.data.names import listed
from nbkeras.data.source import flat
from nbkeras.driver import inference
from nbkeras.driver.training import resumption
from nbkeras.run import registry
from nbkeras.tasks.declared import Declared

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def require_known(task: Declared, spark: SparkSession, model: Any, found: dict[str, DataFrame]) -> None:
    """Make sure that the report will know the labels of the test: its rows are read once for that.

    Args:
        task: the task.
        spark: the session.
        model: that is trained.
        found: the DataFrames of the task.

    Raises:
        Aborted: an interrupt.
        TaskError: a label is null, or of a class that no row to train on has.
    """
    from pyspark.sql import functions as F
    from pyspark.sql import types as T

    if "test" not in found:
        return
    train, test = found["training"], found["test"]
    for name in dict.fromkeys(one for one in flat(task.data.y) if one is not None):
        if not all(isinstance(parts.type_of(df, name), T.StringType) for df in (train, test)):
            continue
        own, trained = parts.column(test, name).alias("label"), parts.column(train, name).alias("label")
        classes = [*marks.of(train, name).get("classes", ()), *_before(task, model, name)]
        strange = test.select(own).join(train.select(trained).dropna().distinct(), "label", "left_anti")
        strange = strange.where(~F.coalesce(F.col("label").isin(classes), F.lit(False)))  # Spark's
        counted = strange.agg(F.count(F.lit(1)).alias("rows"), F.max("label").alias("one"))
        row = inference.attended(spark, "read", counted.first)
        if row["rows"]:
            what = "null" if row["one"] is None else repr(row["one"])
            known = "" if not classes else f", which knows {listed(classes[:8])} from before"
            raise task.places.fault(
                ("data", "test"),
                f"the label {name!r} is {what} in {row['rows']:,} rows, and in none of the training{known}: "
                "leave these rows out, or train on some such",
            )


def _before(task: Declared, model: Any, name: str) -> list[str]:
    """The classes of a label that the model knows, or the training that the task goes on with."""
    begun = None if task.checkpoint is None else resumption.newest(task.checkpoint, resume=task.resume)
    schemas = [registry.schema(model), None if begun is None else begun.schema]
    labels = [one for schema in schemas if schema is not None for one in schema.labels]
    return [word for one in labels if name in one.sources for word in one.classes]
