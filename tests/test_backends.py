"""Workers of every backend, for notebooks of every backend; torch and JAX need their extras installed."""

from __future__ import annotations

import itertools
import os
import pickle
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from twins import assert_same_history, assert_same_model, define, eagerly, twins

import nbkeras
from nbkeras.errors import ModelError
from nbkeras.model import pickling
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

def make(optimizer, metrics=True):
    left, right = keras.Input((5,), name="features"), keras.Input((1,), name="offset")
    # It draws numbers, though it never drops one.
    rare = keras.layers.Dropout(1e-12, seed=3)
    body = Gate(0.3)(keras.layers.Concatenate()([left, rare(right)]))
    model = keras.Model([left, right], keras.layers.Dense(3, activation="softmax", name="kind")(body))
    more = [keras.metrics.AUC(name="auc"), keras.metrics.F1Score(average=None, name="f1")]
    model.compile(optimizer, Twice(), metrics=more if metrics else None, weighted_metrics=["accuracy"])
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


def but(*rare):
    """The other backends, of which some are for the soak."""
    return [pytest.param(one, marks=pytest.mark.soak if one in rare else []) for one in OTHERS]


#: Of each backend one optimizer by default; Keras cannot train twice with moving averages on JAX.
BY_DEFAULT = {("torch", "sgd"), ("jax", "adamw"), ("tensorflow", "adamw")}


@pytest.mark.quick
@pytest.mark.parametrize(
    ("backend", "optimizer"),
    [
        pytest.param(*pair, marks=[] if pair in BY_DEFAULT else pytest.mark.soak)
        for pair in itertools.product(OTHERS, OPTIMIZERS)
    ],
)
def test_workers_of_another_backend_train_what_keras_trains_here(spark, backend, optimizer):
    train, held_out = rows(7, 1), rows(5, 2)
    # JAX compiles whatever a metric does; on it those of one optimizer are enough.
    metrics = (backend, optimizer) != ("jax", "adamw")
    ours, theirs = twins(lambda: define(NOTEBOOK)["make"](OPTIMIZERS[optimizer](), metrics))
    options = {"epochs": 3, "batch_size": 2, "shuffle": False}

    # Steps of two rows for three workers: in each of them one has none. For two, the last has one row.
    workers = 2 if backend == "jax" else 3  # it compiles for each size of a worker's part
    run = nbkeras.fit(
        ours,
        spark.createDataFrame(pd.DataFrame(train)),
        "kind",
        sample_weight="weight",
        validation_data=spark.createDataFrame(pd.DataFrame(held_out)),
        workers=workers,
        backend=backend,
        spark=spark,
        **options,
    )

    x, y, weight = arrays(train)
    validation = arrays(held_out)
    done = eagerly(theirs).fit(x, y, sample_weight=weight, validation_data=validation, verbose=0, **options)
    assert_same_history(run.history, done.history, 1e-4)
    assert_same_model(ours, theirs, 1e-4)
    # Seeds of random layers travel there and back, also where a worker has no rows in a step.
    (seed,) = [one for one in ours.variables if one.path.endswith("seed_generator_state")]
    assert np.asarray(keras.ops.convert_to_numpy(seed.value)).tolist() == [3, 12]
    if optimizer == "adamw":
        # What came back goes on here.
        for model in (ours, theirs):
            model.fit(x, y, epochs=1, shuffle=False, verbose=0)
        assert_same_model(ours, theirs, 1e-4)


def test_workers_of_torch_draw_what_one_draws_where_no_seed_was_given_and_in_each_epoch_anew(spark):
    # Torch draws for Dropout from a generator of its own. All weights are moved alike but where the input
    # of one of two rows was dropped.
    moved = []
    for epochs, workers in ((1, 1), (1, 2), (2, 2)):
        model = keras.Sequential(
            [keras.Input((64,)), keras.layers.Dropout(0.5, name="drop"), keras.layers.Dense(1)]
        )
        model.get_layer("drop").seed_generator.state.assign([5, 0])
        model.set_weights([np.zeros((64, 1)), np.zeros(1)])
        model.compile(keras.optimizers.SGD(1e-6), "mae")
        how = {"epochs": epochs, "batch_size": 2, "shuffle": False, "workers": workers, "backend": "torch"}
        nbkeras.fit(model, np.ones((2, 64), "float32"), np.ones(2), seed=1, spark=spark, **how)
        moved.append(np.round(np.asarray(model.get_weights()[0]) * 1e6).ravel())
    one, two, more = moved
    assert {*one} == {0, 1, 2}
    assert np.array_equal(two, one)
    assert not np.array_equal(more, 2 * two)


@pytest.mark.parametrize("backend", but("jax"))
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


@pytest.mark.skipif(HERE == "jax", reason="JAX has no such numbers unless it is told so")
@pytest.mark.parametrize("backend", but("torch"))
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

        eagerly(theirs).fit(x, x.sum(axis=1), epochs=2, shuffle=False, verbose=0)
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


ELSEWHERE = """
import pickle, sys
import keras
from nbkeras import errors
from nbkeras.model import pickling

source, x, y, weight = pickle.load(sys.stdin.buffer)
exec(source)
model = make(keras.optimizers.Adam(0.01))
model.fit(x, y, sample_weight=weight, verbose=0)
if keras.config.backend() == "torch":
    import torch
    foreign = keras.layers.TorchModuleWrapper(torch.nn.Linear(4, 1))
    try:
        pickling.dumps(keras.Sequential([keras.Input((4,)), foreign]))
    except errors.ModelError as error:
        assert "module belongs to torch, not to Keras" in str(error)
    else:
        raise AssertionError("it travels")
found = model.evaluate(x, y, sample_weight=weight, return_dict=True, verbose=0)
sys.stdout.buffer.write(pickle.dumps((pickling.contents(model, []), found)))
"""


@pytest.mark.soak  # a process of its own; below, whole notebooks are on other backends
@pytest.mark.parametrize("backend", OTHERS)
def test_a_model_of_a_notebook_on_another_backend_is_the_same_here(backend):
    given = arrays(rows(10, 4))
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE],
        input=pickle.dumps((NOTEBOOK, *given)),
        env={**os.environ, "KERAS_BACKEND": backend},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    sent, expected = pickle.loads(done.stdout)  # noqa: S301  # our own process wrote it

    model = pickling.restored(sent)["model"]

    x, y, weight = given
    found = model.evaluate(x, y, sample_weight=weight, return_dict=True, verbose=0)
    assert list(found) == list(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, 1e-4, 1e-5, err_msg=name)
    assert int(model.optimizer.iterations) == 1
    model.fit(x, y, sample_weight=weight, verbose=0)
    assert int(model.optimizer.iterations) == 2


#: Tests of other files that hold on every backend, as in a notebook that runs on it.
COMMON = {
    "test_backends.py": "tensorflow or torch_is_named",
    "test_equality.py": (
        "one_process and 3-adam or do_not_divide and without or empty_partition or keras_own and Quartic "
        "or keras_own and 101 or schedule_act or subclassed or couple_rows_train or fit_again"
    ),
    "test_callbacks.py": "restores_the_best or on_nan and within or can_stop and stops",
    "test_evaluate_predict.py": "over_all_rows and weight or keeps_all_columns or predict_of_arrays",
    "test_bad_input.py": "on_the_worker_keeps_its_traceback or two_workers_is_told_once",
    "test_nothing_left.py": "(in_an_epoch or old_weights) and 2",
}
#: JAX compiles a step for each size of a worker's part of a batch: all would take a quarter of an hour.
FEWER = COMMON | {"test_equality.py": "one_process and 3-adam or empty_partition or fit_again"}


@pytest.mark.soak
@pytest.mark.timeout(7200)  # two dozen tests, each with the limit of one
@pytest.mark.parametrize(
    ("backend", "promises"),
    [
        pytest.param("torch", COMMON, id="torch"),
        pytest.param("jax", FEWER, id="jax"),
    ],
)
def test_a_notebook_on_another_backend_keeps_the_promises(backend, promises):
    if backend == HERE:
        pytest.skip("this is a notebook on it")
    chosen = " or ".join(f"({words})" for words in promises.values())
    files = [f"tests/{name}" for name in promises]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-m", "", "--any-backend", "auto", *files, "-k", chosen],
        env={**os.environ, "KERAS_BACKEND": backend},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    for file in files:  # none has lost the tests that are chosen by their names
        assert f"\n{file} " in done.stdout, done.stdout[-5000:]
