"""Random numbers: what layers draw on workers, and where the notebook goes on from."""

from __future__ import annotations

import threading

import keras
import numpy as np
import pytest
from twins import assert_same_history, assert_same_model, define, value

import nbkeras
from nbkeras.model import exactness, randomness

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


@pytest.mark.parametrize("workers", [2, *(pytest.param(one, marks=pytest.mark.soak) for one in (1, 3))])
def test_workers_draw_what_keras_draws_and_the_notebook_goes_on_from_there(spark, expected, workers):
    theirs, histories, drawn = expected
    model = images()
    for history in histories:
        run = nbkeras.fit(
            model, X, Y, epochs=2, validation_data=HELD_OUT, workers=workers, spark=spark, **HOW
        )
        assert run.notes == []
        assert_same_history(run.history, history)
    assert_same_model(model, theirs)
    assert generators(model) == generators(theirs)
    assert float(keras.random.uniform(())) == drawn


@pytest.mark.parametrize("backend", ["torch", pytest.param("jax", marks=pytest.mark.soak)])
def test_two_workers_of_another_backend_draw_what_one_draws(spark, backend):
    made = []
    for workers in (1, 2):
        keras.utils.set_random_seed(3)
        drawing = [
            keras.layers.RandomFlip(),
            define(LAYERS)["Code"](),
            keras.layers.Dropout(0.5),
        ]
        model = keras.Sequential(
            [keras.Input((4, 4, 1)), *drawing, keras.layers.Flatten(), keras.layers.Dense(1)]
        )
        model.compile(keras.optimizers.Adam(0.01), "mse")
        how = {"workers": workers, "backend": backend, "spark": spark, **HOW}
        run = nbkeras.fit(model, X[:8], Y[:8], epochs=2, **how)  # JAX compiles for each size
        assert run.notes == []
        made.append((run.history, model, generators(model)))
    (first, one, stand), (second, two, again) = made
    assert_same_history(second, first)
    assert_same_model(two, one)
    assert stand == again


def test_layers_for_which_each_worker_draws_numbers_of_its_own_are_named(spark):
    layers = [keras.layers.MixUp(), keras.layers.RandAugment((0, 1)), keras.layers.Flatten()]
    model = keras.Sequential(
        [keras.Input((4, 4, 1)), *layers, keras.layers.Dropout(0.5), keras.layers.Dense(1)]
    )
    model.compile("sgd", "mse")
    run = nbkeras.fit(model, X, Y, workers=2, spark=spark, **HOW)
    coupled, apart = run.notes
    assert coupled.startswith("Equalization: with 2 workers each sees its own part of a batch")
    assert apart.startswith("MixUp: each of the 2 workers draws random numbers of its own")


def test_a_training_that_goes_on_from_a_checkpoint_draws_what_it_would_have_drawn(spark, expected, tmp_path):
    theirs, (first, second), drawn = expected
    how = {"validation_data": HELD_OUT, "workers": 1, "spark": spark, "checkpoint": tmp_path, **HOW}
    nbkeras.fit(images(), X, Y, epochs=2, **how)
    model = images()
    run = nbkeras.fit(model, X, Y, epochs=4, resume=True, **how)
    assert_same_history(run.history, {name: [*first[name], *second[name]] for name in first})
    assert_same_model(model, theirs)
    assert float(keras.random.uniform(())) == drawn


def test_a_layer_that_chooses_by_pythons_random_numbers_is_named_for_one_worker_too():
    model = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.AugMix()])
    (note,) = exactness.notes(model, workers=1, sync_every=1)
    assert note.startswith("AugMix chooses by Python's own random numbers")


def test_a_thread_that_looks_at_a_model_pauses_no_generator_of_another():
    own, begun, over = keras.random.SeedGenerator.next, threading.Event(), threading.Event()

    def look():
        with randomness.paused():
            begun.set()
            over.wait(60)

    thread = threading.Thread(target=look)
    thread.start()
    begun.wait(60)
    seed = keras.random.SeedGenerator(1)
    first, second = (value_of(seed.next()) for _ in range(2))
    with randomness.paused():
        over.set()
        thread.join()
        third, fourth = (value_of(seed.next()) for _ in range(2))

    assert first != second
    assert third == fourth
    assert keras.random.SeedGenerator.next is own


def value_of(state):
    return keras.ops.convert_to_numpy(state).tolist()
