"""Series: how their rows become windows is marked, and done where these are trained on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from nbkeras.data.source import data_frame
from nbkeras.data.windows import columns
from nbkeras.plan import whole
from nbkeras.schema import Windows
from nbkeras.spark.session import attached


def timeseries(
    spark: SparkSession | None,
    data: Any,
    time: str,
    sequence_length: int,
    *,
    key: str | Sequence[str] | None,
    sequence_stride: int,
    sampling_rate: int,
    offset: int,
) -> DataFrame:
    """Mark the column of time.

    Args:
        spark: the session; None for the active one, or a new local one.
        data, time, sequence_length, key, sequence_stride, sampling_rate, offset: as in
            :func:`nbkeras.timeseries`.

    Raises:
        DataError: there is no such column.
        OptionError: an option is none.
    """
    windows = Windows(
        time,
        whole("sequence_length", sequence_length, 1),
        whole("sequence_stride", sequence_stride, 1),
        whole("sampling_rate", sampling_rate, 1),
        whole("offset", offset, 0),
        (key,) if isinstance(key, str) else tuple(key or ()),
    )
    return columns.marked(data_frame(attached(spark), data), windows)
