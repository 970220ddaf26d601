from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from pyspark.ml.linalg import Vectors
from pyspark.sql import functions as F

from nbkeras.data import columns, kinds
from nbkeras.data.signature import Input, Signature
from nbkeras.errors import DataError


def one_input(shape, dtype="float32", name="image"):
    return Signature((Input(name, shape, dtype),))


@pytest.fixture(scope="module")
def people(spark):
    rows = [("Ann", 1, 2.5, True, Decimal("1.50"), [1.0, 2.0], Vectors.dense([3.0, 4.0]), 0)]
    schema = "name string, age int, size double, member boolean, paid decimal(5,2), scores array<double>"
    df = spark.createDataFrame([row[:6] for row in rows], schema)
    vectors = spark.createDataFrame([(row[6],) for row in rows], ["vector"])
    return df.crossJoin(vectors).withColumn("label", F.lit(0))


def test_one_array_column_feeds_an_input_of_one_shape(people):
    (field,) = columns.feature_fields(people, one_input((2,)), ["scores"], [])

    assert (field.name, field.sources, field.shape, field.dtype) == ("x0", ("scores",), (2,), "float32")


def test_several_columns_of_numbers_are_stacked_in_their_order(people):
    (field,) = columns.feature_fields(people, one_input((4,)), ["size", "age", "member", "paid"], [])
    row = people.select(columns.expression(people, field)).first()

    assert field.sources == ("size", "age", "member", "paid")
    assert row.x0 == [2.5, 1.0, 1.0, 1.5]


def test_columns_named_as_the_inputs_feed_them_and_others_are_left_alone(people):
    signature = Signature((Input("age", (1,), "int32"), Input("scores", (2,), "float32")))

    fields = columns.feature_fields(people, signature, None, ["label"])

    assert [field.sources for field in fields] == [("age",), ("scores",)]


def test_an_ml_vector_becomes_an_array(people):
    (field,) = columns.feature_fields(people, one_input((2,)), ["vector"], [])

    assert people.select(columns.expression(people, field)).first().x0 == [3.0, 4.0]


def test_whole_labels_stay_whole_and_others_become_floats(people):
    fields = columns.label_fields(people, ["label", "member", "paid", "scores"], "float32")

    assert [field.dtype for field in fields] == ["int64", "int64", "float32", "float32"]


def test_a_column_whose_name_holds_dots_and_backticks_is_found(spark):
    df = spark.createDataFrame([(1.0,)], ["a.b`c"])
    (field,) = columns.feature_fields(df, one_input((1,)), None, [])

    assert df.select(columns.expression(df, field)).first().x0 == 1.0


@pytest.mark.parametrize(
    ("signature", "features", "words"),
    [
        (one_input((3,)), ["age", "size"], ["'image' of shape (3,)", "3 numbers", "2 columns", "age int"]),
        (one_input((2,)), ["scores", "age"], ["'image' of shape (2,)", "scores array<double>", "features=["]),
        (one_input((2,)), ["name"], ["column 'name' is string", "or remove the column"]),
        (one_input((2,)), ["scoers"], ["'scoers'", "did you mean 'scores'?"]),
        (
            Signature((Input("left", (2,), "float32"), Input("right", (2,), "float32"))),
            None,
            ["left", "right"],
        ),
    ],
)
def test_columns_that_do_not_fit_are_named_beside_the_inputs(people, signature, features, words):
    df = people if features is None or "name" in features else people.drop("name")
    if features is None:
        df = df.drop("name")

    with pytest.raises(DataError) as caught:
        columns.feature_fields(df, signature, features, ["label"])

    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_a_label_of_words_is_one_of_classes(people):
    (field,) = columns.label_fields(people, ["name"], "float32")

    assert (field.kind, field.dtype, field.classes) == ("classes", "int64", ())


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 1)])
def test_nested_arrays_keep_their_shape(spark, shape):
    values = np.arange(np.prod(shape), dtype=float).reshape(shape)
    df = spark.createDataFrame([(values.tolist(),)], ["image"])
    (field,) = columns.feature_fields(df, one_input(shape), None, [])
    column = df.select(columns.expression(df, field)).toArrow().column("x0").combine_chunks()

    assert np.array_equal(kinds.encoding(field).decode(column, field, {})[0], values)
