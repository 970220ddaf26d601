"""Workers of every backend, for notebooks of every backend; torch and JAX need their extras installed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from twins import assert_same_history, assert_same_model, define, twins

import nbkeras
from nbkeras.errors import ModelError
from nbkeras.plan import BACKENDS

ROOT = Path(__file__).parents[1]
HERE = keras.config.backend()
OTHERS = [name for name in BACKENDS if name != HERE]

NOTEBOOK = """
import keras
from keras import ops

class Gate(keras.layers.Layer):
    def __init__(self, start):
        super().__init__()
        self.scale = ops.convert_to_tensor([0.5, 1.0, 1.5, 2.0])
        self.dense = keras.layers.Dense(4, kernel_regularizer="l2")
        self.start = start

    def build(self, shape):
        self.dense.build(shape)
        self.gate = self.add_weight(shape=(4,), initializer=keras.initializers.Constant(self.start))

    def call(self, x):
        return self.scale * self.dense(x) * ops.sigmoid(self.gate)

class Twice(keras.losses.Loss):
    def __init__(self):
        super().__init__()
        self.last = keras.layers.Softmax()

    def call(self, y, predicted):
        return ops.categorical_crossentropy(y, self.last(predicted))

def make(optimizer):
    left, right = keras.Input((5,), name="features"), keras.Input((1,), name="offset")
    body = Gate(0.3)(keras.layers.Concatenate()([left, keras.layers.Dropout(0.0)(right)]))
    model = keras.Model([left, right], keras.layers.Dense(3, activation="softmax", name="kind")(body))
    model.compile(
        optimizer, Twice(),
        metrics=[keras.metrics.AUC(name="auc"), keras.metrics.F1Score(average=None, name="f1")],
        weighted_metrics=["accuracy"],
    )
    return model
"""

OPTIMIZERS = {
    "sgd": lambda: keras.optimizers.SGD(0.05, momentum=0.9, use_ema=True, ema_overwrite_frequency=2),
    "adamw": lambda: keras.optimizers.AdamW(
        keras.optimizers.schedules.ExponentialDecay(0.01, 2, 0.7), clipnorm=1.0
    ),
}


def rows(number, seed):
    random = np.random.default_rng(seed)
    x = random.normal(size=(number, 5)).astype("float32")
    kind = random.integers(0, 3, number)
    return {
        "features": list(x),
        "offset": random.normal(size=number).astype("float32"),
        "kind": list(np.eye(3, dtype="float32")[kind]),
        "weight": random.uniform(0.25, 2, number),
    }


def arrays(columns):
    x = {"features": np.stack(columns["features"]), "offset": columns["offset"].reshape(-1, 1)}
    return x, np.stack(columns["kind"]), columns["weight"]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("backend", OTHERS)
def test_workers_of_another_backend_train_what_keras_trains_here(spark, backend, optimizer):
    train, held_out = rows(7, 1), rows(5, 2)
    ours, theirs = twins(lambda: define(NOTEBOOK)["make"](OPTIMIZERS[optimizer]()))
    options = {"epochs": 3, "batch_size": 2, "shuffle": False}

    # Steps of two rows for three workers: in each of them one has none.
    run = nbkeras.fit(
        ours,
        spark.createDataFrame(pd.DataFrame(train)),
        "kind",
        sample_weight="weight",
        validation_data=spark.createDataFrame(pd.DataFrame(held_out)),
        workers=3,
        backend=backend,
        spark=spark,
        **options,
    )

    x, y, weight = arrays(train)
    done = theirs.fit(x, y, sample_weight=weight, validation_data=arrays(held_out), verbose=0, **options)
    assert_same_history(run.history, done.history, 1e-4)
    assert_same_model(ours, theirs, 1e-4)
    if optimizer == "adamw":  # Keras cannot train twice with moving averages on JAX
        # What came back goes on here.
        for model in (ours, theirs):
            model.fit(x, y, epochs=1, shuffle=False, verbose=0)
        assert_same_model(ours, theirs, 1e-4)


@pytest.mark.parametrize("backend", OTHERS)
def test_workers_of_another_backend_evaluate_and_predict_as_keras_here(spark, backend):
    model = define(NOTEBOOK)["make"](OPTIMIZERS["sgd"]())
    x, y, weight = arrays(rows(50, 3))

    with nbkeras.on_spark(backend=backend, spark=spark):
        found = model.evaluate(x, y, sample_weight=weight, return_dict=True, verbose=0)
        predicted = model.predict(x, verbose=0)

    expected = model.evaluate(x, y, sample_weight=weight, return_dict=True, verbose=0)
    assert list(found) == list(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, 1e-4, 1e-5, err_msg=name)
    np.testing.assert_allclose(predicted, model.predict(x, verbose=0), 1e-4, 1e-5)


@pytest.mark.parametrize("backend", OTHERS)
def test_seeds_of_random_layers_travel_to_another_backend_and_back(spark, backend):
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dropout(0.5, seed=3), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    before = model.get_weights()[0]
    x = np.random.default_rng(0).normal(size=(20, 5)).astype("float32")

    nbkeras.fit(model, x, x.sum(axis=1), workers=2, backend=backend, spark=spark)

    (seed,) = [one for one in model.variables if one.path.endswith("seed_generator_state")]
    assert np.asarray(keras.ops.convert_to_numpy(seed.value)).tolist() == [3, 1]
    assert np.abs(model.get_weights()[0] - before).max() > 0


@pytest.mark.skipif(HERE == "jax", reason="JAX has no such numbers unless it is told so")
@pytest.mark.parametrize("backend", OTHERS)
def test_wide_numbers_stay_wide(spark, backend):
    def make():
        model = keras.Sequential([keras.Input((4,), dtype="float64"), keras.layers.Dense(1, dtype="float64")])
        model.compile(keras.optimizers.SGD(0.1), "mse")
        return model

    keras.config.set_floatx("float64")
    try:
        ours, theirs = twins(make)
        x = np.random.default_rng(0).normal(size=(20, 4))

        nbkeras.fit(ours, x, x.sum(axis=1), epochs=2, shuffle=False, workers=2, backend=backend, spark=spark)

        theirs.fit(x, x.sum(axis=1), epochs=2, shuffle=False, verbose=0)
    finally:
        keras.config.set_floatx("float32")
    # Keras itself takes 32 bits for some of it on torch and JAX; what is asked for are 64.
    assert_same_model(ours, theirs, 1e-6)
    kernel = ours.get_weights()[0]
    assert kernel.dtype == "float64"
    assert (kernel != kernel.astype("float32")).all()


@pytest.mark.skipif(HERE != "torch", reason="only torch has modules of its own")
def test_a_module_of_torch_is_named_as_what_cannot_travel(spark):
    import torch

    model = keras.Sequential([keras.Input((4,)), keras.layers.TorchModuleWrapper(torch.nn.Linear(4, 1))])
    model.compile("sgd", "mse")

    with pytest.raises(ModelError, match=r"^TorchModuleWrapper .*module belongs to torch, not to Keras"):
        nbkeras.fit(model, np.ones((4, 4)), np.ones(4), spark=spark)


#: Tests of other files that hold on every backend, as in a notebook that runs on it.
COMMON = {
    "test_backends.py": "tensorflow or torch_is_named",
    "test_equality.py": (
        "one_process and 3-adam or do_not_divide and without or empty_partition or keras_own and Quartic "
        "or keras_own and 96 or schedule_act or subclassed or couple_rows_train or fit_again"
    ),
    "test_callbacks.py": "restores_the_best or on_nan and within or can_stop and stops",
    "test_evaluate_predict.py": "over_all_rows and weight or keeps_all_columns or predict_of_arrays",
    "test_bad_input.py": "on_the_worker_keeps_its_traceback or two_workers_is_told_once",
    "test_nothing_left.py": "(in_an_epoch or old_weights) and 2",
}
#: JAX compiles a step for each size of a worker's part of a batch: all would take a quarter of an hour.
FEWER = COMMON | {"test_equality.py": "one_process and 3-adam or empty_partition or fit_again"}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("backend", [name for name in OTHERS if name != "tensorflow"])
def test_a_notebook_on_another_backend_keeps_the_promises(backend):
    common = FEWER if backend == "jax" else COMMON
    chosen = " or ".join(f"({words})" for words in common.values())
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *(f"tests/{name}" for name in common), "-k", chosen],
        env={**os.environ, "KERAS_BACKEND": backend},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )

    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
