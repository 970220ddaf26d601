"""Series: labels and weights that come as columns of pandas on Spark, beside their DataFrame."""

from __future__ import annotations

from typing import Any

from nbkeras.data import frames
from nbkeras.errors import DataError


def named(data: Any, y: Any, sample_weight: Any) -> tuple[Any, Any, Any]:
    """Return data whose labels and weights are columns of it, by their names, where they come as series.

    A name that is a number becomes a word, as all names in Spark.

    Args:
        data: of any kind; other than pandas on Spark it is returned as it is.
        y, sample_weight: series of the same DataFrame, names, or anything else.

    Raises:
        DataError: a series is of another DataFrame.
    """
    y, sample_weight = frames.called(data, y), frames.called(data, sample_weight)
    if not frames.is_pandas_on_spark(data):
        return data, y, sample_weight
    data, label = _with(data, y, "y")
    data, weight = _with(data, sample_weight, "sample_weight")
    return data, label, weight


def _with(data: Any, one: Any, argument: str) -> tuple[Any, Any]:
    """The data with one more column, and its name."""
    if not (type(one).__module__.startswith("pyspark.pandas") and hasattr(one, "to_frame")):
        return data, one
    if hasattr(one, "columns"):
        raise DataError(f"{argument} is a DataFrame of pandas on Spark: name its columns, {argument}=['…']")
    from pyspark.pandas.utils import same_anchor

    name = str(one.name)
    while name in map(str, data.columns):
        name = f"{name}_{argument}"
    # Of another DataFrame, rows would be joined by the index: pandas' arrays go by their places.
    if not same_anchor(data, one):
        raise DataError(
            f"{argument} is a series of another DataFrame, and rows of Spark have no places by which to join "
            f"them: make it a column, df['{name}'] = …, and give {argument}='{name}'"
        )
    return data.assign(**{name: one}), name
