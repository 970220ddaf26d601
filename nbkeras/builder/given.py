"""Given: DataFrames of any kind, as the builder looks at them and as its code selects their columns."""

from __future__ import annotations

import reprlib
from typing import Any, Literal

from nbkeras.errors import DataError

#: Whose words select columns: pandas on Spark has those of pandas, polars those of Arrow.
Kind = Literal["spark", "pandas", "arrow"]


def kind_of(data: Any) -> Kind:
    """How code selects columns of a DataFrame.

    Raises:
        DataError: it is none that the builder writes code for.

    Example:
        >>> import pandas as pd, pyarrow as pa
        >>> kind_of(pd.DataFrame()), kind_of(pa.table({"a": [1]}))
        ('pandas', 'arrow')
        >>> kind_of(3)
        Traceback (most recent call last):
        nbkeras.errors.DataError: the data is 3, a int: give a DataFrame of Spark, ...
    """
    from pyspark.sql import DataFrame

    from nbkeras.data import frames

    if isinstance(data, DataFrame):
        return "spark"
    if frames.is_frame(data) and hasattr(data, "iloc"):
        return "pandas"
    if frames.is_frame(data) and hasattr(data, "columns") and hasattr(data, "select"):
        return "arrow"
    raise DataError(f"the data is {_short(data)}, a {type(data).__name__}: give {frames.KINDS}")


def in_spark(data: Any) -> Any:
    """Return the DataFrame of Spark that another one becomes, for a look at its rows.

    Raises:
        ClusterError: its session was stopped.
        DataError: it is no DataFrame that the builder writes code for, or holds what Spark does not take.
    """
    from nbkeras.data import source
    from nbkeras.spark.session import attached

    return data if kind_of(data) == "spark" else source.data_frame(attached(), data)


def _short(data: Any) -> str:
    """Data of any kind in one line of bounded length."""
    return " ".join(reprlib.repr(data).split())
