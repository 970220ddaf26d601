"""Kills at random moments over executors, Python workers and trainers of a real cluster."""

from __future__ import annotations

import contextlib
import os
import time

import keras
import numpy as np
import psutil
import pytest
from processes import ports
from pyspark import TaskContext
from twins import assert_same_history, assert_same_model
from waiting import LIMIT

import nbkeras

pytestmark = [pytest.mark.cluster, pytest.mark.on("standalone"), pytest.mark.usefixtures("any_backend")]

EPOCHS = 20
X = np.random.default_rng(0).normal(size=(2000, 8)).astype("float32")
Y = X.sum(axis=1)


def net():
    keras.utils.set_random_seed(4)
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(16, "tanh"), keras.layers.Dense(1)])
    model.compile("adam", "mse", metrics=["mae"])
    return model


def executors(cluster):
    return cluster.executors()


def python_workers(cluster):
    return [one for one in cluster.pythons() if "pyspark.daemon" in one.cmdline()]


def trainers(cluster):
    parents = {}
    for one in cluster.pythons():
        with contextlib.suppress(psutil.NoSuchProcess):  # it was quicker
            if "nbkeras.worker.fork_server" in one.cmdline():
                parents[one] = one.ppid()
    return [one for one, parent in parents.items() if parent in {server.pid for server in parents}]


def kill(cluster, random):
    """Kill one of some kind, and say what it was."""
    kinds = [executors, python_workers, trainers]
    for kind in random.permutation(kinds):
        try:
            if victims := kind(cluster):
                victim = victims[random.integers(len(victims))]
                victim.kill()
                return f"{kind.__name__} {victim.pid}"
        except psutil.NoSuchProcess:
            continue  # it was quicker
    return None


def disturb(run, cluster, random, most, wait_for):
    """Kill up to so many processes while a training runs; those that were killed."""
    killed = []
    while len(killed) < most and not run.done.wait(random.exponential(1.5)):
        notes, epochs = len(run.notes), len(run.epoch_numbers)
        if (victim := kill(cluster, random)) is None:
            continue
        killed.append(f"{victim} after {epochs} epochs, {run.phase}")
        # Losses without a finished epoch in between are rightly given up after some.
        wait_for(lambda epochs=epochs: run.done.is_set() or len(run.epoch_numbers) > epochs, "an epoch")
        told = len(run.notes) > notes
        killed[-1] += "" if told else ", which nobody missed"
    return killed


@pytest.mark.soak  # an executor that is killed takes its rows along: below
def test_rows_that_are_lost_between_stages_are_computed_again(spark, tmp_path, tmp_path_factory):
    # As with a lost executor that has rows for the others. Spark drops the executor for it; a local one
    # would never come back.
    places, once = tmp_path_factory.getbasetemp(), tmp_path / "once"
    before = set(places.rglob("shuffle_*.data"))

    def lose(batches):
        if TaskContext.get().partitionId() == 1 and not once.exists():
            while not (sent := set(places.rglob("shuffle_*.data")) - before):
                time.sleep(0.02)
            for one in sent:
                one.unlink()
            once.touch()
        yield from batches

    rows = spark.range(0, 512, 1, 2).selectExpr("id % 7 x", "id % 3 y")
    df = rows.mapInArrow(lose, rows.schema)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    run = nbkeras.fit(model, df, "y", epochs=1, workers=2, seed=7, verbose=0, spark=spark)
    assert once.exists()
    assert run.status == "finished"
    lost = [note for note in run.notes if "FetchFailedException" in note]
    assert [note.endswith("; going on from the start") for note in lost] == [True]


# The seeds are such that take each kind equally often, as far as they are there. In every run an executor
# and a trainer are killed; test_worker_lost.py kills Python workers.
@pytest.mark.timeout(2400)
@pytest.mark.parametrize(
    ("kills", "most", "seed"),
    [
        (2, 2, 281),
        *(pytest.param(*more, marks=pytest.mark.soak) for more in [(3, 2, 145), (6, 4, 31), (20, 4, None)]),
    ],
)
def test_kills_at_random_moments_change_no_result(
    spark, cluster, tmp_path, wait_for, capsys, kills, most, seed
):
    seed = seed or int(os.environ.get("NBKERAS_CHAOS") or np.random.SeedSequence().entropy % 2**32)
    random = np.random.default_rng(seed)

    def fit(model, **how):
        options = {"workers": 2, "epochs": EPOCHS, "batch_size": 50, "seed": 7, "verbose": 0}
        return nbkeras.fit(model, X, Y, validation_split=0.25, spark=spark, **options, **how)

    undisturbed = net()
    history = fit(undisturbed).history
    listening = ports(psutil.Process())
    killed, runs = [], 0
    while len(killed) < kills:
        model, runs = net(), runs + 1
        # Without a checkpoint it begins anew each time, so it gets fewer.
        keeps = runs % 2 == 1
        run = fit(model, background=True, checkpoint=tmp_path / str(runs) if keeps else None)
        enough = min(kills - len(killed), most if keeps else most // 2)
        killed += disturb(run, cluster, random, enough, wait_for)
        print(f"NBKERAS_CHAOS={seed}", *killed, *run.notes, sep="\n")  # noqa: T201  # explains a failure
        run.wait(LIMIT)
        assert run.status == "finished", killed
        assert_same_history(run.history, history)
        assert_same_model(model, undisturbed)
    with capsys.disabled():
        lines = "\n".join(killed)
        print(f"\n{lines}\n{runs} runs; NBKERAS_CHAOS={seed} begins with the same choices")  # noqa: T201
    wait_for(lambda: not trainers(cluster), "the end of the trainers")
    assert ports(psutil.Process()) == listening
    named = [one.name for one in cluster.folder.rglob("*nbkeras*")]
    assert [name for name in named if not name.startswith("nbkeras.zip")] == []
