"""Random numbers: what layers draw on workers, and where the notebook goes on from."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from twins import assert_same_history, assert_same_model, define, value

import nbkeras

LAYERS = """
import keras

class Noise(keras.layers.Layer):
    def call(self, x):
        return x + keras.random.normal(keras.ops.shape(x))

class Code(keras.layers.Layer):
    def __init__(self):
        super().__init__()
        self.seed_generator = keras.random.SeedGenerator()

    def call(self, x):
        return x + keras.random.normal(keras.ops.shape(x), seed=self.seed_generator)

class Images(keras.Model):
    def build(self, shape):
        self.all = [keras.layers.RandomFlip(), Code(), Noise(), keras.layers.Dropout(0.5)]
        self.all += [keras.layers.Flatten(), keras.layers.Dense(1)]
        super().build(shape)

    def call(self, x):
        for one in self.all:
            x = one(x)
        return x
"""

X, Y = np.random.default_rng(1).random((13, 4, 4, 1), "float32"), np.arange(13.0)
HELD_OUT = X[:5] + 1, Y[:5] - 1
HOW = {"batch_size": 4, "shuffle": False, "verbose": 0}


def images():
    """A model that is not built yet and draws from generators of all sorts, begun with the same seeds."""
    keras.utils.set_random_seed(3)
    model = define(LAYERS)["Images"]()
    model.compile(keras.optimizers.Adam(0.01), "mse", metrics=["mae"])
    return model


def generators(model):
    return [value(one).tolist() for one in model.variables if one.path.endswith("seed_generator_state")]


@pytest.fixture(scope="module")
def expected():
    """What Keras makes of two epochs and of two more, and what is drawn next."""
    model = images()
    runs = [model.fit(X, Y, epochs=2, validation_data=HELD_OUT, **HOW).history for _ in range(2)]
    return model, runs, float(keras.random.uniform(()))


def test_one_worker_draws_what_keras_draws_and_the_notebook_goes_on_from_there(spark, expected):
    theirs, histories, drawn = expected
    model = images()
    for history in histories:
        run = nbkeras.fit(model, X, Y, epochs=2, validation_data=HELD_OUT, workers=1, spark=spark, **HOW)
        assert run.notes == []
        assert_same_history(run.history, history)
    assert_same_model(model, theirs)
    assert generators(model) == generators(theirs)
    assert float(keras.random.uniform(())) == drawn


def test_a_training_that_goes_on_from_a_checkpoint_draws_what_it_would_have_drawn(spark, expected, tmp_path):
    theirs, (first, second), drawn = expected
    how = {"validation_data": HELD_OUT, "workers": 1, "spark": spark, "checkpoint": tmp_path, **HOW}
    nbkeras.fit(images(), X, Y, epochs=2, **how)
    model = images()
    run = nbkeras.fit(model, X, Y, epochs=4, resume=True, **how)
    assert_same_history(run.history, {name: [*first[name], *second[name]] for name in first})
    assert_same_model(model, theirs)
    assert float(keras.random.uniform(())) == drawn
