"""A worker that is killed or hangs costs time and nothing else: the weights are as if it had not been."""

from __future__ import annotations

import functools
import itertools
import os
import shutil
import signal
import sys
import threading
from pathlib import Path

import keras
import numpy as np
import psutil
import pytest
import waiting
from processes import daemons, is_alive, servers, tasks, trainers
from twins import assert_same_history, assert_same_model

import nbkeras
from nbkeras.driver.training import watchdog
from nbkeras.driver.training.inbox import Inbox
from nbkeras.errors import TrainingError, WorkerLost
from nbkeras.spark import cluster

X = np.random.default_rng(0).normal(size=(512, 4)).astype("float32")
Y = X.sum(axis=1)
NOTEBOOK = os.getpid()
VICTIMS = {"trainer": trainers, "Python worker": tasks}


pytestmark = pytest.mark.usefixtures("nothing_waits", "any_backend", "as_in_a_notebook")


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
def by_workers(fit):
    """Give a model that so many workers have trained undisturbed, and its run."""

    @functools.cache
    def by_workers(workers):
        model = net()
        return model, fit(model, workers=workers)

    return by_workers


@pytest.fixture
def undisturbed(by_workers):
    return by_workers(2)


class Strikes(keras.callbacks.Callback):
    """Does something to a worker at the end of an epoch, while all workers wait for the notebook."""

    def __init__(self, epoch, act):
        super().__init__()
        self.epoch, self.act, self.seen = epoch, act, []

    def on_epoch_end(self, epoch, logs=None):
        self.seen.append(epoch)
        if epoch == self.epoch:
            self.act()


#: What is lost, how, and from where the training goes on; each of these once by default.
LOSSES = {
    "trainer stopped, from a checkpoint": (2, "trainer", signal.SIGSTOP, True),
    "Python worker killed, from a checkpoint": (1, "Python worker", signal.SIGKILL, True),
}
MORE = {
    "trainer killed, from the start": (2, "trainer", signal.SIGKILL, False),
    "Python worker stopped, from the start": (1, "Python worker", signal.SIGSTOP, False),
} | {
    f"{victim}, {kind.name}, {kept}, of two": (2, victim, kind, kept)
    for victim, kind, kept in itertools.product(VICTIMS, (signal.SIGKILL, signal.SIGSTOP), (False, True))
    if (2, victim, kind, kept) not in {*LOSSES.values(), (2, "trainer", signal.SIGKILL, False)}
}


@pytest.mark.parametrize(
    ("workers", "victim", "kind", "kept"),
    [
        *(pytest.param(*one, id=name) for name, one in LOSSES.items()),
        *(pytest.param(*one, id=name, marks=pytest.mark.soak) for name, one in MORE.items()),
    ],
)
def test_a_worker_is_lost_and_the_training_goes_on(
    fit, by_workers, wait_for, tmp_path, workers, victim, kind, kept
):
    undisturbed = by_workers(workers)
    lost = []

    def strike():
        lost.append(VICTIMS[victim]()[-1])
        lost[0].send_signal(kind)

    model, strikes = net(), Strikes(6, strike)
    how = {"heartbeat": 10} if kind == signal.SIGSTOP else {}
    place = tmp_path if kept else None
    run = fit(model, callbacks=[strikes], checkpoint=place, workers=workers, **how)
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


@pytest.mark.soak
def test_spark_may_find_its_idle_python_workers_dead_and_the_training_goes_on(fit, by_workers, wait_for):
    twin, undisturbed = by_workers(1)
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
    run = fit(model, workers=1)
    assert_same_history(run.history, undisturbed.history)
    assert_same_model(model, twin)
    assert all("a worker or its executor is gone" in note for note in run.notes)


@pytest.mark.soak
def test_a_python_of_sparks_that_is_killed_as_it_begins_is_no_broken_one(fit, spark, tmp_path, monkeypatch):
    python, once = tmp_path / "python", tmp_path / "once"
    killed = f'[ "$2" = pyspark.daemon ] && mkdir {once} 2>/dev/null && kill -9 $$'
    python.write_text(f'#!/bin/sh\n{killed}\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    # Spark starts Pythons of another name anew.
    monkeypatch.setattr(spark.sparkContext, "pythonExec", str(python))
    run = fit(net(), epochs=1, workers=1)
    assert once.exists()
    (note,) = run.notes
    assert "while reading the port number from pyspark.daemon's stdout" in note
    assert note.endswith("; going on from the start")


def test_an_epoch_that_only_the_checkpoint_has_heard_of_stands_in_its_place(
    fit, undisturbed, tmp_path, monkeypatch
):
    # Its worker may be lost between the two.
    heard, saved = Inbox._on_epoch, Inbox._on_saved

    def on_epoch(inbox, peer, event, *more):
        if event["epoch"] != 3:
            heard(inbox, peer, event, *more)

    def on_saved(inbox, peer, event, *more):
        saved(inbox, peer, event, *more)
        if event["epoch"] == 3:
            trainers()[-1].kill()

    monkeypatch.setattr(Inbox, "_on_epoch", on_epoch)
    monkeypatch.setattr(Inbox, "_on_saved", on_saved)
    run = fit(net(), checkpoint=tmp_path)
    assert any("; going on from the checkpoint" in note for note in run.notes)
    assert run.epoch_numbers == list(range(12))
    assert_same_history(run.history, undisturbed[1].history)


class Deadly(keras.layers.Layer):
    """Takes its process along, on a worker: always, or once, as soon as there is a checkpoint."""

    def __init__(self, checkpoints=None):
        super().__init__()
        self.checkpoints = checkpoints

    def call(self, x):
        if os.getpid() == NOTEBOOK:
            return x
        if keras.config.backend() != "tensorflow":
            # A model is built with arrays that hold nothing.
            return x if x.device.type == "meta" else self.end(x)
        import tensorflow as tf

        return tf.ensure_shape(tf.py_function(self.end, [x], x.dtype), x.shape)

    def end(self, x):
        if self.checkpoints is None:
            os.kill(os.getpid(), signal.SIGBUS)
        mark = Path(self.checkpoints, "once")
        if list(mark.parent.glob("*.npz")) and not mark.exists():
            mark.touch()
            os._exit(3)
        return x


@pytest.mark.smoke("oldest", "connect")  # those above are lost on a local one
@pytest.mark.on("local", "connect")  # on a cluster test_chaos.py kills more than this
def test_a_worker_that_ends_by_itself_is_lost_too_and_the_training_goes_on(fit, undisturbed, tmp_path):
    model = net(Deadly(str(tmp_path)))
    run = fit(model, checkpoint=tmp_path)
    assert (tmp_path / "once").exists()
    assert any("; going on from the checkpoint of epoch" in note for note in run.notes)
    assert_same_history(run.history, undisturbed[1].history)
    assert_same_model(model, undisturbed[0])


def test_workers_that_live_and_do_no_step_are_told_of(fit, monkeypatch, wait_for):
    monkeypatch.setattr(watchdog, "_STEP_SECONDS", 2)
    go_on = threading.Event()
    run = fit(net(), background=True, workers=1, callbacks=[Strikes(3, lambda: go_on.wait(waiting.LIMIT))])
    wait_for(
        lambda: any(note.startswith("no step has ended for 2 s: a layer, a") for note in run.notes), "it"
    )
    assert run.status == "running"
    go_on.set()
    assert run.wait(waiting.LIMIT).status == "finished"


@pytest.mark.soak
def test_a_checkpoint_that_can_be_written_no_more_ends_no_training_that_has_lost_a_worker(
    fit, undisturbed, tmp_path
):
    model, folder = net(), tmp_path / "kept"

    def strike():
        shutil.rmtree(folder)
        folder.write_text("a file in its place")
        trainers()[-1].kill()

    run = fit(model, checkpoint=folder, callbacks=[Strikes(3, strike)])
    assert run.status == "finished"
    assert any("cannot be kept" in note for note in run.notes)
    assert_same_history(run.history, undisturbed[1].history)
    assert_same_model(model, undisturbed[0])


def test_what_kills_every_worker_is_given_up_after_some_attempts(fit, wait_for):
    model = net(Deadly())
    before = model.get_weights()
    with pytest.raises(WorkerLost, match="given up after 3 new attempts in the same epoch") as caught:
        fit(model, workers=1)
    assert "\n" not in str(caught.value)
    assert f"was killed by signal {signal.SIGBUS:d} (SIGBUS): no room left" in str(caught.value)
    assert all(map(np.array_equal, model.get_weights(), before))
    wait_for(lambda: not trainers(), "the end of the trainers")


def test_a_stop_between_two_attempts_gives_the_checkpoints_weights(fit, tmp_path, wait_for, monkeypatch):
    def require_slots(spark, workers, *more):
        if more:  # the wait for executors that may come back
            run.stop()

    monkeypatch.setattr(cluster, "require_slots", require_slots)
    model, again = net(), net()
    run = fit(model, background=True, epochs=10_000, workers=1, checkpoint=tmp_path)
    wait_for(lambda: len(run.epoch_numbers) > 2, "some epochs")
    trainers()[-1].kill()
    assert run.wait(waiting.LIMIT).status == "stopped"
    fit(again, epochs=1, workers=1, checkpoint=tmp_path, resume=True)
    assert_same_model(model, again)


def test_a_trainer_that_never_begins_is_missed_and_the_training_begins_again(fit, wait_for, monkeypatch):
    monkeypatch.setattr(watchdog, "_BEGIN_SECONDS", 1)
    fit(net(), workers=1, epochs=1)  # now there is a warm server
    hung = servers()
    assert hung
    for server in hung:
        server.suspend()
    try:
        run = fit(net(), workers=1, epochs=1, background=True, heartbeat=10)
        wait_for(lambda: run.notes or run.done.is_set(), "a word about the trainer")
    finally:
        for server in hung:
            server.resume()
    assert run.notes[0] == (
        "the trainer 0 has not begun 11 s after the first: see its log on Spark's page of executors; "
        "going on from the start"
    )
    assert run.wait(waiting.LIMIT).status == "finished"


def test_an_error_of_the_users_own_is_no_lost_worker(fit):
    class Picky(keras.layers.Layer):
        def call(self, x):
            if os.getpid() != NOTEBOOK:
                raise ValueError("too picky")
            return x

    with pytest.raises(TrainingError, match="too picky"):
        fit(net(Picky()), workers=1)
    assert not any("going on" in note for note in nbkeras.api.runs[-1].notes)
