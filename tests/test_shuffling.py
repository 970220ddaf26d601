from __future__ import annotations

import keras
import numpy as np
import pandas as pd
import pytest
from twins import define, value

import nbkeras

pytestmark = pytest.mark.usefixtures("any_backend")

# The count of each row in an epoch, and, as digits, the order in which its worker met the rows.
WITNESS = """
import keras
from keras import ops

class Counts(keras.metrics.Metric):
    '''How often each label was met in the epoch.'''

    def __init__(self, rows, **kwargs):
        super().__init__(**kwargs)
        self.rows = rows
        self.counts = self.add_weight(shape=(rows,), initializer="zeros", name="counts")

    def update_state(self, y, predicted, sample_weight=None):
        met = ops.one_hot(ops.cast(ops.reshape(y, (-1,)), "int32"), self.rows)
        self.counts.assign_add(ops.sum(met, axis=0))

    def result(self):
        return self.counts + 0.0

class Order(keras.metrics.Metric):
    '''Of each label, the step of the epoch in which it was met.'''

    def __init__(self, rows, batch_size, optimizer, **kwargs):
        super().__init__(**kwargs)
        self.rows, self.number, self.optimizer = rows, -(-rows // batch_size), optimizer
        self.steps = self.add_weight(shape=(rows,), initializer="zeros", name="steps")

    def update_state(self, y, predicted, sample_weight=None):
        met = ops.one_hot(ops.cast(ops.reshape(y, (-1,)), "int32"), self.rows)
        # Not counted here: what several workers count does not add up.
        step = ops.cast(ops.mod(self.optimizer.iterations - 1, self.number) + 1, "float32")
        self.steps.assign_add(step * ops.sum(met, axis=0))

    def result(self):
        return self.steps + 0.0

def make(rows, batch_size):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    optimizer = keras.optimizers.SGD(0.0)
    metrics = [Counts(rows, name="counts"), Order(rows, batch_size, optimizer, name="steps")]
    model.compile(optimizer, "mse", metrics=metrics)
    return model
"""


@pytest.mark.parametrize(
    ("workers", "rows", "batch_size"),
    [
        (2, 23, 4),
        pytest.param(1, 23, 4, marks=pytest.mark.soak),
        pytest.param(3, 7, 2, marks=pytest.mark.soak),
    ],
)
def test_every_row_is_met_once_per_epoch_in_another_order_each_time(spark, workers, rows, batch_size):
    position = np.arange(rows)
    df = spark.createDataFrame(pd.DataFrame({"x": position / rows, "y": position}))

    run = nbkeras.fit(
        define(WITNESS)["make"](rows, batch_size),
        df,
        "y",
        epochs=4,
        batch_size=batch_size,
        seed=3,
        workers=workers,
        spark=spark,
    )

    for counts in run.history["counts"]:
        assert counts.tolist() == [1.0] * rows
    orders = {tuple(steps.tolist()) for steps in run.history["steps"]}
    assert len(orders) == 4
    unshuffled = [1.0 + index // batch_size for index in range(rows)]
    assert tuple(unshuffled) not in orders


@pytest.fixture(scope="module")
def table():
    random = np.random.default_rng(1)
    x = random.normal(size=(60, 3))
    return pd.DataFrame(x, columns=["a", "b", "c"]).assign(y=x.sum(axis=1) + random.normal(size=60))


@pytest.fixture(scope="module")
def trained(spark):
    def trained(data, y="y", **options):
        keras.utils.set_random_seed(2)
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3, "tanh"), keras.layers.Dense(1)])
        model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "mse")
        nbkeras.fit(model, data, y, epochs=2, batch_size=8, spark=spark, **{"workers": 2, **options})
        return np.concatenate([value(one).ravel() for one in model.weights])

    return trained


@pytest.mark.parametrize(
    "partitioned",
    [
        pytest.param(lambda df: df.orderBy("b").coalesce(1), id="one and sorted"),
        pytest.param(lambda df: df.repartition(5), id="five", marks=pytest.mark.soak),
    ],
)
def test_a_seed_fixes_the_weights_however_the_rows_are_partitioned(spark, table, trained, partitioned):
    df = spark.createDataFrame(table)
    first = trained(df, seed=5)

    np.testing.assert_array_equal(trained(partitioned(df), seed=5), first)
    assert np.abs(trained(df, seed=6) - first).max() > 1e-4


def test_keras_own_seed_fixes_the_order_where_none_is_given(table, trained):
    x, y = table[["a", "b", "c"]].to_numpy(), table.y.to_numpy()

    first = trained(x, y, workers=1)

    np.testing.assert_array_equal(trained(x, y, workers=1), first)
    assert np.abs(trained(x, y, workers=1, shuffle=False) - first).max() > 1e-4
