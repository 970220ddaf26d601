"""Parts: what a model input takes of a column by its name, such as the hour of a timestamp.

An input ``pickup_hour`` takes the hour of the column ``pickup`` where the DataFrame has no column
``pickup_hour``. Spark computes it, in the time zone of its session.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from nbkeras.data.names import quoted
from nbkeras.errors import DataError

#: Part of a day that a second is.
_SECOND = 1 / 86_400


def _weekday(time: Column) -> Column:
    return F.weekday(time)


def _days(time: Column) -> Column:
    seconds = F.hour(time) * 3600 + F.minute(time) * 60 + F.second(time)
    return F.datediff(time, F.lit("1970-01-01").cast("date")) + seconds * F.lit(_SECOND)


#: The parts of a date or a time: Monday is weekday 0, and days are counted from 1970, with their part.
TIMES: dict[str, Callable[[Column], Column]] = {
    "year": F.year,
    "quarter": F.quarter,
    "month": F.month,
    "week": F.weekofyear,
    "day": F.dayofmonth,
    "dayofyear": F.dayofyear,
    "weekday": _weekday,
    "hour": F.hour,
    "minute": F.minute,
    "second": F.second,
    "days": _days,
}
#: Whether a value is missing: null, or no number.
MISSING = "missing"


def column(df: DataFrame, name: str) -> Column:
    """Return the column that a name stands for: one of the DataFrame, or a part of one.

    Args:
        df: the user's DataFrame.
        name: exact, even if it has dots or backticks.
    """
    split = _split(df, name)
    if split is None:
        return F.col(quoted(name))
    source, part = split
    own = F.col(quoted(source))
    return is_missing(own, df.schema[source].dataType) if part == MISSING else TIMES[part](own)


def type_of(df: DataFrame, name: str) -> T.DataType:
    """Return the Spark type of the column that a name stands for."""
    split = _split(df, name)
    if split is None:
        return df.schema[name].dataType
    if split[1] == MISSING:
        return T.BooleanType()
    return T.DoubleType() if split[1] == "days" else T.IntegerType()


def offers(df: DataFrame, name: str) -> bool:
    """Whether a DataFrame has such a column, or a part of one.

    Example:
        >>> import nbkeras
        >>> from nbkeras.data import parts
        >>> df = nbkeras.local_spark().sql("SELECT DATE'2026-11-27' AS sold")
        >>> parts.offers(df, "sold_weekday"), parts.offers(df, "sold_colour")
        (True, False)
    """
    return name in df.columns or _split(df, name) is not None


def offered(df: DataFrame, choices: Iterable[tuple[str, ...]]) -> tuple[str, ...] | None:
    """The first of some choices of names of which a DataFrame offers each; None where it offers none."""
    return next((names for names in choices if all(offers(df, name) for name in names)), None)


def require_some(title: str, dtype: T.DataType) -> None:
    """Refuse a column without a value, which has no type.

    Raises:
        DataError: it has none.
    """
    if isinstance(dtype, T.NullType):
        raise DataError(f"{title} holds nothing: there are no rows, or its value is missing in all of them")


def is_missing(value: Column, dtype: T.DataType) -> Column:
    """Whether a value is null, or no number where it is a float."""
    missing = value.isNull()
    return missing | F.isnan(value) if isinstance(dtype, (T.FloatType, T.DoubleType)) else missing


def is_time(dtype: T.DataType) -> bool:
    """Whether a column holds dates or times."""
    return isinstance(dtype, (T.DateType, T.TimestampType, T.TimestampNTZType))


def _split(df: DataFrame, name: str) -> tuple[str, str] | None:
    """The column and the part of it that a name stands for; None if it is a column's own name, or nothing."""
    if name in df.columns:
        return None
    source, _, part = name.rpartition("_")
    if source not in df.columns:
        return None
    known = part == MISSING or (part in TIMES and is_time(df.schema[source].dataType))
    return (source, part) if known else None
