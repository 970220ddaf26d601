from __future__ import annotations

import copy

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import functions as F

from nbkeras.data import arrays, rows
from nbkeras.data.signature import Input, Signature
from nbkeras.errors import DataError
from nbkeras.spark import scans

pytestmark = pytest.mark.usefixtures("any_backend")

SIGNATURE = Signature((Input("x", (1,), "float32"),))


def train_rows(df):
    return rows.from_dataframe(df, SIGNATURE, "label", "float32", ["value"])


def shards(df):
    """The rows of each partition that has some."""
    found = df.withColumn("shard", F.spark_partition_id()).collect()
    return [[row for row in found if row.shard == shard] for shard in sorted({row.shard for row in found})]


@pytest.fixture(scope="module")
def table(spark):
    values = [(float(index), index % 3) for index in range(101)]
    return spark.createDataFrame(values, ["value", "label"])


@pytest.mark.parametrize("workers", [1, 7])
def test_without_shuffling_row_i_goes_to_worker_i_modulo_workers(spark, table, workers):
    df, numbered = rows.exchanged(spark, train_rows(table), None, workers=workers, shuffle=False)
    found = shards(df)

    assert numbered
    assert len(found) == workers
    # Partitions may stand for workers in any order: each is told its worker by its rows.
    ordered = [[row.x0 for row in sorted(shard, key=lambda row: row.order)] for shard in found]
    assert sorted(ordered) == sorted(
        [[float(i) for i in range(101) if i % workers == w] for w in range(workers)]
    )


@pytest.fixture(scope="module")
def files(spark, table, tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("rows") / "parquet")
    table.repartition(5).write.parquet(folder)
    return spark.read.parquet(folder)


def exchanges(df):
    """Whether Spark's plan of a barrier stage with these rows has an exchange; its tasks count their rows."""

    def count(batches):
        yield pa.RecordBatch.from_arrays([pa.array([sum(batch.num_rows for batch in batches)])], ["rows"])

    staged = df.mapInArrow(count, "rows long", barrier=True)
    assert sum(row.rows for row in staged.collect()) == df.count()
    return "Exchange" in staged._jdf.queryExecution().toString()


def test_a_worker_that_is_alone_reads_files_without_an_exchange(spark, files):
    settings = {one.key: one.value for one in spark.sql("SET").collect()}
    train, validation = train_rows(files.filter("value > 9")), train_rows(files.filter("value < 10"))
    alone, _ = rows.exchanged(spark, train, None, workers=1, shuffle=True)
    split, _ = rows.exchanged(spark, train, None, workers=1, shuffle=True, validation_split=0.3)
    several, _ = rows.exchanged(spark, train, None, workers=2, shuffle=True)

    assert [exchanges(alone), exchanges(split), exchanges(several)] == [False, False, True]
    assert sorted(alone.collect()) == sorted(several.collect())
    assert {one.key: one.value for one in spark.sql("SET").collect()} == settings

    both, _ = rows.exchanged(spark, train, validation, workers=1, shuffle=True)
    exchanges(both)  # Spark 3.5 needs one.
    assert sorted(row.x0 for row in both.filter("validation").collect()) == [float(i) for i in range(10)]
    assert both.filter("NOT validation").count() == 91


@pytest.mark.parametrize(
    ("made", "shuffle"),
    [
        pytest.param(lambda df: df, False, id="in the order of its partitions"),
        pytest.param(
            lambda df: df.withColumn("value", F.udf(float, "double")("value")), True, id="by Python"
        ),
        pytest.param(lambda df: df.distinct(), True, id="by an exchange of its own"),
        pytest.param(
            lambda df: df.filter("value < (SELECT sum(id) FROM range(12))"), True, id="by another query"
        ),
    ],
)
def test_what_all_slots_compute_faster_is_exchanged(spark, files, made, shuffle):
    df, _ = rows.exchanged(spark, train_rows(made(files)), None, workers=1, shuffle=shuffle)

    assert exchanges(df)


def test_files_too_large_for_one_task_are_exchanged(spark, files, monkeypatch):
    monkeypatch.setattr(scans, "_MOST", 1 << 10)
    df, _ = rows.exchanged(spark, train_rows(files), None, workers=1, shuffle=True)

    assert exchanges(df)


def test_rows_keep_the_order_of_a_sorted_dataframe(spark, table):
    backwards = table.orderBy(F.desc("value"))
    df, _ = rows.exchanged(spark, train_rows(backwards), None, workers=2, shuffle=False)

    assert [row.x0 for row in df.orderBy("order").collect()] == [
        float(index) for index in reversed(range(101))
    ]


@pytest.mark.smoke("local", "connect")
def test_with_shuffling_a_worker_gets_the_same_rows_however_they_come(spark, table):
    def content(df):
        dealt, numbered = rows.exchanged(spark, train_rows(df), None, workers=3, shuffle=True)
        assert not numbered
        return [sorted(row.x0 for row in shard) for shard in shards(dealt)]

    once = content(table)

    assert sum(map(len, once)) == 101
    assert content(table.repartition(5)) == once
    assert content(table.orderBy("label")) == once


def test_the_split_by_hash_takes_about_its_part_and_the_same_rows_each_time(spark, table):
    def validation(df, shuffle):
        split, _ = rows.exchanged(
            spark, train_rows(df), None, workers=2, shuffle=shuffle, validation_split=0.3
        )
        return sorted(row.x0 for row in split.filter("validation").collect())

    held = validation(table, shuffle=True)

    assert 15 <= len(held) <= 45
    assert validation(table.repartition(4), shuffle=True) == held
    assert validation(table, shuffle=False) == held


def test_validation_rows_travel_flagged_beside_the_others(spark, table):
    train, validation = train_rows(table), train_rows(table.limit(7))
    df, _ = rows.exchanged(spark, train, validation, workers=2, shuffle=True)

    assert df.filter("validation").count() == 7
    assert df.filter("NOT validation").count() == 101


def test_arrays_are_numbered_and_come_back_byte_for_byte(spark):
    x = np.random.default_rng(0).random((11, 1), dtype=np.float32)
    made = arrays.from_arrays(spark, SIGNATURE, x, np.arange(11), None, "float32")
    found = sorted(made.df.collect(), key=lambda row: row.order)

    assert made.numbered
    assert b"".join(bytes(row.x0) for row in found) == x.tobytes()
    assert [int(np.frombuffer(row.y0, "int64")[0]) for row in found] == list(range(11))


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        (
            np.ones((3, 1)),
            np.ones(2),
            r"differ in length \(model input 'x' 3, label 2\): give each one entry per row",
        ),
        (np.ones((0, 1)), np.ones(0), "no rows"),
        (np.ones((3, 5)), np.ones(3), r"'x' of shape \(1,\), but x has shape \(3, 5\)"),
        (np.array([["a"]]), np.ones(1), "holds <U1 values, but a model takes numbers: convert them first"),
        ({"z": np.ones((3, 1))}, np.ones(3), "x has 'z'"),
    ],
)
def test_arrays_that_do_not_fit_are_refused_in_one_line(spark, x, y, words):
    with pytest.raises(DataError, match=words) as caught:
        arrays.from_arrays(spark, SIGNATURE, x, y, None, "float32")

    assert "\n" not in str(caught.value)


def test_the_last_rows_of_arrays_are_split_off_as_keras_does():
    first, last = arrays.split({"a": np.arange(10), "b": [1] * 10}, 0.25)

    assert first["a"].tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert last["a"].tolist() == [7, 8, 9]


def test_wide_rows_travel_in_small_batches_and_the_setting_comes_back(spark):
    from nbkeras.spark import cluster

    key = "spark.sql.execution.arrow.maxRecordsPerBatch"
    before = spark.conf.get(key)
    with cluster.bounded_batches(spark, row_bytes=1 << 20):
        assert int(spark.conf.get(key)) == 16
    assert spark.conf.get(key) == before

    first, second = (cluster.bounded_batches(spark, row_bytes) for row_bytes in (1 << 20, 1 << 22))
    first.__enter__()
    second.__enter__()
    assert int(spark.conf.get(key)) == 4
    first.__exit__(None, None, None)  # the first training may end before the second one
    assert int(spark.conf.get(key)) == 4
    second.__exit__(None, None, None)
    assert spark.conf.get(key) == before


def test_the_setting_comes_back_where_two_objects_stand_for_one_session(spark):
    from nbkeras.spark import cluster

    key = "spark.sql.execution.arrow.maxRecordsPerBatch"
    before, other = spark.conf.get(key), copy.copy(spark)
    first, second = cluster.bounded_batches(spark, 1 << 20), cluster.bounded_batches(other, 1 << 22)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert int(spark.conf.get(key)) == 4
    second.__exit__(None, None, None)
    assert spark.conf.get(key) == before


def test_validation_arrays_take_the_types_of_the_training_arrays(spark):
    x, y = np.ones((4, 1)), np.arange(4, dtype=np.int64)
    train = arrays.from_arrays(spark, SIGNATURE, x, y, None, "float32")
    validation = arrays.from_arrays(spark, SIGNATURE, x, y.astype(np.int8), None, "float32", train.schema)

    assert validation.schema == train.schema
    assert [np.frombuffer(row.y0, "int64")[0] for row in validation.df.orderBy("order").collect()] == [
        0,
        1,
        2,
        3,
    ]
    with pytest.raises(
        DataError, match=r"shape \(2,\), the training data rows of shape \(\): give both the same"
    ):
        arrays.from_arrays(spark, SIGNATURE, x, np.ones((4, 2)), None, "float32", train.schema)
