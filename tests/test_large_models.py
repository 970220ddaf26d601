"""Models that are too large for a Spark task, for a message of Spark Connect, or for Spark's results."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import nbkeras
from nbkeras.spark import cluster
from nbkeras.spark.shared import Broadcasted

pytestmark = pytest.mark.usefixtures("any_backend", "predicts_on_spark")

#: Connect sends no message of 128 MiB, and Spark shares what is in the task with each of them.
SIZES = {"30 MB": 2700, "150 MB": 6100}


@pytest.mark.parametrize(
    "width",
    [
        pytest.param(SIZES["30 MB"], id="30 MB"),
        pytest.param(SIZES["150 MB"], id="150 MB", marks=pytest.mark.soak),
    ],
)
def test_a_large_model_trains_evaluates_and_predicts(spark, width):
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((8,)),
            keras.layers.Dense(width),
            keras.layers.Dense(width, use_bias=False),
            keras.layers.Dense(1),
        ]
    )
    model.compile(keras.optimizers.SGD(1e-3), "mse")
    x = np.random.default_rng(0).normal(size=(8, 8)).astype("float32")
    y = x.sum(axis=1)
    before = model.get_weights()
    twin = keras.models.clone_model(model)
    twin.set_weights(before)
    twin.compile(keras.optimizers.SGD(1e-3), "mse")
    twin.fit(x, y, shuffle=False, verbose=0)

    nbkeras.fit(model, x, y, shuffle=False, spark=spark)

    assert not np.array_equal(before[2], model.get_weights()[2])
    for ours, theirs in zip(model.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-5)
    assert nbkeras.evaluate(model, x, y, spark=spark)["loss"] == pytest.approx(
        twin.evaluate(x, y, verbose=0), rel=1e-3
    )
    np.testing.assert_allclose(
        nbkeras.predict(model, x, spark=spark), twin.predict(x, verbose=0), rtol=1e-2, atol=1e-3
    )


@pytest.mark.smoke("local", "connect")
def test_bytes_for_all_workers_are_read_on_the_executors(spark):
    data = np.random.default_rng(0).bytes(40 << 20)
    shared = cluster.share(spark, data)

    def sizes(batches):
        import pyarrow as pa

        for _ in batches:
            yield pa.RecordBatch.from_arrays([pa.array([len(shared.read())])], ["size"])

    rows = spark.range(2, numPartitions=2).mapInArrow(sizes, "size long").collect()
    shared.forget()

    assert [row["size"] for row in rows] == [len(data)] * 2


def test_a_spark_that_has_stopped_has_let_go_of_them_already():
    class Stopped:
        def destroy(self):
            raise RuntimeError("SparkContext was shut down")

    Broadcasted((Stopped(), Stopped())).forget()
