"""Optimizers, gradients and number formats over several workers."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers
from twins import assert_same_history, assert_same_model, assert_trains_like_keras, eagerly, twins, value

import nbkeras

ROWS = 29
RANDOM = np.random.default_rng(1)
X = RANDOM.normal(size=(ROWS, 5)).astype("float32")
Y = RANDOM.normal(size=(ROWS, 1)).astype("float32")
# Words that come several times in each batch.
WORDS = RANDOM.integers(0, 6, (ROWS, 4)).astype("int32")

pytestmark = pytest.mark.usefixtures("as_in_a_notebook")


def regressor(optimizer):
    model = keras.Sequential([keras.Input((5,)), layers.Dense(4, "tanh"), layers.Dense(1)])
    model.compile(optimizer, "mse")
    return model


CLIPS = [{"clipnorm": 0.1}, {"clipvalue": 0.02}, {"global_clipnorm": 0.1}]
REPLACES = {"use_ema": True, "ema_momentum": 0.9, "ema_overwrite_frequency": 3}
KEEPS = {"use_ema": True, "ema_momentum": 0.8}
OTHERS = [
    {"gradient_accumulation_steps": 3},
    REPLACES,
    KEEPS,
    {"loss_scale_factor": 64.0},
    {"weight_decay": 0.1},
]


@pytest.mark.parametrize(
    "options",
    [
        {"clipnorm": 0.1, "weight_decay": 0.1, **REPLACES},
        {"clipvalue": 0.02, "gradient_accumulation_steps": 3},
        {"global_clipnorm": 0.1, "loss_scale_factor": 64.0, **KEEPS},
        *(pytest.param(alone, marks=pytest.mark.soak) for alone in (*CLIPS, *OTHERS)),
    ],
    ids=", ".join,
)
def test_what_an_optimizer_does_with_gradients_it_does_with_their_sum(spark, options):
    assert_trains_like_keras(spark, lambda: regressor(keras.optimizers.Adam(0.01, **options)), X, Y)


@pytest.mark.soak
def test_a_schedule_counts_the_steps_of_the_whole_training(spark):
    def make():
        steps = keras.optimizers.schedules.PiecewiseConstantDecay([3, 5], [0.1, 0.02, 0.005])
        return regressor(keras.optimizers.SGD(steps, momentum=0.9))

    assert_trains_like_keras(spark, make, X, Y, workers=3, batch_size=2)


class Positions(layers.Layer):
    """Looks up words, and their places: the same for all rows."""

    def __init__(self):
        super().__init__()
        self.words, self.places = layers.Embedding(6, 3), layers.Embedding(4, 3)

    def call(self, x):
        return self.words(x) + self.places(keras.ops.arange(4))


@pytest.mark.parametrize(
    ("optimizer", "workers", "batch_size"),
    [
        pytest.param(lambda: keras.optimizers.Adam(0.01), 2, 2, id="Adam and a step without rows"),
        pytest.param(lambda: keras.optimizers.SGD(0.1, clipvalue=0.01), 2, 8, id="SGD with a limit"),
        pytest.param(lambda: keras.optimizers.SGD(0.1, momentum=0.9), 2, 8, id="SGD", marks=pytest.mark.soak),
        pytest.param(lambda: keras.optimizers.Adam(0.01), 3, 2, id="Adam", marks=pytest.mark.soak),
        pytest.param(
            lambda: keras.optimizers.RMSprop(0.01, clipnorm=0.05),
            3,
            8,
            id="RMSprop with a norm",
            marks=pytest.mark.soak,
        ),
    ],
)
def test_gradients_of_embeddings_stay_apart_until_keras_adds_them_up(spark, optimizer, workers, batch_size):
    def make():
        model = keras.Sequential(
            [keras.Input((4,), dtype="int32"), Positions(), layers.Flatten(), layers.Dense(1)]
        )
        model.compile(optimizer(), "mse")
        return model

    assert_trains_like_keras(spark, make, WORDS, Y, workers=workers, batch_size=batch_size)


def mixed(policy, optimizer):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        return regressor(optimizer)
    finally:
        keras.config.set_dtype_policy(before)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", pytest.param("mixed_float16", marks=pytest.mark.soak)])
def test_mixed_precision_trains_like_keras_own_to_its_rounding(spark, policy):
    def make():
        return mixed(policy, keras.optimizers.SGD(0.02))

    # bfloat16 has 8 bits, float16 has 11.
    assert_trains_like_keras(spark, make, X, Y, tolerance=2e-2 if policy == "mixed_bfloat16" else 2e-3)


def test_a_gradient_that_overflows_on_one_worker_is_skipped_by_all(spark):
    def make():
        return mixed(
            "mixed_float16",
            keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.01), initial_scale=2.0**13),
        )

    # The third row is worker 0's; float16 ends at 65504, and its gradient is some 2 ** 13 * 50 / 8.
    x, y = X.copy(), Y.copy()
    y[2] = 400
    ours, theirs = twins(make)
    options = {"epochs": 2, "batch_size": 8, "shuffle": False}

    run = nbkeras.fit(ours, x, y, workers=2, spark=spark, **options)

    done = eagerly(theirs).fit(x, y, verbose=0, **options)
    assert value(theirs.optimizer.dynamic_scale) < 2.0**13
    assert value(ours.optimizer.dynamic_scale) == value(theirs.optimizer.dynamic_scale)
    assert value(ours.optimizer.iterations) == value(theirs.optimizer.iterations) < 8
    assert_same_history(run.history, done.history, 2e-3)
    assert_same_model(ours, theirs, 2e-3)


def normalised(*more, synchronized):
    norm = layers.BatchNormalization(synchronized=synchronized, momentum=0.8)
    model = keras.Sequential([keras.Input((5,)), layers.Dense(4), norm, *more, layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    return model


@pytest.mark.parametrize(
    ("workers", "batch_size"),
    [
        pytest.param(2, 2, id="a step without rows"),
        pytest.param(3, 2, id="steps without rows", marks=pytest.mark.soak),
        pytest.param(3, 8, id="rows for all", marks=pytest.mark.soak),
    ],
)
def test_synchronized_and_frozen_normalization_are_those_of_one_process(spark, workers, batch_size):
    run = assert_trains_like_keras(
        spark,
        lambda: normalised(layers.BatchNormalization(trainable=False), synchronized=True),
        X,
        Y,
        workers=workers,
        tolerance=1e-3,  # the variance is that of squares, as Keras' own over several devices
        batch_size=batch_size,
        validation_data=(X[:7], Y[:7]),
    )

    assert run.notes == []


def test_moving_statistics_of_a_normalization_are_the_means_of_the_workers_own(spark):
    ours, theirs = twins(lambda: normalised(synchronized=False))
    for model in (ours, theirs):
        model.optimizer.learning_rate = 0.0
    options = {"epochs": 1, "batch_size": 14, "shuffle": False}

    run = nbkeras.fit(ours, X[:28], Y[:28], workers=2, spark=spark, **options)

    eagerly(theirs).fit(X[:28], Y[:28], verbose=0, **options)
    assert [note for note in run.notes if note.startswith("BatchNormalization: with 2 workers")]
    # Means of halves have the whole's mean; their variances lack that between the halves.
    np.testing.assert_allclose(value(ours.layers[1].moving_mean), value(theirs.layers[1].moving_mean), 1e-4)
    ratio = value(ours.layers[1].moving_variance) / value(theirs.layers[1].moving_variance)
    assert (ratio < 1.0001).all()
    assert (ratio > 0.7).all()
