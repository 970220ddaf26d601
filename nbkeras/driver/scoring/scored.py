"""What is predicted: as columns of a DataFrame, which Spark computes when it is read, or as arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T
from pyspark.sql.pandas import functions as vectorized
from pyspark.sql.pandas.types import from_arrow_type

from nbkeras.data import rows
from nbkeras.data.names import quoted
from nbkeras.driver.inference import arrow, attended
from nbkeras.job.job import Job
from nbkeras.job.outcome import Outcome, rank
from nbkeras.schema import ORDER, PREFIX
from nbkeras.spark import cluster
from nbkeras.worker import pandas, predict

Array = np.ndarray[Any, np.dtype[Any]]
#: The first Spark whose functions of columns get Arrow's own.
_ARROW = (4, 1)
_arrow_udf: Any = getattr(F, "arrow_udf", None)
_pandas_udf: Any = vectorized.pandas_udf


def outcomes(outputs: Sequence[Array]) -> list[Outcome]:
    """A column for each output of a model.

    Args:
        sample: the outputs for one row.
    """
    return [
        Outcome(place, dtype=_carried(one.dtype), rank=rank(one.shape[1:]))
        for place, one in enumerate(outputs)
    ]


def _carried(dtype: np.dtype[Any]) -> str:
    """The type in which Spark carries an output: its own if Spark has it, else a wider one."""
    if dtype.kind == "u":
        return np.promote_types(dtype, np.int8).name
    return dtype.name if dtype.kind in "bi" or dtype.name in ("float32", "float64") else "float32"


def dataframe(job: Job, df: DataFrame, inputs: list[Column], wanted: Mapping[str, Outcome]) -> DataFrame:
    """The DataFrame with what is predicted as further columns, computed when it is read.

    Args:
        job: to predict.
        df: the user's DataFrame.
        inputs: a column for each field that the job decodes.
        wanted: what is predicted, by the names of the columns.
    """
    if job.plan.schema.windows is not None or not takes_arrow(df.sparkSession):
        return _beside(job, df, inputs, wanted)
    named = {f"outcome{index}": one for index, one in enumerate(wanted.values())}

    def work(batches: Iterator[pa.Array]) -> Iterator[pa.Array]:
        return predict.alone(job, named, batches)

    # Columns that are only kept do not leave the JVM.
    made = function(df.sparkSession, work, spark_type(named), streams=df.isStreaming)
    found = made(*inputs)
    if len(wanted) == 1:
        return df.select("*", found.alias(*wanted))
    whole = f"{PREFIX}outcomes"
    own = [F.col(quoted(name)) for name in df.columns]
    parts = [F.col(whole)[key].alias(name) for key, name in zip(named, wanted, strict=True)]
    return df.select("*", found.alias(whole)).select(*own, *parts)


def takes_arrow(spark: SparkSession) -> bool:
    """Whether Spark, here and on its server, has functions that take and give Arrow's own columns."""
    return _arrow_udf is not None and tuple(map(int, spark.version.split(".")[:2])) >= _ARROW


def function(
    spark: SparkSession,
    work: Callable[[Iterator[pa.Array]], Iterator[pa.Array]],
    kind: T.DataType,
    *,
    streams: bool,
) -> Any:
    """Make a function of columns, which Spark computes once for each row where it stands in a query.

    Args:
        spark: the session.
        work: computes batches of the result from batches of its arguments.
        kind: of the result.
        streams: whether a stream may call it.
    """

    def by_pandas(batches: Iterator[pd.Series]) -> Iterator[pd.Series]:
        return pandas.results(work(pandas.arguments(batches)))

    takes = takes_arrow(spark)
    chosen: Callable[..., Any] = work if takes else by_pandas
    if streams:
        chosen = cluster.link(spark).carried(chosen)
    made = (_arrow_udf if takes else _pandas_udf)(chosen, kind)
    # Spark moves filters below a deterministic function, and computes it there once more.
    return made.asNondeterministic()


def spark_type(wanted: Mapping[str, Outcome]) -> T.DataType:
    """The type of what is predicted, as Spark names it: a struct where that are several columns."""
    kinds = {name: from_arrow_type(one.type) for name, one in wanted.items()}
    if len(kinds) == 1:
        return next(iter(kinds.values()))
    return T.StructType([T.StructField(*one) for one in kinds.items()])


def _beside(job: Job, df: DataFrame, inputs: list[Column], wanted: Mapping[str, Outcome]) -> DataFrame:
    """The same where all columns have to pass through Python."""
    made, kept, names = [*wanted.values()], len(df.columns), [*df.columns, *wanted]

    def work(batches: Any) -> Any:
        return predict.beside(job, made, names, batches)

    schema = T.StructType([*df.schema.fields])
    for name, one in wanted.items():
        schema = schema.add(name, from_arrow_type(one.type))
    # mapInArrow looks columns up by name: one with a dot in it would be taken for a field of a struct.
    plain = [
        *(f"kept{index}" for index in range(kept)),
        *(PREFIX + one.name for one in job.decoder.fields),
    ]
    sent = rows.with_inputs(df, inputs, job.plan.schema, job.plan.workers)
    chosen = cluster.link(df.sparkSession).carried(work) if df.isStreaming else work
    return sent.toDF(*plain).mapInArrow(chosen, schema)


def arrays(job: Job, df: DataFrame, sample: list[Array]) -> list[Any]:
    """The model's outputs for numbered rows as arrays, in the rows' order.

    Args:
        job: to predict.
        df: one column per field that the job decodes, and ``order``.
        sample: the outputs for one row.

    Raises:
        Aborted: an interrupt.
        TrainingError: an exception on a worker.
    """
    wanted = {f"output{index}": one for index, one in enumerate(outcomes(sample))}
    fields = [one.name for one in job.decoder.fields]
    inputs = [df[name].alias(PREFIX + name) for name in fields]
    predicted = dataframe(job, df.select(ORDER, *fields), inputs, wanted)
    table = attended(df.sparkSession, "predict", lambda: arrow(predicted.select(ORDER, *wanted)))
    positions = np.argsort(table.column(ORDER).to_numpy())
    return [
        _stacked(table.column(name), one.shape[1:])[positions].astype(one.dtype)
        for name, one in zip(wanted, sample, strict=True)
    ]


def _stacked(column: Any, shape: tuple[int, ...]) -> Any:
    count, values = len(column), column.combine_chunks()
    for _ in range(rank(shape)):
        values = values.flatten()
    return values.to_numpy(zero_copy_only=False).reshape(count, *shape)
