"""Workers that train apart for some steps, against the same done by hand with Keras."""

from __future__ import annotations

import itertools

import keras
import numpy as np
import pytest
import waiting
from twins import assert_same_model, define, eagerly, twins, value

import nbkeras
from nbkeras.errors import OptionError
from nbkeras.plan import BACKENDS
from nbkeras.worker.collectives import Flag

pytestmark = pytest.mark.usefixtures("any_backend")

BATCH, WORKERS = 16, 2
OPTIMIZERS = {
    "sgd": lambda: keras.optimizers.SGD(0.05, momentum=0.9),
    "adam": lambda: keras.optimizers.Adam(0.01, clipnorm=1.0),
}


@pytest.fixture
def arrays():
    random = np.random.default_rng(0)
    # The last batch has one row: in it the second worker has none.
    x = random.normal(size=(6 * BATCH + 1, 4)).astype("float32")
    return x, random.integers(0, 3, len(x))


def net(optimizer=OPTIMIZERS["sgd"], counter=None):
    inputs = [keras.Input((4,)), *([] if counter is None else [counter])]
    model = keras.Sequential(
        [*inputs, keras.layers.Dense(5, activation="tanh"), keras.layers.Dense(3, activation="softmax")]
    )
    model.compile(optimizer(), "sparse_categorical_crossentropy")
    return model


def reader(optimizer):
    """A network with a table of which a step moves single rows."""
    inputs = keras.Input((4,))
    signs = keras.ops.cast(inputs > 0, "int32")
    words = keras.layers.Flatten()(keras.layers.Embedding(2, 3)(signs))
    hidden = keras.layers.Dense(5, activation="tanh")(keras.layers.concatenate([inputs, words]))
    model = keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(hidden))
    model.compile(optimizer(), "sparse_categorical_crossentropy")
    return model


def mean(models, variables, rows):
    """The models' variables become their mean, weighted by rows."""
    for same in zip(*(variables(one) for one in models), strict=True):
        total = sum(value(one) * share for one, share in zip(same, rows, strict=True)) / sum(rows)
        for one in same:
            one.assign(total)


def moments(model):
    return [one for one in model.optimizer.variables if one.name not in ("iteration", "learning_rate")]


def by_hand(make, x, y, every, epochs):
    """Row i lies on worker i modulo workers; each worker is a model of Keras."""
    models = []
    for _ in range(WORKERS):
        keras.utils.set_random_seed(1)
        models.append(make())
    for one in map(eagerly, models):
        one.optimizer.build(one.trainable_variables)
    for _ in range(epochs):
        rows, all_rows = np.zeros(WORKERS), np.zeros(WORKERS)
        for step, start in enumerate(range(0, len(x), BATCH), 1):
            for rank, one in enumerate(models):
                mine = np.arange(start, min(start + BATCH, len(x)))
                mine = mine[mine % WORKERS == rank]
                rows[rank] += len(mine)
                if len(mine):
                    one.train_on_batch(x[mine], y[mine])
                else:  # a step like every other, without a gradient
                    nothing = [np.zeros(each.shape, "float32") for each in one.trainable_variables]
                    one.optimizer.apply([keras.ops.convert_to_tensor(each) for each in nothing])
            if step % every == 0 or start + BATCH >= len(x):
                mean(models, lambda one: one.trainable_variables, rows)
                all_rows, rows = all_rows + rows, np.zeros(WORKERS)
        mean(models, moments, all_rows)
    return models[0]


#: By default one; the soak has each optimizer on a backend that sends steps ahead and on those that do not.
CHOSEN = {("tensorflow", "adam")}


@pytest.mark.parametrize(
    ("backend", "optimizer"),
    [
        pytest.param(*pair, marks=[] if pair in CHOSEN else pytest.mark.soak)
        for pair in itertools.product(BACKENDS, OPTIMIZERS)
    ],
)
def test_weights_are_the_mean_of_what_each_worker_has_trained(spark, arrays, backend, optimizer):
    x, y = arrays
    ours, _ = twins(lambda: reader(OPTIMIZERS[optimizer]))

    run = nbkeras.fit(
        ours,
        x,
        y,
        epochs=2,
        batch_size=BATCH,
        shuffle=False,
        workers=WORKERS,
        sync_every=3,
        backend=backend,
        spark=spark,
    )

    assert_same_model(ours, by_hand(lambda: reader(OPTIMIZERS[optimizer]), x, y, 3, 2), 1e-5)
    (note,) = [one for one in run.notes if "--sync-every" in one]
    assert note.startswith("--sync-every 3: each worker trains on its own rows for 3 steps")
    assert run.history["loss"][1] < run.history["loss"][0]


COUNTING = """
import os
from pathlib import Path
import keras

class Counting(keras.layers.Layer):
    def __init__(self, folder):
        super().__init__()
        self.folder, self.home = str(folder), os.getpid()

    def call(self, x):
        from nbkeras.worker.ring import Ring

        if os.getpid() != self.home and Ring.sum.__name__ == "sum":
            file, original = Path(self.folder, str(os.getpid())), Ring.sum

            def counted(ring, vector):
                with file.open("a") as lines:
                    lines.write(f"{len(vector)}\\n")
                return original(ring, vector)

            Ring.sum = counted
        return x
"""


def messages(spark, folder, x, y, every):
    """Lengths of the vectors that each worker sums in an epoch, and the number of weights."""
    folder.mkdir()
    model = net(counter=define(COUNTING)["Counting"](folder))
    nbkeras.fit(
        model,
        x,
        y,
        batch_size=BATCH,
        shuffle=False,
        workers=WORKERS,
        sync_every=every,
        verbose=0,
        spark=spark,
    )
    first, second = [one.read_text().split() for one in folder.iterdir()]
    assert first == second
    return [int(one) for one in first], model.count_params()


def test_workers_that_meet_less_often_send_fewer_messages(spark, arrays, tmp_path):
    x, y = arrays
    steps = -(-len(x) // BATCH)

    always, weights = messages(spark, tmp_path / "always", x, y, 1)
    rarely, _ = messages(spark, tmp_path / "rarely", x, y, 3)

    # The flags ride with the weights within an epoch, not at its end.
    flagged = weights + len(Flag)
    assert [one for one in always if one in (weights, flagged)] == [flagged] * steps
    assert [one for one in rarely if one in (weights, flagged)][:2] == [flagged] * (steps // 3)
    assert sum(always) > sum(rarely)


def test_a_training_that_goes_on_ends_as_one_that_was_not_interrupted(spark, arrays, tmp_path):
    x, y = arrays
    whole, _ = twins(lambda: net(OPTIMIZERS["adam"]))
    again, _ = twins(lambda: net(OPTIMIZERS["adam"]))
    how = {"batch_size": BATCH, "shuffle": False, "workers": WORKERS, "sync_every": 3, "spark": spark}

    nbkeras.fit(whole, x, y, epochs=3, **how)
    nbkeras.fit(again, x, y, epochs=1, checkpoint=tmp_path, **how)
    nbkeras.fit(again, x, y, epochs=3, checkpoint=tmp_path, resume=True, **how)

    assert_same_model(again, whole, 1e-6)


@pytest.mark.soak
def test_other_steps_than_those_before_are_noted(spark, arrays, tmp_path):
    how = {"workers": WORKERS, "checkpoint": tmp_path, "spark": spark, "batch_size": BATCH}
    nbkeras.fit(net(), *arrays, epochs=1, sync_every=4, **how)

    run = nbkeras.fit(net(), *arrays, epochs=2, resume=True, **how)

    assert "sync_every=1, 4 before: another result than that of either alone" in run.notes


def test_a_stop_reaches_all_workers_where_they_meet(spark, arrays, wait_for):
    x, y = (np.repeat(one, 100, axis=0) for one in arrays)
    model = net()
    run = nbkeras.fit(
        model, x, y, epochs=1000, batch_size=4, workers=WORKERS, sync_every=5, background=True, spark=spark
    )
    wait_for(lambda: run.phase == "training" and run.snapshot().step, "a step")

    run.stop()
    run.wait(waiting.LIMIT)

    assert run.status == "stopped"
    assert len(run.history["loss"]) < 1000


def test_one_worker_trains_as_keras_does(spark, arrays):
    ours, theirs = twins(net)
    how = {"epochs": 1, "batch_size": BATCH, "shuffle": False}

    run = nbkeras.fit(ours, *arrays, workers=1, sync_every=4, spark=spark, **how)
    eagerly(theirs).fit(*arrays, verbose=0, **how)

    assert_same_model(ours, theirs)
    assert run.notes == []


@pytest.mark.parametrize("wrong", [0, -1, 1.5, "two", True])
def test_invalid_steps_are_refused(spark, arrays, wrong):
    with pytest.raises(OptionError, match=r"^sync_every=.*: use a whole number from 1$"):
        nbkeras.fit(net(), *arrays, sync_every=wrong, spark=spark)
