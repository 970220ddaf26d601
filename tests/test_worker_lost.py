"""A worker that is killed or hangs costs time and nothing else: the weights are as if it had not been."""

from __future__ import annotations

import os
import signal
import sys

import keras
import numpy as np
import psutil
import pytest
from processes import daemons, is_alive, tasks, trainers
from twins import assert_same_history, assert_same_model

import nbkeras
from nbkeras.engine.spark import cluster
from nbkeras.engine.submission import Submission
from nbkeras.errors import TrainingError, WorkerLost

X = np.random.default_rng(0).normal(size=(512, 4)).astype("float32")
Y = X.sum(axis=1)
NOTEBOOK = os.getpid()
VICTIMS = {"trainer": trainers, "Python worker": tasks}


pytestmark = pytest.mark.usefixtures("as_in_a_notebook")


def net(*layers):
    keras.utils.set_random_seed(4)
    layers = [*layers, keras.layers.Dense(3, "tanh"), keras.layers.Dense(1)]
    model = keras.Sequential([keras.Input((4,)), *layers])
    model.compile("adam", "mse", metrics=["mae"])
    return model


@pytest.fixture(scope="module")
def fit(spark):
    def fit(model, **how):
        options = {"workers": 2, "epochs": 12, "batch_size": 16, "seed": 7, "verbose": 0, "spark": spark}
        return nbkeras.fit(model, X, Y, **{**options, **how})

    return fit


@pytest.fixture(scope="module")
def undisturbed(fit):
    model = net()
    return model, fit(model)


class Strikes(keras.callbacks.Callback):
    """Does something to a worker at the end of an epoch, while all workers wait for the notebook."""

    def __init__(self, epoch, act):
        super().__init__()
        self.epoch, self.act, self.seen = epoch, act, []

    def on_epoch_end(self, epoch, logs=None):
        self.seen.append(epoch)
        if epoch == self.epoch:
            self.act()


@pytest.mark.parametrize("kept", [False, True], ids=["from the start", "from a checkpoint"])
@pytest.mark.parametrize("kind", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
@pytest.mark.parametrize("victim", VICTIMS)
def test_a_worker_is_lost_and_the_training_goes_on(fit, undisturbed, wait_for, tmp_path, victim, kind, kept):
    lost = []

    def strike():
        lost.append(VICTIMS[victim]()[-1])
        lost[0].send_signal(kind)

    model, strikes = net(), Strikes(6, strike)
    run = fit(model, callbacks=[strikes], checkpoint=tmp_path if kept else None, heartbeat=5)
    assert run.status == "finished"
    assert_same_history(run.history, undisturbed[1].history)
    assert_same_model(model, undisturbed[0])
    assert strikes.seen == list(range(12))
    (note,) = run.notes
    assert "\n" not in note
    assert note.endswith("; going on from the start") != kept
    assert "; going on from the checkpoint of epoch" in note or not kept
    wait_for(lambda: not is_alive(lost[0]), "the end of what was lost")
    wait_for(lambda: not trainers(), "the end of the trainers")


def test_spark_may_find_its_idle_python_workers_dead_and_the_training_goes_on(fit, undisturbed, wait_for):
    # It keeps Python workers for the next job. Of one that has ended it tells their daemon, and fails on that
    # when the daemon is gone too.
    gone = [(daemon, daemon.children()) for daemon in daemons()]
    assert any(workers for _, workers in gone)
    for daemon, workers in gone:
        for worker in workers:
            worker.kill()
        wait_for(lambda workers=workers: not any(map(psutil.Process.is_running, workers)), "their end")
        daemon.kill()
        wait_for(lambda daemon=daemon: not is_alive(daemon), "the daemon's end")
    model = net()
    run = fit(model)
    assert_same_history(run.history, undisturbed[1].history)
    assert_same_model(model, undisturbed[0])
    assert all("a worker or its executor is gone" in note for note in run.notes)


def test_a_python_of_sparks_that_is_killed_as_it_begins_is_no_broken_one(fit, spark, tmp_path, monkeypatch):
    python, once = tmp_path / "python", tmp_path / "once"
    killed = f'[ "$2" = pyspark.daemon ] && mkdir {once} 2>/dev/null && kill -9 $$'
    python.write_text(f'#!/bin/sh\n{killed}\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    # Spark starts Pythons of another name anew.
    monkeypatch.setattr(spark.sparkContext, "pythonExec", str(python))
    run = fit(net(), epochs=1)
    assert once.exists()
    (note,) = run.notes
    assert "while reading the port number from pyspark.daemon's stdout" in note
    assert note.endswith("; going on from the start")


def test_an_epoch_that_only_the_checkpoint_has_heard_of_stands_in_its_place(
    fit, undisturbed, tmp_path, monkeypatch
):
    # Its worker may be lost between the two.
    heard, saved = Submission._on_epoch, Submission._on_saved

    def on_epoch(submission, peer, event, *more):
        if event["epoch"] != 3:
            heard(submission, peer, event, *more)

    def on_saved(submission, peer, event, *more):
        saved(submission, peer, event, *more)
        if event["epoch"] == 3:
            trainers()[-1].kill()

    monkeypatch.setattr(Submission, "_on_epoch", on_epoch)
    monkeypatch.setattr(Submission, "_on_saved", on_saved)
    run = fit(net(), checkpoint=tmp_path)
    assert any("; going on from the checkpoint" in note for note in run.notes)
    assert run.epoch_numbers == list(range(12))
    assert_same_history(run.history, undisturbed[1].history)


class Deadly(keras.layers.Layer):
    """Takes its process along, on a worker."""

    def call(self, x):
        import tensorflow as tf

        return (
            x if os.getpid() == NOTEBOOK else tf.ensure_shape(tf.py_function(self.end, [x], x.dtype), x.shape)
        )

    def end(self, x):
        os._exit(3)


def test_what_kills_every_worker_is_given_up_after_some_attempts(fit, wait_for):
    model = net(Deadly())
    before = model.get_weights()
    with pytest.raises(WorkerLost, match="given up after 3 new attempts in the same epoch") as caught:
        fit(model, workers=1)
    assert "\n" not in str(caught.value)
    assert all(map(np.array_equal, model.get_weights(), before))
    wait_for(lambda: not trainers(), "the end of the trainers")


def test_a_stop_between_two_attempts_gives_the_checkpoints_weights(fit, tmp_path, wait_for, monkeypatch):
    def require_slots(spark, workers, *more):
        if more:  # the wait for executors that may come back
            run.stop()

    monkeypatch.setattr(cluster, "require_slots", require_slots)
    model, again = net(), net()
    run = fit(model, background=True, epochs=10_000, checkpoint=tmp_path)
    wait_for(lambda: len(run.epoch_numbers) > 2, "some epochs")
    trainers()[-1].kill()
    assert run.wait(180).status == "stopped"
    fit(again, epochs=1, checkpoint=tmp_path, resume=True)
    assert_same_model(model, again)


def test_an_error_of_the_users_own_is_no_lost_worker(fit):
    class Picky(keras.layers.Layer):
        def call(self, x):
            if os.getpid() != NOTEBOOK:
                raise ValueError("too picky")
            return x

    with pytest.raises(TrainingError, match="too picky"):
        fit(net(Picky()))
    assert not any("going on" in note for note in nbkeras.api.runs[-1].notes)
