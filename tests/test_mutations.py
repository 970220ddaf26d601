"""The comparison with Keras can fail: faults put into the trainers turn it red."""

from __future__ import annotations

import contextlib
import functools

import cloudpickle
import keras
import numpy as np
import pytest
from twins import assert_same_history, assert_same_model, eagerly, twins

import nbkeras
from nbkeras.model import pickling

SHARES = """
import tensorflow as tf
from nbkeras.worker.backends.tensorflow_gradients import Places
advance = Places.advance
def changed(self, batch):
    advance(self, batch)
    self.share = {}
Places.advance = changed
"""

EQUAL_SHARES = SHARES.format("tf.where(self.share > 0, 0.5 + 0 * self.share, self.share)")

FILLERS_COUNT = SHARES.format("tf.maximum(self.share, tf.constant(0.1, self.share.dtype))")

NUMBERS_ARE_NOT_CUT = """
from nbkeras.worker.backends.tensorflow_workers import Workers
Workers.cut = lambda self, draw, number, each: draw(number)
"""

FILLERS_ARE_MEASURED = """
from nbkeras.worker import scaling
scaling._untrained = lambda model: ()
"""

DIVISORS_ARE_ROWS = """
from nbkeras.worker.losses import Loss
Loss._quotient = lambda self, *given: self._group.share
"""

LOOK_UPS_ARE_ADDED_UP = """
from nbkeras.worker import together
together._linear = lambda optimizer: True
"""

ONE_RANK_IS_LOGGED = """
from nbkeras.worker.callbacks.totals import Totals
Totals._summed = lambda self, model: {key: float(value) for key, value in model.get_metrics_result().items()}
"""

RESULTS_ARE_AVERAGED = """
from nbkeras.worker.callbacks.totals import Totals
def averaged(self, model):
    results = {key: float(value) for key, value in model.get_metrics_result().items()}
    model.reset_metrics()
    sums = self._group.agree(list(results.values()))
    return dict(zip(results, [value / self._group.size for value in sums]))
Totals._summed = averaged
"""


class Mutation:
    """Runs its code in the process that unpickles it: the trainer of one run."""

    def __init__(self, code):
        self.code = code

    def __reduce__(self):
        return exec, (self.code, {})


@pytest.fixture
def mutate(monkeypatch):
    dumps = pickling.dumps

    def mutate(code):
        def mutated(thing, *left):
            return dumps({**thing, "mutation": Mutation(code)}, *left)

        monkeypatch.setattr(pickling, "dumps", mutated)

    return mutate


def make():
    hidden = [keras.layers.Dense(3, activation="tanh"), keras.layers.Dropout(0.3)]
    model = keras.Sequential([keras.Input((4,)), *hidden, keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.05), "mse", metrics=["mae"])
    return model


def make_tagger():
    """Takes words, 0 for none, and tags each."""
    words = keras.layers.Embedding(4, 3, mask_zero=True)
    model = keras.Sequential([keras.Input((4,), dtype="int32"), words, keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.05), "mse")
    return model


def trained_by(fit, make):
    """What a fit makes of steps of 3, 3 and 1 rows: two workers' shares differ, and one has none at last."""
    random = np.random.default_rng(2)
    x = random.normal(size=(7, 4)).astype("float32")
    y = random.normal(size=7).astype("float32")
    if make is make_tagger:
        x = np.array(
            [[1] * 4, [2, 0, 0, 0], [1, 2, 3, 0], [3, 3, 0, 0], [1, 0, 0, 0], [2, 1, 0, 0], [3, 0, 0, 0]]
        )
        y = x[:, :, None]
    return fit(x, y, epochs=2, batch_size=3, shuffle=False, verbose=0).history


@pytest.fixture(scope="module")
def expected():
    """What Keras makes of a model, once for all tests."""

    @functools.cache
    def expected(make):
        _, theirs = twins(make)
        return theirs, trained_by(eagerly(theirs).fit, make)

    return expected


@pytest.fixture
def compare(spark, expected):
    def compare(make=make):
        ours, _ = twins(make)
        logged = trained_by(functools.partial(nbkeras.fit, ours, workers=2, spark=spark), make)
        theirs, history = expected(make)
        return ours, theirs, logged, history

    return compare


@pytest.mark.soak  # test_equality.py has more of it
def test_without_a_fault_the_comparison_is_green(compare, mutate):
    mutate("REACHED = True")

    ours, theirs, logged, expected = compare()

    assert_same_model(ours, theirs)
    assert_same_history(logged, expected)


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(EQUAL_SHARES, id="equal shares"),
        pytest.param(NUMBERS_ARE_NOT_CUT, id="random numbers are not cut", marks=pytest.mark.soak),
        pytest.param(FILLERS_COUNT, id="fillers count", marks=pytest.mark.soak),
    ],
)
def test_a_fault_in_the_gradients_turns_the_weights_red(compare, mutate, fault):
    mutate(fault)

    ours, theirs, _, _ = compare()

    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        assert_same_model(ours, theirs)


@pytest.mark.parametrize(
    ("fault", "red"),
    [
        pytest.param("REACHED = True", False, id="no fault", marks=pytest.mark.soak),
        pytest.param(DIVISORS_ARE_ROWS, True, id="divisors are rows", marks=pytest.mark.soak),
        pytest.param(LOOK_UPS_ARE_ADDED_UP, True, id="look-ups are added up", marks=pytest.mark.soak),
    ],
)
def test_a_fault_in_divisors_or_look_ups_turns_the_weights_red(compare, mutate, fault, red):
    mutate(fault)

    ours, theirs, _, _ = compare(make_tagger)

    with pytest.raises(AssertionError, match="Not equal to tolerance") if red else contextlib.nullcontext():
        assert_same_model(ours, theirs)


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(FILLERS_ARE_MEASURED, id="fillers are measured"),
        pytest.param(ONE_RANK_IS_LOGGED, id="one rank is logged", marks=pytest.mark.soak),
        pytest.param(RESULTS_ARE_AVERAGED, id="results are averaged", marks=pytest.mark.soak),
    ],
)
def test_a_fault_in_the_metrics_turns_the_history_red_and_leaves_the_weights(compare, mutate, fault):
    mutate(fault)

    ours, theirs, logged, expected = compare()

    assert_same_model(ours, theirs)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        assert_same_history(logged, expected)


def test_a_mutation_runs_where_it_is_unpickled():
    with pytest.raises(ZeroDivisionError):
        cloudpickle.loads(cloudpickle.dumps(Mutation("1 / 0")))
