"""A training stands still, goes on, and takes another learning rate: all workers at the same step."""

from __future__ import annotations

import re
import threading
import time
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import waiting
from processes import is_alive, trainers
from twins import assert_same_history, assert_same_model, twins

import nbkeras
from nbkeras.driver.training.submission import Submission
from nbkeras.errors import OptionError
from nbkeras.notebook import text
from nbkeras.plan import BACKENDS, Plan
from nbkeras.run.run import Run
from nbkeras.schema import Schema
from nbkeras.spark import cluster
from nbkeras.worker.alone import Alone
from nbkeras.worker.callbacks.combine import Combine
from nbkeras.worker.collectives import Flag
from nbkeras.worker.steering import Requests, Steering
from nbkeras.worker.trainer import Trainer

pytestmark = pytest.mark.usefixtures("nothing_waits", "any_backend", "predicts_on_spark")

ROWS, BATCH = 601, 5
RANDOM = np.random.default_rng(3)
X = RANDOM.normal(size=(ROWS, 4)).astype("float32")
Y = X.sum(axis=1)
#: What one worker does differs from backend to backend only where steps are sent ahead.
BOTH = [(1, "tensorflow"), (1, "jax"), *((2, backend) for backend in BACKENDS)]
NOTE = re.compile(r"learning rate (\S+) -> (\S+) from epoch (\d+), step (\d+) on")


def net(optimizer=None):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(5, "tanh"), keras.layers.Dense(1)])
    model.compile(optimizer or keras.optimizers.Adam(0.002), "mse", metrics=["mae"])
    return model


@pytest.fixture(scope="module")
def fit(spark):
    def fit(model, x=X, y=Y, **how):
        options = {"workers": 2, "epochs": 2, "batch_size": BATCH, "shuffle": False, "background": True}
        return nbkeras.fit(model, x, y, **{**options, **how}, verbose=0, spark=spark)

    return fit


@pytest.fixture(autouse=True)
def nothing_stands_still_for_ever():
    """A training that a failed test has left takes no slots from the next one."""
    yield
    for run in nbkeras.api.runs:
        run.abort()
        assert run.done.wait(waiting.LIMIT)


@pytest.fixture
def asked():
    """What a test sets when it has asked something of a training that :class:`Holds`."""
    event = threading.Event()
    yield event
    event.set()


class Holds(keras.callbacks.Callback):
    """Holds a training before its last epoch until something was asked of it: the test may be slower."""

    def __init__(self, asked):
        super().__init__()
        self.asked = asked

    def on_epoch_end(self, epoch, logs=None):
        if epoch == self.params["epochs"] - 2:
            assert self.asked.wait(waiting.LIMIT)


class Waits(keras.callbacks.Callback):
    """Holds a training after each epoch until something of it was told: how often that is, a clock says."""

    def __init__(self, told):
        super().__init__()
        self.told = told

    def on_epoch_end(self, epoch, logs=None):
        waiting.wait_for(lambda: self.told(nbkeras.api.runs[-1], epoch), "what is told of an epoch")


@pytest.fixture
def paused(wait_for, asked):
    """Wait until a training that has begun stands still."""

    def paused(run, begun=True):
        if begun:
            wait_for(lambda: run.snapshot().step > 20 or run.done.is_set(), "some steps")
        run.pause()
        asked.set()
        wait_for(lambda: run.phase == "paused" or run.done.is_set(), "the workers to stand still")
        assert run.status == "paused", run.error
        return run.snapshot()

    return paused


def signs_of_life(run, wait_for, number=1):
    """Wait for more than so many of rank 0, one a second at most.

    Before the next one it says where it stands.
    """
    server = run._on_stop.__self__._submission._server
    heard = server.event_counts()["trainer-0"]
    wait_for(
        lambda: server.event_counts()["trainer-0"] > heard + number or run.done.is_set(), "signs of life"
    )


class Sets(keras.callbacks.Callback):
    """Sets the learning rate before a step of an epoch."""

    def __init__(self, epoch, step, rate):
        super().__init__()
        self.place, self.rate, self.epoch = (epoch, step), rate, None

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_begin(self, step, logs=None):
        if (self.epoch, step) == self.place:
            if hasattr(self.model, "jax_state_sync"):
                self.model.jax_state_sync()
            self.model.optimizer.learning_rate = self.rate


def by_default(*chosen):
    """All of BOTH, those that are not chosen for the soak."""
    return [pytest.param(*pair, marks=[] if pair in chosen else pytest.mark.soak) for pair in BOTH]


def place(run):
    """Where the note says that the learning rate was changed, from 0."""
    (found,) = [NOTE.fullmatch(note) for note in run.notes if note.startswith("learning rate")]
    return int(found[3]) - 1, int(found[4]) - 1


# -- the learning rate -----------------------------------------------------------


@pytest.mark.parametrize(("workers", "backend"), by_default((2, "tensorflow")))
def test_a_rate_set_while_it_trains_makes_what_keras_makes_of_it_at_that_step(
    fit, wait_for, asked, workers, backend
):
    pytest.importorskip(backend)
    ours, theirs = twins(net)
    waits = Waits(lambda run, epoch: epoch == 0 or run.snapshot().learning_rate == 0.0003)
    run = fit(ours, workers=workers, backend=backend, callbacks=[Holds(asked), waits])
    wait_for(lambda: run.snapshot().step > 20 or run.done.is_set(), "some steps")
    assert run.snapshot().learning_rate == 0.002
    run.set_learning_rate(0.0003)
    asked.set()
    run.wait(waiting.LIMIT)

    epoch, step = place(run)
    assert (epoch, step) > (0, 0)
    change = Sets(epoch, step, 0.0003)
    done = theirs.fit(X, Y, epochs=2, batch_size=BATCH, shuffle=False, verbose=0, callbacks=[change])
    assert_same_history(run.history, done.history, 1e-4)
    assert_same_model(ours, theirs, 1e-4)
    assert float(ours.optimizer.learning_rate) == np.float32(0.0003)
    assert run.notes == [f"learning rate 0.002 -> 0.0003 from epoch {epoch + 1}, step {step + 1} on"]


def test_the_rate_that_callbacks_of_keras_set_is_told_and_the_loss_so_far(fit, monkeypatch):
    told, losses = [], {}
    monkeypatch.setattr(Run, "record_progress", spied(Run.record_progress, told, losses))
    callbacks = [
        keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate * (0.5 if epoch == 1 else 1.0)),
        keras.callbacks.ReduceLROnPlateau("loss", mode="max", factor=0.1, patience=2),
        Waits(lambda run, epoch: (epoch, run.snapshot().steps) in losses),
    ]
    run = fit(net(), callbacks=callbacks, epochs=4, workers=1, background=False)

    rates = [0.002, 0.001, 0.001, 0.0001]
    assert {epoch for epoch, _, _ in told} == {0, 1, 2, 3}
    assert [rate for *_, rate in told] == pytest.approx([rates[epoch] for epoch, _, _ in told])
    assert run.history["learning_rate"] == pytest.approx(rates)
    assert run.snapshot().learning_rate == pytest.approx(0.0001)
    steps = run.snapshot().steps
    assert losses[0, 0] is None
    assert [losses[epoch, steps] for epoch in range(4)] == pytest.approx(run.history["loss"], rel=1e-6)
    assert run.snapshot().losses == ()


def test_the_rate_that_a_callback_in_the_notebook_sets_is_told(fit, monkeypatch):
    class Halves(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.optimizer.learning_rate = 0.001

    waits = Waits(lambda run, epoch: epoch == 0 or run.snapshot().learning_rate == 0.001)
    run = fit(net(), callbacks=[Halves(), waits], workers=1, background=False)

    assert run.snapshot().learning_rate == 0.001


@pytest.mark.parametrize(
    "backend", ["tensorflow", *(pytest.param(one, marks=pytest.mark.soak) for one in ("jax", "torch"))]
)
def test_the_rate_of_a_schedule_is_told_by_the_step(fit, monkeypatch, backend):
    pytest.importorskip(backend)
    told = []
    monkeypatch.setattr(Run, "record_progress", spied(Run.record_progress, told))
    halves = keras.optimizers.schedules.ExponentialDecay(0.01, 300, 0.5)
    waits = Waits(lambda _, epoch: epoch in {one for one, *_ in told})
    model = net(keras.optimizers.SGD(halves))
    run = fit(model, epochs=3, callbacks=[waits], backend=backend, workers=1, background=False)

    steps = run.snapshot().steps
    assert len(told) > 2
    for epoch, step, rate in told:
        assert rate == pytest.approx(float(halves(epoch * steps + step)), rel=1e-5)
    snapshot = run.snapshot()
    last = [float(halves(epoch * steps + steps - 1)) for epoch in range(3)]
    assert snapshot.measured["learning_rate"] == pytest.approx(last, rel=1e-5)
    assert min(snapshot.measured["seconds_per_epoch"]) > 0
    assert sum(snapshot.measured["seconds_per_epoch"]) < snapshot.elapsed


@pytest.mark.parametrize("rate", [0, -0.1, float("nan"), float("inf"), 1e-60, True, "fast", None, [0.1]])
def test_what_is_no_rate_is_refused_in_one_line(rate):
    run = Run("digits", model=None, epochs=1, workers=1)
    with pytest.raises(
        OptionError, match=r"^learning rate .* is no positive number: type one such as 0.001$"
    ):
        run.set_learning_rate(rate)


@pytest.mark.parametrize("mixed", [False, True])
def test_the_rate_of_a_schedule_is_not_changed_and_the_line_says_whose(mixed):
    schedule = keras.optimizers.schedules.CosineDecay(0.01, 10)
    optimizer = keras.optimizers.SGD(schedule)
    if mixed:
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    run = Run("digits", model=net(optimizer), epochs=1, workers=1)
    with pytest.raises(OptionError, match=r"follows CosineDecay.* SGD\(learning_rate=0.01\)"):
        run.set_learning_rate(0.01)


def test_a_run_that_has_ended_takes_no_rate_and_no_pause():
    run = Run("digits", model=None, epochs=1, workers=1)
    run.pause()
    run.end("finished")
    run.pause()
    run.resume()

    assert not run.pausing.is_set()
    with pytest.raises(OptionError, match=r"^digits has ended: .* model.optimizer.learning_rate = "):
        run.set_learning_rate(0.1)


# -- standing still --------------------------------------------------------------


@pytest.mark.parametrize(("workers", "backend"), by_default((2, "tensorflow")))
def test_after_a_pause_the_training_is_as_if_there_had_been_none(
    fit, paused, asked, wait_for, monkeypatch, workers, backend
):
    pytest.importorskip(backend)
    told = []
    monkeypatch.setattr(Run, "record_progress", spied(Run.record_progress, told))
    (ours, theirs), heartbeat = twins(net), 5  # shorter is what a busy machine may take over a sign of life
    how = {"workers": workers, "backend": backend, "heartbeat": heartbeat}
    undisturbed = fit(theirs, **how, background=False)
    told.clear()
    run = fit(ours, **how, callbacks=[Holds(asked)])

    before = paused(run)
    assert before.pausing
    signs_of_life(run, wait_for)
    standing, used, steps = run.snapshot(), cpu(), len(told)
    assert (standing.epoch, standing.step) < (2, standing.steps)
    signs_of_life(run, wait_for, 2 * heartbeat)
    after = run.snapshot()
    assert (after.phase, after.epoch, after.step) == ("paused", standing.epoch, standing.step)
    assert len(told) == steps
    assert after.remaining == standing.remaining
    assert len([one for one in trainers() if is_alive(one)]) >= workers
    assert cpu() - used < 0.2 * workers * (after.elapsed - standing.elapsed)
    run.resume()
    wait_for(lambda: run.phase != "paused", "it to go on")
    assert not run.snapshot().pausing
    run.wait(waiting.LIMIT)

    assert run.status == "finished"
    assert run.notes == undisturbed.notes == []
    assert run.history == undisturbed.history
    for mine, one in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, one)


def spied(record, told, losses=None):
    def record_progress(run, epoch, step, steps, rows_per_second, learning_rate, loss):
        told.append((epoch, step, learning_rate))
        if losses is not None:
            losses[epoch, step] = loss
        record(run, epoch, step, steps, rows_per_second, learning_rate, loss)

    return record_progress


def cpu():
    """Seconds that the trainers have computed."""
    return sum(sum(one.cpu_times()[:2]) for one in trainers())


def test_a_pause_before_training_has_begun_holds_at_the_first_step_and_so_does_a_rate(fit, paused, wait_for):
    ours, theirs = twins(net)
    run = fit(ours, epochs=1, workers=1)
    run.set_learning_rate(0.01)
    run.set_learning_rate(0.0005)
    paused(run, begun=False)
    wait_for(lambda: run.snapshot().epoch, "the place where it stands")
    assert (run.snapshot().epoch, run.snapshot().step) == (1, 0)
    run.resume()
    run.wait(waiting.LIMIT)

    assert place(run) == (0, 0)
    change = Sets(0, 0, 0.0005)
    done = theirs.fit(X, Y, epochs=1, batch_size=BATCH, shuffle=False, verbose=0, callbacks=[change])
    assert_same_history(run.history, done.history, 1e-4)
    assert_same_model(ours, theirs, 1e-4)


def test_a_rate_set_in_a_pause_holds_from_the_step_at_which_it_goes_on(fit, paused, asked, wait_for):
    ours, theirs = twins(net)
    run = fit(ours, callbacks=[Holds(asked)])
    paused(run)
    run.set_learning_rate(0.0004)
    wait_for(lambda: run.notes, "the workers to take it")
    assert run.phase == "paused"
    run.resume()
    run.wait(waiting.LIMIT)

    change = Sets(*place(run), 0.0004)
    done = theirs.fit(X, Y, epochs=2, batch_size=BATCH, shuffle=False, verbose=0, callbacks=[change])
    assert_same_history(run.history, done.history, 1e-4)


@pytest.mark.soak
def test_with_sync_every_all_workers_stand_still_and_take_the_same_rate(fit, paused, asked, wait_for):
    model = net()
    run = fit(model, sync_every=7, callbacks=[Holds(asked)])
    paused(run)
    run.set_learning_rate(0.0004)
    wait_for(lambda: any(NOTE.fullmatch(note) for note in run.notes), "the workers to take it")
    run.resume()
    assert run.wait(waiting.LIMIT).status == "finished"
    assert len(run.epoch_numbers) == 2
    assert float(model.optimizer.learning_rate) == np.float32(0.0004)


def test_a_model_in_training_is_in_no_other_and_not_waited_for_in_a_pause(fit, paused, asked, spark):
    model = net()
    run = fit(model, epochs=5, workers=1, callbacks=[Holds(asked)])
    paused(run)
    with pytest.raises(OptionError, match=rf"^{run.name} trains this model: wait for it"):
        fit(model, epochs=1)
    with pytest.raises(OptionError, match=rf"^{run.name} trains this model and is paused: let it go on"):
        nbkeras.predict(model, np.ones((2, 4)), spark=spark)
    run.stop()
    run.wait(waiting.LIMIT)
    assert len(nbkeras.predict(model, np.ones((2, 4)), spark=spark)) == 2


def test_rows_that_spark_computes_for_long_are_told_as_what_is_waited_for(fit, tmp_path, wait_for, spark):
    gate = tmp_path / "gate"

    def slow(batches):
        while not gate.exists():
            time.sleep(0.1)
        yield from batches

    rows = spark.range(10).selectExpr("double(id) x", "double(id) y")
    df = rows.repartition(1).mapInArrow(slow, rows.schema)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    run = nbkeras.fit(model, df, "y", workers=1, background=True, spark=spark)
    wait_for(lambda: run.phase == "computing" or run.done.is_set(), "Spark's work to be told")
    assert text.phase(run.snapshot()) == "Spark computes the rows"
    gate.touch()
    assert run.wait(waiting.LIMIT).status == "finished"


def test_a_stop_that_comes_before_spark_has_the_job_is_said_again(fit, monkeypatch, wait_for, spark):
    def forever(batches):
        while True:
            time.sleep(0.1)
            yield from ()

    rows = spark.range(10).selectExpr("double(id) x", "double(id) y")
    df = rows.repartition(2).mapInArrow(forever, rows.schema)
    lost = []

    def stop(submission):
        lost.append(submission)

    monkeypatch.setattr(Submission, "stop", stop)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    run = nbkeras.fit(model, df, "y", workers=2, background=True, spark=spark)
    wait_for(lambda: run.phase in ("slots", "computing"), "the job")
    run.stop()
    assert run.wait(waiting.LIMIT).status == "stopped"
    assert lost


def test_a_stop_in_a_pause_keeps_the_weights_and_the_history(fit, paused, asked, wait_for):
    model = net()
    before = model.get_weights()
    run = fit(model, epochs=5, callbacks=[Holds(asked)])
    paused(run)
    signs_of_life(run, wait_for)
    standing = run.snapshot()
    run.stop()
    run.wait(waiting.LIMIT)

    assert run.status == "stopped"
    assert run.partial == standing.epoch == len(run.history["loss"])
    assert not run.snapshot().pausing
    assert any(not np.array_equal(*pair) for pair in zip(model.get_weights(), before, strict=True))


def test_an_abort_in_a_pause_drops_the_training(fit, paused, asked, wait_for):
    model = net()
    before = model.get_weights()
    run = fit(model, workers=1, callbacks=[Holds(asked)])
    paused(run)
    run.abort()
    run.done.wait(waiting.LIMIT)

    assert run.status == "aborted"
    assert all(map(np.array_equal, model.get_weights(), before))
    wait_for(lambda: not trainers(), "the end of the trainers")


@pytest.mark.soak  # the next loses one too
def test_a_worker_that_is_killed_in_a_pause_is_named_and_the_training_stays_paused(
    fit, paused, asked, wait_for, tmp_path
):
    ours, theirs = twins(net)
    fit(theirs, background=False, epochs=3)
    run = fit(ours, epochs=3, checkpoint=tmp_path, callbacks=[Holds(asked)])
    wait_for(lambda: run.epoch_numbers or run.done.is_set(), "an epoch")
    paused(run)
    trainers()[-1].kill()
    wait_for(lambda: run.notes and run.phase == "paused", "another attempt to stand still")

    (note,) = run.notes
    assert re.match(r"the trainer process of worker \d|worker \d|on worker \d", note), note
    assert run.snapshot().pausing
    run.resume()
    assert run.wait(waiting.LIMIT).status == "finished"
    assert_same_model(ours, theirs)


def test_a_rate_holds_after_a_worker_was_lost_though_no_checkpoint_has_it(fit, paused, asked, wait_for):
    ours, theirs = twins(net)
    run = fit(ours, workers=1, callbacks=[Holds(asked)])
    paused(run)
    run.set_learning_rate(0.0004)
    wait_for(lambda: run.notes, "the workers to take it")
    trainers()[-1].kill()
    wait_for(lambda: len(run.notes) == 3, "another attempt to take it")
    run.resume()
    run.wait(waiting.LIMIT)

    assert run.notes[1].endswith("going on from the start")
    assert run.notes[2] == "learning rate 0.002 -> 0.0004 from epoch 1, step 1 on"
    change = Sets(0, 0, 0.0004)
    theirs.fit(X, Y, epochs=2, batch_size=BATCH, shuffle=False, verbose=0, callbacks=[change])
    assert_same_model(ours, theirs, 1e-4)


def test_a_training_that_is_resumed_from_a_checkpoint_goes_on_with_the_rate(fit, tmp_path):
    (ours, theirs), again = twins(net), net()
    run = fit(ours, epochs=1, workers=1, checkpoint=tmp_path)
    run.pause()
    run.set_learning_rate(0.0004)
    run.resume()
    run.wait(waiting.LIMIT)
    assert place(run) == (0, 0)
    fit(again, workers=1, checkpoint=tmp_path, resume=True, background=False)

    change = Sets(0, 0, 0.0004)
    theirs.fit(X, Y, epochs=2, batch_size=BATCH, shuffle=False, verbose=0, callbacks=[change])
    assert_same_model(again, theirs, 1e-4)


@pytest.mark.soak  # below stands what the first one does, and the others
@pytest.mark.parametrize(
    "weighted", [pytest.param(False, id="by themselves"), pytest.param(True, id="in each step")]
)
@pytest.mark.parametrize("workers", [1, 2])
def test_workers_stand_still_in_a_validation_in_which_they_meet(
    fit, wait_for, monkeypatch, workers, weighted
):
    def make():
        model = net()
        if weighted:
            model.compile("adam", keras.losses.MeanSquaredError("mean_with_sample_weight"))
        return model

    ours, theirs = twins(make)
    times = 1 if weighted else 3  # to meet takes longer
    many = {"x": np.tile(X, (times, 1)), "y": np.tile(Y, times)}
    how = {"validation_split": 0.98, "validation_batch_size": 1, "epochs": 1, "workers": workers, **many}
    if weighted:
        how["sample_weight"] = np.linspace(0.5, 2, times * ROWS)
    undisturbed = fit(theirs, **how, background=False)
    entered, enter = [], Run.enter

    def enter_and_pause(run, phase):
        entered.append(phase)
        enter(run, phase)
        if phase == "validating" and "paused" not in entered:
            run.pause()  # Now: a test that has to hear of it first may come too late.

    monkeypatch.setattr(Run, "enter", enter_and_pause)
    run = fit(ours, **how)
    wait_for(lambda: run.phase == "paused" or run.done.is_set(), "the workers to stand still")
    assert run.status == "paused", run.error
    assert not run.history
    run.resume()
    assert run.wait(waiting.LIMIT).history == undisturbed.history
    assert entered[entered.index("paused") + 1] == "validating"  # for how short a time ever


@pytest.mark.soak
def test_at_whatever_moment_a_pause_is_asked_for_the_workers_come_to_stand_still(fit, wait_for):
    run = fit(net(), workers=2, epochs=1_000_000, validation_split=0.5, batch_size=4)
    wait_for(lambda: run.history.get("loss"), "an epoch")
    moments = np.random.default_rng().uniform(0, 0.3, size=200)
    for moment in moments:
        time.sleep(moment)
        run.pause()
        wait_for(lambda: run.phase == "paused", "the workers to stand still")
        run.resume()
        wait_for(lambda: run.phase != "paused", "them to go on")
    run.stop()
    assert run.wait(waiting.LIMIT).status == "stopped"


@pytest.mark.parametrize("rank", [0, 1])
def test_where_workers_do_not_meet_the_first_stands_still_and_the_others_come_to_its_next_sum(rank):
    """Else the first could be in that sum already, and wait for one that stands still."""
    sent, requests = [], Requests()
    group = SimpleNamespace(rank=rank, requested=lambda _: False)
    steering = Steering(group, SimpleNamespace(send=sent.append), requests)
    requests.take({"type": "pause", "pausing": True})
    requests.wait = lambda _: requests.take({"type": "pause", "pausing": False})

    steering.alone()

    assert [event["phase"] for event in sent] == (["paused", "validating"] if rank == 0 else [])
    assert requests.pausing is (rank == 1)


@pytest.fixture
def far(spark, monkeypatch):
    """The notebook announces an address that nobody can reach."""
    monkeypatch.setattr(cluster, "hosts", lambda _: ("127.0.0.1", "127.0.0.9"))
    monkeypatch.setattr(cluster, "slots", lambda _: 3)


@pytest.mark.soak  # test_relay.py has what the relay carries
def test_over_the_relay_too_a_worker_stands_still_and_takes_a_rate(fit, far, paused, wait_for):
    model = net()
    run = fit(model, workers=1, epochs=1_000_000)  # as long as the relay takes
    paused(run)
    run.set_learning_rate(0.0004)
    wait_for(lambda: run.snapshot().learning_rate == 0.0004, "the workers to take it")
    run.resume()
    wait_for(lambda: run.phase == "training", "it to go on")
    run.stop()
    run.wait(waiting.LIMIT)

    assert run.status == "stopped"
    assert float(model.optimizer.learning_rate) == np.float32(0.0004)


def test_workers_that_can_hear_nothing_are_not_said_to_pause(fit, far, wait_for):
    run = fit(net(), workers=3, epochs=1_000_000)
    run.pause()
    wait_for(lambda: run.notes, "what the workers cannot do")
    assert not run.snapshot().pausing
    for steer in (run.pause, lambda: run.set_learning_rate(0.1)):
        with pytest.raises(OptionError, match=r"^run .* hold all 3 slots: use --workers 2$"):
            steer()


@pytest.mark.soak
@pytest.mark.on("standalone")
def test_an_executor_that_is_killed_in_a_pause_is_noticed_and_the_training_stays_paused(
    fit, paused, asked, wait_for, tmp_path, cluster
):
    ours, theirs = twins(net)
    fit(theirs, epochs=3, background=False)
    run = fit(ours, epochs=3, checkpoint=tmp_path, callbacks=[Holds(asked)])
    wait_for(lambda: run.epoch_numbers or run.done.is_set(), "an epoch")
    paused(run)
    cluster.kill_executor()
    wait_for(lambda: run.notes and run.phase == "paused", "another attempt to stand still")

    assert "going on from the checkpoint of epoch 1" in run.notes[-1], run.notes
    run.resume()
    assert run.wait(waiting.LIMIT).status == "finished"
    assert_same_model(ours, theirs)


def test_a_stop_that_comes_after_the_last_step_of_an_epoch_is_no_end_that_a_callback_has_set():
    model, group = keras.Sequential(), Alone()
    data = SimpleNamespace(permute=None, steps=SimpleNamespace(rank=0), validation=None, checked=None)
    combine = Combine(group, None, Plan(Schema()), data, None, None, meets=False)
    combine.set_model(model)
    group.synchronise(model, data.steps, None)
    model.stop_training = True
    assert combine.ended
    group.request(Flag.STOP)  # from another thread, while the epoch is written
    assert model.stop_training
    assert not combine.ended


def test_a_request_is_there_before_the_workers_are_asked_to_meet():
    trainer, found = object.__new__(Trainer), []
    trainer._rank, trainer._requests = 0, Requests()
    trainer._group = SimpleNamespace(request=lambda _: found.append(trainer._requests.pausing))
    trainer._control({"type": "pause", "pausing": True})
    assert found == [True]


def test_no_wish_overtakes_another():
    run = Run("digits", model=None, epochs=4, workers=1)
    told, first, go_on = [], threading.Event(), threading.Event()

    def tell():
        pausing = run.pausing.is_set()
        first.set()
        if pausing:
            assert go_on.wait(waiting.LIMIT)
        told.append(pausing)

    run.connect(stop=lambda: None, abort=lambda: None, steer=tell)
    pausing = threading.Thread(target=run.pause)
    pausing.start()
    assert first.wait(waiting.LIMIT)
    resuming = threading.Thread(target=run.resume)
    resuming.start()
    go_on.set()
    pausing.join(waiting.LIMIT)
    resuming.join(waiting.LIMIT)
    assert told == [True, False]
