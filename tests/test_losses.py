"""Losses and metrics that are divided by something else than rows, over workers with uneven parts."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers
from keras.losses import MeanAbsoluteError, MeanSquaredError, SparseCategoricalCrossentropy
from twins import assert_trains_like_keras

ROWS, CHECKED, STEPS = 29, 13, 4  # batches of 8, 8, 8 and 5 rows: no two workers have the same
RANDOM = np.random.default_rng(0)
X, X_CHECKED = (RANDOM.normal(size=(rows, 5)).astype("float32") for rows in (ROWS, CHECKED))
Y, Y_CHECKED = (RANDOM.normal(size=(rows, 1)).astype("float32") for rows in (ROWS, CHECKED))
WEIGHT, WEIGHT_CHECKED = (RANDOM.uniform(0.1, 3, rows).astype("float32") for rows in (ROWS, CHECKED))
# Words, 0 for none; each row has another number of them, one has none at all.
WORDS, WORDS_CHECKED = (RANDOM.integers(0, 6, (rows, STEPS)).astype("int32") for rows in (ROWS, CHECKED))
WORDS[1] = 0
TAGS, TAGS_CHECKED = (RANDOM.normal(size=(rows, STEPS, 1)).astype("float32") for rows in (ROWS, CHECKED))


pytestmark = pytest.mark.usefixtures("as_in_a_notebook")


def regressor(loss, **compiled):
    model = keras.Sequential([keras.Input((5,)), layers.Dense(4, "tanh"), layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.01), loss, **compiled)
    return model


@pytest.mark.parametrize(
    "reduction", [None, *(pytest.param(one, marks=pytest.mark.soak) for one in ("sum", "mean"))]
)
def test_any_reduction_of_a_loss_trains_like_keras_own(spark, reduction):
    assert_trains_like_keras(
        spark,
        lambda: regressor(MeanSquaredError(reduction=reduction), metrics=["mae"]),
        X,
        Y,
        validation_data=(X_CHECKED, Y_CHECKED),
    )


def test_losses_of_chances_that_are_all_but_nought_train_like_keras_own(spark):
    # As of features that nobody has scaled: Keras has such a loss from what the activation was given.
    def make():
        inputs = keras.Input((5,))
        kind = layers.Dense(3, "softmax", name="kind")(inputs)
        odd = layers.Dense(1, "sigmoid", name="odd")(inputs)
        model = keras.Model(inputs, {"kind": kind, "odd": odd})
        losses = {"kind": "sparse_categorical_crossentropy", "odd": "binary_crossentropy"}
        model.compile(keras.optimizers.SGD(1e-4), losses)
        return model

    y = {name: (np.arange(ROWS) % kinds).reshape(-1, 1) for name, kinds in (("kind", 3), ("odd", 2))}
    run = assert_trains_like_keras(spark, make, 200 * X, y, tolerance=1e-4)
    for name in y:
        assert run.history[f"{name}_loss"][0] > 20  # that of what is clipped is 16 at most


#: Workers and rows of a batch. The last batch of two rows has one: one of two workers has none then.
SIZES = [
    pytest.param(2, 2, id="a step without rows"),
    pytest.param(3, 2, id="steps without rows", marks=pytest.mark.soak),
    pytest.param(3, 8, id="rows for all", marks=pytest.mark.soak),
]


@pytest.mark.parametrize(("workers", "batch_size"), SIZES)
def test_a_loss_divided_by_the_sum_of_weights_trains_like_keras_own(spark, workers, batch_size):
    assert_trains_like_keras(
        spark,
        lambda: regressor(
            MeanSquaredError(reduction="mean_with_sample_weight"), weighted_metrics=["mse"], metrics=["mse"]
        ),
        X,
        Y,
        workers=workers,
        batch_size=batch_size,
        sample_weight=WEIGHT,
        validation_data=(X_CHECKED, Y_CHECKED, WEIGHT_CHECKED),
    )


def test_class_weights_in_a_loss_divided_by_the_sum_of_weights_train_like_keras_own(spark):
    def make():
        model = keras.Sequential([keras.Input((5,)), layers.Dense(3, activation="softmax")])
        loss = SparseCategoricalCrossentropy(reduction="mean_with_sample_weight")
        model.compile(keras.optimizers.SGD(0.1), loss, weighted_metrics=["accuracy"])
        return model

    kind, kind_checked = (RANDOM.integers(0, 3, rows) for rows in (ROWS, CHECKED))
    assert_trains_like_keras(
        spark,
        make,
        X,
        kind,
        class_weight={0: 0.2, 1: 1.0, 2: 4.0},
        validation_data=(X_CHECKED, kind_checked),
    )


def tagger(recurrent):
    model = keras.Sequential(
        [
            keras.Input((STEPS,), dtype="int32"),
            layers.Embedding(6, 3, mask_zero=True),
            recurrent(3, return_sequences=True),
            layers.Dense(1),
        ]
    )
    model.compile(keras.optimizers.Adam(0.01), "mse", metrics=["mae"], weighted_metrics=["mse"])
    return model


@pytest.mark.parametrize("recurrent", [layers.SimpleRNN, pytest.param(layers.LSTM, marks=pytest.mark.soak)])
@pytest.mark.parametrize(("workers", "batch_size"), SIZES)
def test_masked_sequences_train_like_keras_own(spark, workers, batch_size, recurrent):
    run = assert_trains_like_keras(
        spark,
        lambda: tagger(recurrent),
        WORDS,
        TAGS,
        workers=workers,
        batch_size=batch_size,
        validation_data=(WORDS_CHECKED, TAGS_CHECKED),
    )

    assert run.notes == []


def test_a_loss_of_one_number_is_taken_for_the_mean_or_sum_that_it_is_and_ignored_labels_leave_a_divisor(
    spark,
):
    def make():
        inputs = keras.Input((5,))
        hidden = layers.Dense(4, "tanh")(inputs)
        outputs = {name: layers.Dense(1, name=name)(hidden) for name in ("mean", "sum", "rows", "again")}
        steps = layers.Reshape((STEPS, 3))(layers.Dense(3 * STEPS)(hidden))
        outputs["words"] = layers.Softmax(name="words")(steps)
        rows = MeanAbsoluteError(reduction="sum")
        model = keras.Model(inputs, outputs)
        model.compile(
            keras.optimizers.SGD(0.02),
            {
                "mean": lambda y, predicted: keras.ops.mean((y - predicted) ** 2),
                "sum": lambda y, predicted: keras.ops.sum(keras.ops.abs(y - predicted)),
                "rows": rows,
                "again": rows,
                "words": SparseCategoricalCrossentropy(ignore_class=0),
            },
            loss_weights={"mean": 1.0, "sum": 0.1, "rows": 0.2, "again": 0.1, "words": 1.0},
        )
        return model

    def labels(y, words):
        return {
            "mean": y,
            "sum": 2 * y,
            "rows": y + 1,
            "again": y - 1,
            "words": np.where(words < 3, words, 0),
        }

    assert_trains_like_keras(
        spark,
        make,
        X,
        labels(Y, WORDS),
        validation_data=(X_CHECKED, labels(Y_CHECKED, WORDS_CHECKED)),
    )


class Penalties(layers.Layer):
    """Adds a sum and a mean over rows."""

    def call(self, x):
        self.add_loss(0.01 * keras.ops.sum(x * x))
        self.add_loss(keras.ops.mean(keras.ops.abs(x)))
        return x


@pytest.mark.parametrize("reduction", [pytest.param("sum", marks=pytest.mark.soak), "sum_over_batch_size"])
def test_losses_of_layers_and_regularizers_count_once(spark, reduction):
    def make():
        dense = layers.Dense(4, "tanh", kernel_regularizer="l2", activity_regularizer="l1")
        model = keras.Sequential([keras.Input((5,)), dense, Penalties(), layers.Dense(1)])
        model.compile(keras.optimizers.SGD(0.02), MeanSquaredError(reduction=reduction))
        return model

    assert_trains_like_keras(spark, make, X, Y, validation_data=(X_CHECKED, Y_CHECKED))


class OwnLoss(keras.Model):
    def __init__(self, summed):
        super().__init__()
        self.dense = layers.Dense(1)
        self.total = keras.ops.sum if summed else keras.ops.mean
        self.seed = keras.random.SeedGenerator(2)

    def call(self, x):
        # As an autoencoder that samples.
        return self.dense(x) + keras.random.normal((keras.ops.shape(x)[0], 1), seed=self.seed)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return self.total((y - y_pred) ** 2)


@pytest.mark.parametrize("summed", [True, pytest.param(False, marks=pytest.mark.soak)])
def test_a_model_with_its_own_loss_trains_like_keras_own(spark, summed):
    def make():
        model = OwnLoss(summed)
        model.compile(keras.optimizers.SGD(0.01))
        return model

    assert_trains_like_keras(spark, make, X, Y)


def distance(y, predicted):
    return keras.ops.mean(keras.ops.abs(y - predicted))


class Batches(keras.metrics.Metric):
    """The mean over batches, as many write it."""

    def __init__(self):
        super().__init__(name="batches")
        self.total = self.add_weight(initializer="zeros", name="total")
        self.count = self.add_weight(initializer="zeros", name="count")

    def update_state(self, y, predicted, sample_weight=None):
        self.total.assign_add(keras.ops.mean((y - predicted) ** 2))
        self.count.assign_add(1)

    def result(self):
        return self.total / self.count


def test_metrics_of_whole_batches_of_rows_and_of_classes_are_those_of_one_process(spark):
    def make():
        inputs = keras.Input((5,))
        outputs = {
            "number": layers.Dense(1, name="number")(layers.Dense(4, "tanh")(inputs)),
            "kind": layers.Dense(2, "sigmoid", name="kind")(inputs),
        }
        metrics = {
            "number": [distance, Batches(), keras.metrics.R2Score(), keras.metrics.RootMeanSquaredError()],
            "kind": [
                keras.metrics.AUC(multi_label=True, num_thresholds=20, name="auc"),
                keras.metrics.OneHotMeanIoU(num_classes=2, name="iou"),
                keras.metrics.SensitivityAtSpecificity(0.5, num_thresholds=20, name="sensitivity"),
                keras.metrics.Precision(thresholds=[0.3, 0.6], name="precision"),
            ],
        }
        model = keras.Model(inputs, outputs)
        losses = {"number": "mse", "kind": "binary_crossentropy"}
        model.compile(keras.optimizers.SGD(0.05), losses, metrics=metrics)
        return model

    kind, checked = (np.eye(2, dtype="float32")[RANDOM.integers(0, 2, rows)] for rows in (ROWS, CHECKED))
    assert_trains_like_keras(
        spark,
        make,
        X,
        {"number": Y, "kind": kind},
        batch_size=2,
        validation_data=(X_CHECKED, {"number": Y_CHECKED, "kind": checked}),
        validation_batch_size=7,
    )
