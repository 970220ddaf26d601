"""Returned: rows that were predicted go back into a DataFrame of the kind that was given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from nbkeras.data import columnar, frames
from nbkeras.data.names import quoted
from nbkeras.data.source import Source, data_frame
from nbkeras.driver.inference import arrow, attended
from nbkeras.schema import PREFIX

#: The place of a row in a frame of the notebook.
_ROW = f"{PREFIX}row"
#: An index of pandas on Spark.
_INDEX = f"{PREFIX}index"


@dataclass(frozen=True)
class Taken:
    """A DataFrame on its way through a model.

    Attributes:
        df: its columns, as Spark's.
        names: of all columns that stand beside the predicted ones.
        sent: the same beside what brings rows back to their places.
        back: makes the user's kind of frame, given ``sent`` with further columns, and their names.
    """

    df: DataFrame
    names: list[str]
    sent: DataFrame
    back: Callable[[DataFrame, Sequence[str]], Any]


def taken(spark: SparkSession, data: Any, source: Source) -> Taken:
    """Take a DataFrame of any kind.

    One of Spark stays lazy, and so does one of pandas on Spark, which keeps its index. What is in the
    notebook stays there, but for the columns that the model takes: it gets back what is predicted.

    Args:
        spark: the session.
        data: the DataFrame, or a dict of arrays.
        source: that makes rows of it.

    Raises:
        ClusterError: its session was stopped.
        DataError: it holds what Spark does not take.
    """
    if isinstance(data, DataFrame):
        df = data_frame(spark, data)
        return Taken(df, df.columns, df, lambda found, _: found)
    if frames.is_pandas_on_spark(data):
        return _of_pandas_on_spark(data)
    frame = frames.of(data)
    table = frames.table(frame, source.needed(data))
    places = pa.array(np.arange(table.num_rows))
    sent = columnar.to_spark(spark, table.append_column(_ROW, places))

    def back(found: DataFrame, made: Sequence[str]) -> Any:
        columns = [F.col(quoted(name)) for name in (_ROW, *made)]
        whole = attended(spark, "predict", lambda: arrow(found.select(*columns))).sort_by(_ROW)
        rows = whole.column(_ROW).to_numpy()
        # Of windows there are fewer than rows.
        fewer = None if len(rows) == table.num_rows else rows
        return frame.beside(whole.drop_columns([_ROW]), fewer)

    return Taken(sent.drop(_ROW), [*dict.fromkeys(frame.names)], sent, back)


def _of_pandas_on_spark(data: Any) -> Taken:
    index = [f"{_INDEX}{place}" for place in range(data.index.nlevels)]
    sent = data.to_spark(index_col=index)

    def back(found: DataFrame, _: Sequence[str]) -> Any:
        made = found.pandas_api(index_col=index)
        made.index.names = data.index.names
        return made

    df = sent.drop(*index)
    return Taken(df, df.columns, sent, back)
