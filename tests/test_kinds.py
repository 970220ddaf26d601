from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.ml.linalg import Vectors, VectorUDT
from pyspark.sql import types as T

from nbkeras.builder.table import Table
from nbkeras.data import columns, kinds
from nbkeras.data.signature import Input, Signature
from nbkeras.errors import DataError
from nbkeras.schema import Field


def field(dtype=None, shape=None, kind="array"):
    return Field("x0", ("a",), "model input 'x'", dtype, shape, kind)


def decode(column, field, nulls=None):
    return kinds.encoding(field).decode(column, field, {} if nulls is None else nulls)


def test_nested_lists_become_arrays_of_as_many_dimensions():
    values = np.arange(24.0).reshape(2, 3, 4)

    found = decode(pa.array(values.tolist()), field("float32"))

    assert (found.dtype, found.shape) == (np.float32, (2, 3, 4))
    np.testing.assert_array_equal(found, values)
    assert decode(pa.array(values.tolist()), field("float32", (12,))).shape == (2, 12)


def test_booleans_and_large_lists_are_read_too():
    assert decode(pa.array([True, False]), field("float32", kind="boolean")).tolist() == [1.0, 0.0]
    large = pa.array([[1, 2], [3, 4]], pa.large_list(pa.int32()))
    assert decode(large, field("int64")).tolist() == [[1, 2], [3, 4]]


def test_arrays_of_several_lengths_are_refused():
    with pytest.raises(DataError, match="column 'a' holds arrays of 1 to 3 values, model input 'x' needs"):
        decode(pa.array([[1.0], [1.0, 2.0, 3.0]]), field("float32"))


def test_arrays_that_are_null_or_hold_nulls_are_counted_apart():
    nulls = {"b": 1}
    kind = pa.list_(pa.float64())
    assert decode(pa.array([[1.0, 2.0], None, None], kind), field("float32"), nulls) is None
    assert decode(pa.array([[1.0, 2.0], [None, None], [1.0, None]], kind), field("float32"), nulls) is None
    assert decode(pa.array([1.0, None]), field("float32", kind="number"), nulls) is None
    assert nulls == {"a": 3, "a[]": 2, "b": 1}


@pytest.mark.parametrize("values", [[[1.0, 2.0]], [[], []]])
def test_arrays_that_do_not_fill_the_inputs_shape_are_refused_with_theirs(values):
    message = (
        rf"model input 'x' takes shape \(3,\), column 'a' holds arrays of shape \({len(values[0])},\): give"
    )
    with pytest.raises(DataError, match=message):
        decode(pa.array(values, pa.list_(pa.float64())), field("float32", (3,)))


def test_values_that_do_not_fill_the_inputs_shape_are_refused():
    with pytest.raises(
        DataError, match=r"model input 'x' takes shape \(4,\), column 'a' holds single numbers: give"
    ):
        decode(pa.array([1.0, 2.0]), field("float32", (4,), "number"))


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary()])
def test_raw_rows_are_read_from_their_bytes(kind):
    values = np.arange(12, dtype="<f4").reshape(4, 3)
    column = pa.array([row.tobytes() for row in values], kind)

    found = decode(column.slice(1, 2), field("<f4", (3,), "raw"))

    np.testing.assert_array_equal(found, values[1:3])


@dataclass(frozen=True)
class Held:
    """What a column holds: its type, the value of a row, and the numbers that a model gets of it."""

    dtype: T.DataType
    value: Any
    numbers: Any


_MOMENT = datetime(2024, 2, 29, 12)  # noqa: DTZ001  # Spark has local times
_SINGLE = (
    *(Held(one(), 3, 3.0) for one in (T.ByteType, T.ShortType, T.IntegerType, T.LongType)),
    *(Held(one(), 1.5, 1.5) for one in (T.FloatType, T.DoubleType)),
    Held(T.BooleanType(), True, 1.0),
    Held(T.DecimalType(5, 2), Decimal("1.25"), 1.25),
)
_OTHERS = (
    Held(T.StringType(), "a", None),
    Held(T.DateType(), _MOMENT.date(), None),
    Held(T.TimestampType(), _MOMENT, None),
    Held(T.BinaryType(), b"a", None),
    Held(T.MapType(T.StringType(), T.DoubleType()), {"a": 1.0}, None),
    Held(T.StructType([T.StructField("a", T.DoubleType())]), {"a": 1.0}, None),
)
_VECTORS = (
    Held(VectorUDT(), Vectors.dense([1.0, 2.0]), [1.0, 2.0]),
    Held(VectorUDT(), Vectors.sparse(3, {1: 2.0}), [0.0, 2.0, 0.0]),
)


def array_of(held, length):
    numbers = None if held.numbers is None else [held.numbers] * length
    return Held(T.ArrayType(held.dtype), [held.value] * length, numbers)


LEAVES = st.sampled_from([*_SINGLE, *_OTHERS])
HELD = st.recursive(
    LEAVES, lambda inner: st.builds(array_of, inner, st.integers(1, 3)), max_leaves=4
) | st.sampled_from(_VECTORS)


@settings(max_examples=8)
@given(helds=st.lists(HELD, min_size=12, max_size=12))
def test_the_builder_offers_what_fit_takes_and_nothing_else(spark, helds):
    schema = T.StructType(
        [T.StructField(f"c{at}", held.dtype) for at, held in enumerate(helds)]
        + [T.StructField("label", T.DoubleType()), T.StructField("size", T.DoubleType())]
    )
    df = spark.createDataFrame([(*(held.value for held in helds), 0.0, 1.0)], schema)
    offered = {one.name: one.shape for one in Table.of(df, "df").columns if one.holds == "numbers"}
    offered = {name: shape for name, shape in offered.items() if name.startswith("c")}

    taken = {}
    for at in range(len(helds)):
        signature = Signature((Input("x", None, "float64"),))
        try:
            (made,) = columns.feature_fields(df, signature, [f"c{at}"], ["label"])
        except DataError:
            continue
        taken[f"c{at}"] = made
    arrow = df.select([columns.expression(df, one).alias(name) for name, one in taken.items()]).toArrow()
    decoded = {name: decode(arrow.column(name).combine_chunks(), one)[0] for name, one in taken.items()}

    assert offered.keys() == decoded.keys()
    expected = {f"c{at}": held.numbers for at, held in enumerate(helds) if held.numbers is not None}
    assert {name: value.tolist() for name, value in decoded.items()} == expected
    assert {name: value.shape or (1,) for name, value in decoded.items()} == offered
