"""Steps per epoch and per execution, and training steps of the user's own, over several workers."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from test_bad_input import refused
from twins import assert_same_history, assert_trains_like_keras, eagerly, twins, value

import nbkeras
from nbkeras.errors import ModelError

ROWS, CHECKED = 29, 13
RANDOM = np.random.default_rng(2)
X, X_CHECKED = (RANDOM.normal(size=(rows, 5)).astype("float32") for rows in (ROWS, CHECKED))
Y, Y_CHECKED = (RANDOM.normal(size=(rows, 1)).astype("float32") for rows in (ROWS, CHECKED))


pytestmark = pytest.mark.usefixtures("as_in_a_notebook")


def regressor(loss="mse", **compiled):
    model = keras.Sequential([keras.Input((5,)), layers.Dense(4, "tanh"), layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.01), loss, metrics=["mae"], **compiled)
    return model


SEVERAL = {"steps_per_epoch": 3, "epochs": 5}
MORE = {"steps_per_epoch": 9, "epochs": 2}
NO_SIZE = {"steps_per_epoch": 3, "epochs": 3, "batch_size": None}


@pytest.mark.filterwarnings("ignore:Your input ran out of data")  # Keras' own, of its own training
@pytest.mark.parametrize(
    ("workers", "options"),
    [
        pytest.param(2, SEVERAL, id="epochs over several rounds"),
        pytest.param(1, MORE, id="one worker and more steps than batches", marks=pytest.mark.soak),
        pytest.param(1, NO_SIZE, id="one worker and no batch size"),
        pytest.param(1, SEVERAL, id="one worker", marks=pytest.mark.soak),
        pytest.param(3, SEVERAL, id="three workers", marks=pytest.mark.soak),
        pytest.param(2, MORE, id="more steps than batches", marks=pytest.mark.soak),
        pytest.param(2, NO_SIZE, id="no batch size", marks=pytest.mark.soak),
    ],
)
def test_an_epoch_of_so_many_steps_goes_on_where_the_last_has_ended(spark, workers, options):
    run = assert_trains_like_keras(
        spark,
        regressor,
        X,
        Y,
        workers=workers,
        validation_data=(X_CHECKED, Y_CHECKED),
        validation_steps=2,
        **options,
    )

    assert run.partial is None
    if options["epochs"] == 5:
        assert [note for note in run.notes if note.startswith("steps_per_epoch=3 does not divide the 4")]


def test_rows_that_an_epoch_has_left_over_are_shuffled_with_the_next_round(spark):
    seen = []
    model = keras.Sequential([keras.Input((1,)), layers.Dense(1, use_bias=False, kernel_initializer="zeros")])
    # The weight grows by each row's value, and each row is a bit of its own.
    model.compile(keras.optimizers.SGD(1.0), lambda y, predicted: -predicted)  # noqa: ARG005  # as Keras calls it
    bits = 2.0 ** np.arange(12)

    class Weights(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append(float(value(self.model.weights[0])[0, 0]))

    nbkeras.fit(
        model,
        bits.reshape(-1, 1),
        np.zeros(12),
        batch_size=2,
        steps_per_epoch=3,
        epochs=4,
        workers=1,
        seed=3,
        callbacks=[Weights()],
        spark=spark,
    )

    half, first, _, second = (int(2 * one) for one in seen)
    assert first == second - first == 2**12 - 1
    assert half.bit_count() == 6


@pytest.mark.filterwarnings("ignore:Your input ran out of data")  # Keras' own, of its own training
@pytest.mark.parametrize(
    ("workers", "options"),
    [
        pytest.param(2, {"batch_size": 2, "steps_per_epoch": 5, "epochs": 4}, id="and steps per epoch"),
        pytest.param(3, {"batch_size": 2}, id="steps without rows", marks=pytest.mark.soak),
    ],
)
def test_several_steps_in_one_execution_train_like_keras_own(spark, workers, options):
    run = assert_trains_like_keras(
        spark,
        lambda: regressor(steps_per_execution=3),
        X,
        Y,
        workers=workers,
        validation_data=(X_CHECKED, Y_CHECKED),
        **options,
    )

    assert run.partial is None


class Pair(keras.Model):
    """Two networks, each with an optimizer of its own; nobody calls the model itself."""

    def __init__(self):
        super().__init__()
        self.encoder = keras.Sequential([keras.Input((5,)), layers.Dense(3, "tanh")])
        self.decoder = keras.Sequential([keras.Input((3,)), layers.Dense(5)])
        self.distance = keras.metrics.Mean(name="distance")
        self.size = keras.metrics.Mean(name="size")

    def compile(self, first, second):
        super().compile()
        self.both = {"encoder": first, "decoder": second}

    @property
    def metrics(self):
        return [self.distance, self.size]

    def train_step(self, data):
        x, _ = data
        for name in ("encoder", "decoder"):
            variables = getattr(self, name).trainable_variables
            with tf.GradientTape() as tape:
                code = self.encoder(x)
                loss = keras.ops.mean((self.decoder(code) - x) ** 2)
            self.both[name].apply(tape.gradient(loss, variables), variables)
        self.distance.update_state(loss)
        self.size.update_state(keras.ops.abs(code))
        return {one.name: one.result() for one in self.metrics}


class Count(keras.callbacks.Callback):
    """How often an optimizer that the first step has built was applied, after each epoch."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def on_epoch_end(self, epoch, logs=None):
        self.seen.append(int(value(self.model.both["encoder"].iterations)))


@pytest.mark.parametrize("workers", [1, 2])
def test_every_optimizer_of_a_models_own_step_gets_the_sum_and_comes_back(spark, workers):
    def make():
        model = Pair()
        model.compile(keras.optimizers.Adam(0.01), keras.optimizers.SGD(0.1, momentum=0.9))
        return model

    ours, theirs = twins(make)
    options = {"epochs": 2, "batch_size": 7, "shuffle": False}

    count = Count()
    run = nbkeras.fit(ours, X, Y, workers=workers, callbacks=[count], spark=spark, **options)

    done = eagerly(theirs).fit(X, Y, verbose=0, **options)
    assert count.seen == [5, 10]
    assert_same_history(run.history, done.history)
    for name, optimizer in ours.both.items():
        pairs = zip(optimizer.variables, theirs.both[name].variables, strict=True)
        assert all(np.allclose(value(one), value(other), 1e-4, 1e-5) for one, other in pairs)
    for one, other in zip(ours.weights, theirs.weights, strict=True):
        np.testing.assert_allclose(value(one), value(other), 1e-5, 1e-5)
    expected = ["Pair has its own train_step"] if workers > 1 else []
    assert [note[:27] for note in run.notes] == expected


class Plain(keras.Sequential):
    """A step that gives what it has found, not metrics."""

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = keras.ops.mean((self(x, training=True) - y) ** 2)
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
        return {"last": loss}


def test_what_a_models_own_step_gives_is_that_of_all_rows(spark):
    def make():
        words = layers.Embedding(4, 3)
        model = Plain([keras.Input((5,), dtype="int32"), words, layers.Flatten(), layers.Dense(1)])
        model.compile(keras.optimizers.Adam(0.01))
        return model

    assert_trains_like_keras(spark, make, np.abs(X).astype("int32"), Y, batch_size=7)


class Still(keras.Sequential):
    def train_step(self, data):
        for variable in self.trainable_variables:
            variable.assign(0.9 * variable)
        return {"loss": 0.0}


def test_a_step_that_hands_no_gradients_to_an_optimizer_is_refused(spark):
    model = Still([keras.Input((5,)), layers.Dense(1)])
    model.compile("sgd")

    with refused(ModelError, "Still.train_step", "optimizer.apply", "--workers 1"):
        nbkeras.fit(model, X, Y, workers=2, spark=spark)


def test_a_stop_while_workers_meet_in_each_step_of_a_validation_ends_it_on_all(spark, wait_for):
    model = regressor(loss=keras.losses.MeanSquaredError(reduction="mean_with_sample_weight"))
    many = np.tile(X, (1000, 1))

    run = nbkeras.fit(
        model,
        X,
        Y,
        sample_weight=np.ones(ROWS),
        validation_data=(many, np.zeros((len(many), 1)), np.ones(len(many))),
        validation_batch_size=2,
        epochs=3,
        workers=2,
        background=True,
        spark=spark,
    )
    wait_for(lambda: run.phase == "validating" or run.done.is_set(), "validation")
    run.stop()
    run.wait()

    assert run.status == "stopped"
    assert sorted(run.history) == ["loss", "mae"]
    assert len(run.history["loss"]) == 1
