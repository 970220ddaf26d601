"""The notebook's side of a training without Spark: again where a worker is lost, and how weights land."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest

from nbkeras.driver.training import attempts
from nbkeras.driver.training.inbox import Inbox
from nbkeras.driver.training.submission import Cancelled
from nbkeras.errors import Aborted, DataError, ModelError, NbkerasError, OptionError, PortTaken, WorkerLost
from nbkeras.job import archive
from nbkeras.job.checkpoint import Checkpoint, Origin
from nbkeras.job.rendezvous import Rendezvous
from nbkeras.job.store import Store
from nbkeras.model import randomness, state
from nbkeras.plan import Plan
from nbkeras.run.run import Run
from nbkeras.schema import Field, Schema


class Submitted:
    """Stands for what is submitted to Spark: one stage after the other does what the test says."""

    def __init__(self):
        self.stages, self.made, self.asked, self.slots, self.again = [], [], [], [], []
        self.weights, self.saved = None, None

    def __call__(
        self,
        spark,
        plan,
        df,
        run,
        payload,
        resume,
        epoch_end,
        steps,
        producers,
        size,
        *,
        again,
        preprocessing,
    ):
        self.again.append(again)
        assert preprocessing is None
        self.run, self.payload, self.resume = run, payload, resume
        self.epoch_end, self.steps = epoch_end, steps
        self.made.append(resume)
        return self

    def collect(self):
        return self.stages.pop(0)()

    def stop(self):
        self.asked.append("stop")

    def steer(self):
        self.asked.append("steer")

    def abort(self):
        self.asked.append("abort")


@pytest.fixture
def submitted(monkeypatch):
    made = Submitted()
    monkeypatch.setattr(attempts, "Submission", made)
    monkeypatch.setattr(attempts.dynamic_allocation, "is_on", lambda _: False)
    monkeypatch.setattr(attempts.protection, "encrypts_disks", lambda _: False)
    monkeypatch.setattr(attempts.cluster, "require_slots", lambda *given: made.slots.append(given[1:3]))
    return made


def compiled():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "mse")
    model.optimizer.build(model.trainable_variables)
    return model


@pytest.fixture
def model():
    return compiled()


@pytest.fixture
def trained():
    """A model as the workers have it in the end."""
    one = compiled()
    for number, variable in enumerate(state.variables(one)):
        variable.assign(np.full(variable.shape, number + 1))
    return one


@pytest.fixture
def train(submitted, model):
    """Train on stages that do this, and give the run."""

    def train(*stages, resume=None, callbacks=(), epoch_end=None, steps=None, run=None, **how):
        run = run or Run("digits", model, epochs=3, workers=1)
        submitted.stages = list(stages)
        plan = Plan(Schema(), **{"epochs": 3, "seed": 1, **how})
        attempts.Driver(None, plan, None, run, list(callbacks), epoch_end, steps, resume).train()
        return run

    return train


def gives(model, *, epochs=((0, 1.0),), callbacks=(), partial=None, pieces=2):
    """A stage that ends with a report, and with this model's variables in pieces."""
    report = {
        "epochs": [[epoch, {"loss": loss}] for epoch, loss in epochs],
        "partial": partial,
        "optimizers": state.built(model),
        "shuffles": {},
        "generator": randomness.Common().state,
    }
    packed = state.pack(state.variables(model))
    size = -(-len(packed) // max(1, pieces))
    data = [packed[start : start + size] for start in range(0, len(packed), size)] if pieces else []
    rows = [{"kind": "report", "data": json.dumps(report).encode()}]
    rows.append({"kind": "callbacks", "data": archive.dump_values(list(callbacks))})
    return lambda: rows + [{"kind": "bytes", "data": one} for one in data]


@pytest.fixture
def lost(submitted):
    """Make a stage that loses a worker behind some epochs."""

    def lost(*epochs, error=WorkerLost):
        def stage():
            for epoch in epochs:
                submitted.run.record_epoch(epoch, {"loss": 1.0})
            raise error("it is gone")

        return stage

    return lost


def checkpoint(model, epoch=1, **origin):
    made = Origin(
        **{"seed": 1, "ordered": False, "batch_size": 32, "workers": 1, **origin}, rows=9, checksum=5
    )
    epochs = [(number, {"loss": 2.0, "each": [1, 2]}) for number in range(epoch + 1)]
    variables = state.variables(model)
    return Checkpoint(
        made, epochs, False, state.layout(variables), state.built(model), state.pack(variables), []
    )


def same(one, other):
    pairs = zip(state.variables(one), state.variables(other), strict=True)
    return all(np.array_equal(state.value(mine), state.value(theirs)) for mine, theirs in pairs)


# -- the end -------------------------------------------------------------------------------------------


def test_a_training_lands_weights_optimizer_epochs_and_what_callbacks_know(train, model, trained):
    stop = keras.callbacks.EarlyStopping()
    run = train(
        gives(trained, epochs=[(0, 2.0), (1, 1.0)], callbacks=[{"wait": 7}], pieces=3), callbacks=[stop]
    )
    assert (run.status, run.error, run.history, run.partial) == ("finished", None, {"loss": [2.0, 1.0]}, None)
    assert same(model, trained)
    assert stop.wait == 7
    model.set_weights([np.zeros(one.shape) for one in model.get_weights()])
    run.load_weights()
    assert same(model, trained)


def test_large_weights_come_beside_the_rows(train, submitted, model, trained):
    submitted.weights = state.pack(state.variables(trained))
    run = train(gives(trained, partial=2, pieces=0))
    assert (run.status, run.partial) == ("finished", 3)
    assert same(model, trained)


def test_weights_that_are_not_the_models_change_nothing(train, submitted, model):
    before = model.get_weights()
    submitted.weights = b"a few bytes"
    run = train(gives(model, pieces=0))
    assert isinstance(run.error, ModelError)
    assert all(np.array_equal(one, other) for one, other in zip(model.get_weights(), before, strict=True))


def test_a_model_that_was_compiled_anew_meanwhile_keeps_its_new_optimizer(train, model, trained):
    stage = gives(trained)

    def compiles():
        model.compile("adam", "mse")
        return stage()

    run = train(compiles)
    assert run.notes == ["the model was compiled again in the meantime: its optimizer is as it was made"]
    assert all(np.array_equal(*pair) for pair in zip(model.get_weights(), trained.get_weights(), strict=True))
    assert type(model.optimizer).__name__ == "Adam"


def test_a_stage_that_spark_has_no_rows_for_is_told(train):
    run = train(list)
    assert isinstance(run.error, DataError)
    assert str(run.error).startswith("the DataFrame has no rows to train on")


def test_what_nobody_has_foreseen_ends_the_run_in_one_line(train):
    def stage():
        raise ZeroDivisionError("division\nby zero")

    run = train(stage)
    assert (run.status, type(run.error)) == ("failed", NbkerasError)
    assert str(run.error) == "nbkeras failed: ZeroDivisionError: division by zero"


# -- again, when a worker is lost ----------------------------------------------------------------------


@pytest.mark.parametrize("error", [WorkerLost, PortTaken])
def test_a_training_that_loses_a_worker_is_submitted_again_when_there_are_slots(
    train, submitted, lost, trained, error
):
    run = train(lost(error=error), gives(trained))
    assert (run.status, submitted.made) == ("finished", [None, None])
    assert run.notes == ["it is gone; going on from the start"]
    assert submitted.slots == [(1, attempts._SLOT_SECONDS)]


def test_where_executors_come_and_go_the_stage_itself_asks_for_them(
    train, submitted, lost, trained, monkeypatch
):
    monkeypatch.setattr(attempts.dynamic_allocation, "is_on", lambda _: True)
    assert train(lost(), gives(trained)).status == "finished"
    assert submitted.slots == []


def test_a_training_that_comes_no_further_is_given_up(train, submitted, lost):
    run = train(*[lost(0)] * 9)
    assert (type(run.error), run.status) == (WorkerLost, "failed")
    assert str(run.error) == "it is gone; given up after 3 new attempts in the same epoch"
    assert len(submitted.made) == 1 + attempts.RESTARTS


def test_a_training_that_comes_further_each_time_goes_on(train, submitted, lost, trained):
    stages = [lost(epoch) for epoch in range(3) for _ in range(attempts.RESTARTS)]
    assert train(*stages, gives(trained)).status == "finished"
    assert len(submitted.made) == 3 * attempts.RESTARTS + 1


def test_it_goes_on_from_the_newest_checkpoint_and_has_its_epochs(train, submitted, lost, trained, tmp_path):
    Store(str(tmp_path)).write(checkpoint(trained))
    submitted.saved = 1
    run = train(lost(0), gives(trained, epochs=[(0, 1.0), (1, 1.0), (2, 1.0)]), checkpoint=str(tmp_path))
    assert submitted.again == [False, True]
    assert run.notes == ["it is gone; going on from the checkpoint of epoch 2"]
    assert (submitted.made[0], submitted.made[1].epoch) == (None, 1)
    assert run.history["loss"] == [1.0, 2.0, 1.0]  # as it was told, from the checkpoint, and in the end
    assert run.history["each"][0].tolist() == [1, 2]


def test_a_checkpoint_that_only_the_worker_sees_is_told(train, submitted, lost, trained, tmp_path):
    submitted.saved = 4
    run = train(lost(), gives(trained), checkpoint=str(tmp_path))
    assert run.notes[0] == (
        f"the checkpoint of epoch 5 in {tmp_path} cannot be seen from this notebook: "
        "name a place that all machines share"
    )
    assert run.notes[1].endswith("going on from the start")


def test_who_gives_up_says_how_to_go_on_from_the_checkpoint(train, submitted, lost, trained, tmp_path):
    Store(str(tmp_path)).write(checkpoint(trained))
    submitted.saved = 1
    run = train(*[lost()] * 9, checkpoint=str(tmp_path))
    assert str(run.error).endswith("in the same epoch; add --resume to go on after epoch 2")


def test_the_callbacks_see_an_epoch_once_though_it_is_trained_again(train, submitted, lost, trained):
    seen = []

    def epoch_end(epoch, logs, weights, *, last):
        seen.append((epoch, last))
        return {"stop": False, "answer": len(seen)}

    def ask(*epochs):
        return [submitted.epoch_end(epoch, {}, b"", last=epoch == 1) for epoch in epochs]

    told = []

    def first():
        told.extend(ask(0))
        raise WorkerLost("it is gone")

    def second():
        told.extend(ask(0, 1))
        return gives(trained)()

    assert train(first, second, epoch_end=epoch_end).status == "finished"
    assert seen == [(0, False), (1, True)]
    assert [one["answer"] for one in told] == [1, 1, 2]


def test_the_callbacks_see_a_step_once_though_it_is_trained_again(train, submitted, lost, trained):
    seen = []

    def steps(event):
        seen.extend((event["epoch"], *one) for one in event["calls"])

    def tell(epoch, first, *numbers):
        submitted.steps({"epoch": epoch, "first": first, "calls": [[number] for number in numbers]})

    def first():
        tell(0, 0, 0, 1)
        tell(0, 2, 2)
        submitted.epoch_end(0, {}, b"", last=False)
        tell(1, 0, 0, 1)
        raise WorkerLost("it is gone")

    def second():
        tell(0, 0, 0, 1, 2)
        submitted.epoch_end(0, {}, b"", last=False)
        tell(1, 0, 0)
        tell(1, 1, 1, 2)
        return gives(trained)()

    def epoch_end(epoch, logs, weights, *, last):
        return {"stop": False}

    assert train(first, second, epoch_end=epoch_end, steps=steps).status == "finished"
    assert seen == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]


# -- stopped, aborted, and gone on ---------------------------------------------------------------------


def test_a_stop_and_an_abort_and_what_steers_go_to_what_is_submitted(train, submitted, trained):
    def stage():
        submitted.run.pause()
        submitted.run.resume()
        submitted.run.stop()
        return gives(trained)()

    assert train(stage).status == "stopped"
    assert submitted.asked == ["steer", "steer", "stop"]


def test_an_abort_drops_the_training_and_leaves_the_model(train, submitted, model):
    before = model.get_weights()

    def stage():
        submitted.run.abort()
        raise Cancelled

    run = train(stage)
    assert (run.status, type(run.error), submitted.asked) == ("aborted", Aborted, ["abort"])
    assert str(run.error) == "digits: the training was dropped; the model is as it was before"
    assert all(np.array_equal(one, other) for one, other in zip(model.get_weights(), before, strict=True))
    assert run.weights is None


def test_a_stage_that_notices_an_abort_before_it_is_told_is_dropped_and_not_stopped(train, submitted):
    def stage():
        submitted.run.connect(stop=lambda: None, abort=lambda: None)
        submitted.run.abort()
        raise Cancelled

    assert train(stage).status == "aborted"


def test_a_run_that_was_aborted_before_it_began_hears_of_it_before_anything_is_submitted(
    train, submitted, model
):
    run = Run("digits", model, epochs=3, workers=1)
    run.abort()

    def stage():
        raise Cancelled

    assert train(stage, run=run).status == "aborted"
    assert submitted.asked == []  # there was nothing yet to end


def test_a_stop_while_a_worker_is_lost_keeps_what_can_be_kept(train, submitted):
    def stage():
        submitted.run.record_epoch(0, {"loss": 1.0})
        submitted.run.stop()
        raise WorkerLost("it is gone")

    run = train(stage)
    assert (run.status, run.error, len(submitted.made)) == ("stopped", None, 1)
    assert run.notes[0].startswith("stopped before it had caught up: the weights were lost with a worker")


def test_a_training_goes_on_from_a_checkpoint_with_its_epochs(train, submitted, trained):
    begun = checkpoint(trained)
    run = train(gives(trained, epochs=[(0, 1.0), (1, 1.0), (2, 0.5)]), resume=begun)
    assert submitted.made == [begun]
    assert run.history["loss"] == [2.0, 2.0, 0.5]


def test_a_stop_before_a_checkpoint_was_gone_on_from_leaves_what_it_holds(train, submitted, model, trained):
    def stage():
        submitted.run.stop()
        raise Cancelled

    run = train(stage, resume=checkpoint(trained))
    assert (run.status, run.notes) == ("stopped", [])
    assert same(model, trained)
    assert run.weights is not None


def test_a_checkpoint_of_another_training_is_refused_before_anything_is_submitted(train, submitted, trained):
    run = train(resume=checkpoint(trained), callbacks=[keras.callbacks.EarlyStopping()])
    assert (run.status, type(run.error), submitted.made) == ("failed", OptionError, [])
    with pytest.raises(OptionError, match=r"made with 0 callbacks .* now there are 1"):
        run.wait()


def test_trainers_that_have_all_their_rows_and_are_not_ready_yet_are_said_to_start():
    inbox = object.__new__(Inbox)
    inbox._run = run = Run("digits", model=None, epochs=1, workers=2)
    inbox._plan, inbox._read = Plan(Schema((Field("x0", ("x",), "x"),)), workers=2), set()
    inbox._rendezvous = Rendezvous(inbox._plan)
    phases = []
    for rank, rows, ended in ((0, 5, True), (1, 2, False), (1, 4, True)):
        event = {"rank": rank, "rows": rows, **({"all": True} if ended else {})}
        inbox._on_rows(f"task-{rank}", event, b"", None)
        phases.append(run.phase)
    assert phases == ["reading", "reading", "starting"]
    assert run.snapshot().rows_read == 9
