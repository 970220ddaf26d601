"""Columnar: Arrow's columns in types that Spark takes, and Spark's DataFrames of them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import types as T
from pyspark.sql.pandas.types import from_arrow_type

from nbkeras.data import marks
from nbkeras.errors import DataError, one_line

#: Arrow's types that Spark has none of, by the next wider one that it has.
_WIDER = {
    pa.uint8(): pa.int16(),
    pa.uint16(): pa.int32(),
    pa.uint32(): pa.int64(),
    pa.uint64(): pa.int64(),
    pa.float16(): pa.float32(),
    pa.large_string(): pa.string(),
    pa.large_binary(): pa.binary(),
    pa.date64(): pa.date32(),
}
#: Whole numbers beyond those of 64 bits.
_LARGE = pa.decimal128(20, 0)
#: Bytes of a piece of a column: Spark's offsets address 2 GiB.
_PIECE = 1 << 30
#: The first Spark that makes a DataFrame of an Arrow table.
_TAKES_TABLES = 4
_UTC = {"UTC", "Etc/UTC", "GMT", "Z", "+00:00"}


def sent(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column in a type that Spark takes, with the same values.

    The order of categories is kept as that of a dictionary's values; times lose what is below a microsecond,
    and a line says so.

    Args:
        name: of the column, for messages.
        column: of any type.

    Raises:
        DataError: Spark has no such type.
    """
    if isinstance(column.type, pa.BaseExtensionType):
        column = _stored(name, column)
    kind = column.type
    if _is_ordered(kind):
        return column
    if pa.types.is_timestamp(kind) and kind.unit == "ns":
        column = _in_microseconds(name, column)
    target = _taken(kind)
    if target == kind:
        return column
    pieces = [one for chunk in column.chunks for one in _pieces(chunk)]
    try:
        try:
            made = [_cast(one, target) for one in pieces]
        except pa.ArrowInvalid:
            if kind != pa.uint64():
                raise
            target = _LARGE
            made = [_cast(one, target) for one in pieces]
    except pa.ArrowException as error:
        raise _untaken(name, kind, error) from error
    return pa.chunked_array(made, target)


def to_spark(spark: SparkSession, table: pa.Table) -> DataFrame:
    """Make a DataFrame of an Arrow table whose columns Spark takes.

    Times without a zone stay without one. The values of an ordered dictionary are the classes of its column,
    in their order.

    Args:
        spark: the session.
        table: of columns from :func:`sent`.

    Raises:
        DataError: this Spark has no such type.
    """
    ordered = {}
    for place, name in enumerate(table.column_names):
        if _is_ordered((column := table.column(name)).type):
            words = [word for chunk in column.chunks for word in chunk.dictionary.to_pylist()]
            ordered[name] = list(dict.fromkeys(words))
            plain = pa.chunked_array([_cast(one, pa.string()) for one in column.chunks], pa.string())
            table = table.set_column(place, name, plain)
    schema = _schema(table)
    _say_zones(spark, table.schema)
    df = created(spark, table, schema) if table.num_rows else spark.createDataFrame([], schema)
    for name, words in ordered.items():
        df = marks.added(df, name, {"classes": words})
    return df


def created(spark: SparkSession, table: pa.Table, schema: T.StructType | None = None) -> DataFrame:
    """Have Spark make a DataFrame of an Arrow table with rows.

    Args:
        spark: the session.
        table: of types that Spark takes.
        schema: of the DataFrame; None for that of the table.
    """
    if int(spark.version.split(".")[0]) >= _TAKES_TABLES:
        given: Any = table  # PySpark's types know none
        return spark.createDataFrame(given) if schema is None else spark.createDataFrame(given, schema)
    schema = schema if schema is not None else _schema(table)
    if any(one.null_count or _has_nan(one) for one in table.columns):
        # Row by row: pandas does not tell a null from NaN.
        return spark.createDataFrame(
            list(zip(*(one.to_pylist() for one in table.columns), strict=True)), schema
        )
    return spark.createDataFrame(table.to_pandas(), schema)


def _schema(table: pa.Table) -> T.StructType:
    """Spark's schema of a table.

    Raises:
        DataError: a column has a type that it has none of.
    """
    return T.StructType([T.StructField(one.name, _of_spark(one)) for one in table.schema])


def _has_nan(column: pa.ChunkedArray) -> bool:
    return pa.types.is_floating(column.type) and bool(pc.any(pc.is_nan(column)).as_py())


def _stored(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    """What a column of an extension's type holds, where that is the same.

    Raises:
        DataError: it is not.
    """
    kind = column.type
    if not isinstance(kind, pa.FixedShapeTensorType) or list(kind.permutation or ()) != sorted(
        kind.permutation or ()
    ):
        raise _untaken(name, kind)
    return pa.chunked_array([one.storage for one in column.chunks], kind.storage_type)


def _taken(kind: pa.DataType) -> pa.DataType:
    """The type of Spark's for a type of Arrow's; the same where it needs no other, or has none."""
    for known, made in _MADE:
        if known(kind):
            return made(kind)
    return _WIDER.get(kind, kind)


#: How a type of Spark's is made, by what knows a type of Arrow's.
_MADE: tuple[tuple[Callable[[pa.DataType], bool], Callable[[Any], pa.DataType]], ...] = (
    (pa.types.is_dictionary, lambda kind: _taken(kind.value_type)),
    (pa.types.is_fixed_size_binary, lambda _: pa.binary()),
    (pa.types.is_timestamp, lambda kind: pa.timestamp("us", kind.tz)),
    (pa.types.is_time, lambda _: pa.time64("us")),
    (pa.types.is_duration, lambda _: pa.duration("us")),
    (pa.types.is_decimal256, lambda kind: pa.decimal128(38, kind.scale)),
    (pa.types.is_map, lambda kind: pa.map_(_taken(kind.key_type), _taken(kind.item_type))),
    (
        pa.types.is_struct,
        lambda kind: pa.struct([pa.field(one.name, _taken(one.type)) for one in kind]),
    ),
    (
        lambda kind: pa.types.is_nested(kind) and hasattr(kind, "value_type"),
        lambda kind: pa.list_(_taken(kind.value_type)),
    ),
    (lambda kind: str(kind) == "string_view", lambda _: pa.string()),
    (lambda kind: str(kind) == "binary_view", lambda _: pa.binary()),
)


def _cast(piece: pa.Array, target: pa.DataType) -> pa.Array:
    if pa.types.is_dictionary(piece.type):
        # Not all values of dictionaries can be decoded as they are.
        words = _cast(piece.dictionary, target)
        return pa.DictionaryArray.from_arrays(piece.indices, words).dictionary_decode()
    if "list_view" not in str(piece.type):  # which Arrow casts to lists without their last end
        with contextlib.suppress(pa.ArrowNotImplementedError):
            return piece.cast(target)
    # Values go one by one: also those of lists of dictionaries.
    return pa.array(piece.to_pylist(), target)


def _pieces(chunk: pa.Array) -> Iterator[pa.Array]:
    """A chunk, in pieces whose bytes Spark's offsets address."""
    if chunk.nbytes <= _PIECE or len(chunk) < 2:  # one row cannot be divided
        yield chunk
        return
    half = len(chunk) // 2
    for part in (chunk.slice(0, half), chunk.slice(half)):
        # Their own copy: the offsets of a slice count from the chunk's beginning.
        yield from _pieces(pa.concat_arrays([part]))


def _in_microseconds(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    zone = column.type.tz
    # As instants: a zone has hours that come twice.
    plain = pa.chunked_array([one.view(pa.timestamp("ns")) for one in column.chunks], pa.timestamp("ns"))
    floored = pc.floor_temporal(plain, unit="microsecond")
    if not floored.equals(plain):
        print(  # noqa: T201  # no result shows it
            f"Column '{name}' holds nanoseconds: Spark keeps its times to the microsecond below."
        )
    kept = floored.cast(pa.timestamp("us"))
    return pa.chunked_array(
        [one.view(pa.timestamp("us", zone)) for one in kept.chunks], pa.timestamp("us", zone)
    )


def _say_zones(spark: SparkSession, schema: pa.Schema) -> None:
    """Say that the hours of a column are those of another zone in Spark."""
    zones = {one.name: one.type.tz for one in schema if pa.types.is_timestamp(one.type) and one.type.tz}
    if not zones:
        return
    own = str(spark.conf.get("spark.sql.session.timeZone"))
    for name, zone in zones.items():
        if zone != own and not {zone, own} <= _UTC:
            print(  # noqa: T201  # no result shows it
                f"Column '{name}' holds times of {zone}: parts of them, such as {name}_hour, are those of "
                f"Spark's time zone, {own} (spark.sql.session.timeZone)."
            )


def _of_spark(field: pa.Field) -> T.DataType:
    """Spark's type of a column.

    Raises:
        DataError: it has none.
    """
    try:
        return from_arrow_type(field.type, prefer_timestamp_ntz=True)
    except Exception as error:  # PySpark's own, of several classes
        raise _untaken(field.name, field.type) from error


def _is_ordered(kind: pa.DataType) -> bool:
    """Whether these are words whose order is that of a dictionary."""
    return bool(pa.types.is_dictionary(kind) and kind.ordered and _taken(kind) == pa.string())


def _untaken(name: str, kind: pa.DataType, error: Exception | None = None) -> DataError:
    """What is said of a column that cannot go to Spark."""
    why = "" if error is None else f" ({one_line(error)})"
    return DataError(
        f"column '{name}' is {kind}, which Spark does not take{why}: write it as numbers or words, or remove "
        "it"
    )
