"""The comparison with Keras can fail: faults put into the trainers turn it red."""

from __future__ import annotations

import contextlib

import cloudpickle
import keras
import numpy as np
import pytest
from twins import assert_same_history, assert_same_model, twins

import nbkeras
from nbkeras.engine import shipping

EQUAL_SHARES = """
from nbkeras.engine.training.schedule import Steps
Steps.shares = property(lambda self: (self.counts > 0).astype("float32") / self.table.shape[1])
"""

FILLERS_COUNT = """
from nbkeras.engine.training.schedule import Steps
shares = Steps.shares.fget
Steps.shares = property(lambda self: shares(self).clip(0.1))
"""

FILLERS_ARE_MEASURED = """
from nbkeras.engine.training import parts
parts._untrained = lambda model: ()
"""

DIVISORS_ARE_ROWS = """
from nbkeras.engine.training.parts import _Loss
_Loss._quotient = lambda self, *given: self._group.share
"""

LOOK_UPS_ARE_ADDED_UP = """
from nbkeras.engine.training import collectives
collectives._linear = lambda optimizer: True
"""

ONE_RANK_IS_LOGGED = """
from nbkeras.engine.training.rank import Combine
Combine._summed = lambda self: {key: float(value) for key, value in self.model.get_metrics_result().items()}
"""

RESULTS_ARE_AVERAGED = """
from nbkeras.engine.training.rank import Combine
def averaged(self):
    results = {key: float(value) for key, value in self.model.get_metrics_result().items()}
    self.model.reset_metrics()
    sums = self._group.agree(list(results.values()))
    return dict(zip(results, [value / self._group.size for value in sums]))
Combine._summed = averaged
"""


class Mutation:
    """Runs its code in the process that unpickles it: the trainer of one run."""

    def __init__(self, code):
        self.code = code

    def __reduce__(self):
        return exec, (self.code, {})


@pytest.fixture
def mutate(monkeypatch):
    dumps = shipping.dumps

    def mutate(code):
        def mutated(thing):
            return dumps({**thing, "mutation": Mutation(code)})

        monkeypatch.setattr(shipping, "dumps", mutated)

    return mutate


def make():
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(3, activation="tanh"), keras.layers.Dense(1)]
    )
    model.compile(keras.optimizers.SGD(0.05), "mse", metrics=["mae"])
    return model


def make_tagger():
    """Takes words, 0 for none, and tags each."""
    words = keras.layers.Embedding(4, 3, mask_zero=True)
    model = keras.Sequential([keras.Input((4,), dtype="int32"), words, keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.05), "mse")
    return model


def compare(spark, make=make):
    # Steps of 2, 2 and 1 rows for 3 workers: shares differ and some have none.
    random = np.random.default_rng(2)
    x = random.normal(size=(5, 4)).astype("float32")
    y = random.normal(size=5).astype("float32")
    if make is make_tagger:
        x, y = np.array([[1, 1, 1, 1], [2, 0, 0, 0], [1, 2, 3, 0], [3, 3, 0, 0], [1, 0, 0, 0]]), x[:, :, None]
    ours, theirs = twins(make)
    options = {"epochs": 2, "batch_size": 2, "shuffle": False}

    run = nbkeras.fit(ours, x, y, workers=3, spark=spark, **options)

    history = theirs.fit(x, y, verbose=0, **options).history
    return ours, theirs, run.history, history


def test_without_a_fault_the_comparison_is_green(spark, mutate):
    mutate("REACHED = True")

    ours, theirs, logged, expected = compare(spark)

    assert_same_model(ours, theirs)
    assert_same_history(logged, expected)


@pytest.mark.parametrize(
    "fault",
    [pytest.param(EQUAL_SHARES, id="equal shares"), pytest.param(FILLERS_COUNT, id="fillers count")],
)
def test_a_fault_in_the_gradients_turns_the_weights_red(spark, mutate, fault):
    mutate(fault)

    ours, theirs, _, _ = compare(spark)

    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        assert_same_model(ours, theirs)


@pytest.mark.parametrize(
    ("fault", "red"),
    [
        pytest.param("REACHED = True", False, id="no fault"),
        pytest.param(DIVISORS_ARE_ROWS, True, id="divisors are rows"),
        pytest.param(LOOK_UPS_ARE_ADDED_UP, True, id="look-ups are added up"),
    ],
)
def test_a_fault_in_divisors_or_look_ups_turns_the_weights_red(spark, mutate, fault, red):
    mutate(fault)

    ours, theirs, _, _ = compare(spark, make_tagger)

    with pytest.raises(AssertionError, match="Not equal to tolerance") if red else contextlib.nullcontext():
        assert_same_model(ours, theirs)


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(FILLERS_ARE_MEASURED, id="fillers are measured"),
        pytest.param(ONE_RANK_IS_LOGGED, id="one rank is logged"),
        pytest.param(RESULTS_ARE_AVERAGED, id="results are averaged"),
    ],
)
def test_a_fault_in_the_metrics_turns_the_history_red_and_leaves_the_weights(spark, mutate, fault):
    mutate(fault)

    ours, theirs, logged, expected = compare(spark)

    assert_same_model(ours, theirs)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        assert_same_history(logged, expected)


def test_a_mutation_runs_where_it_is_unpickled():
    with pytest.raises(ZeroDivisionError):
        cloudpickle.loads(cloudpickle.dumps(Mutation("1 / 0")))
