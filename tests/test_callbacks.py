from __future__ import annotations

import functools
import sys

import keras
import numpy as np
import pandas as pd
import pytest
import waiting
from twins import assert_same_history, assert_same_model, define, eagerly, twins, value

import nbkeras
from nbkeras.driver.training import callbacks as dividing
from nbkeras.driver.training import relay
from nbkeras.errors import OptionError, TrainingError

pytestmark = pytest.mark.usefixtures("any_backend")

ROWS, SHAPE = 70, 4


@pytest.fixture(scope="module")
def rows():
    random = np.random.default_rng(8)
    x = random.normal(size=(ROWS, SHAPE)).astype("float32")
    return x, (x.sum(axis=1) + random.normal(size=ROWS)).astype("float32")


def regressor(rate=0.02):
    model = keras.Sequential([keras.Input((SHAPE,)), keras.layers.Dense(3, "tanh"), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(rate, momentum=0.5), "mse", metrics=["mae"])
    return model


@pytest.fixture
def both(spark, rows):
    """Train twins with callbacks made by a function: on two workers by default, and by Keras."""

    def both(make_callbacks, make=regressor, workers=2, **options):
        ours, theirs = twins(make)
        mine, keras_own = make_callbacks("ours"), make_callbacks("theirs")
        x, y = rows
        options = {"validation_split": 0.3, "epochs": 6, "batch_size": 16, "shuffle": False, **options}
        run = nbkeras.fit(ours, x, y, callbacks=mine, workers=workers, spark=spark, **options)
        done = eagerly(theirs).fit(x, y, callbacks=keras_own, verbose=0, **options)
        return (ours, run, mine), (theirs, done, keras_own)

    return both


def test_early_stopping_stops_all_in_the_same_epoch_and_restores_the_best_weights(both):
    def stopping(_):
        # The error falls: to want it high is to see the first epoch as the best.
        early = keras.callbacks.EarlyStopping("val_mae", mode="max", patience=2, restore_best_weights=True)
        return [early, Recorder(99)]

    (ours, run, mine), (theirs, done, keras_own) = both(stopping)

    assert len(done.epoch) < 6
    assert_same_history(run.history, done.history)
    assert_same_model(ours, theirs)
    assert run.status == "finished"
    # One's own hears of no more epochs.
    assert mine[1].calls == keras_own[1].calls
    for name in ("stopped_epoch", "best_epoch", "wait"):
        assert getattr(mine[0], name) == getattr(keras_own[0], name)
    assert mine[0].stopped_epoch == mine[0].best_epoch + 2
    assert mine[0].best == pytest.approx(keras_own[0].best, rel=1e-5)


def test_rates_are_the_same_on_all_workers_and_early_stopping_without_a_reason_changes_nothing(both):
    slower = define("def slower(epoch, rate):\n    return rate * (0.8 if epoch else 1.0)")["slower"]

    def rates(_):
        return [
            keras.callbacks.LearningRateScheduler(slower),
            keras.callbacks.ReduceLROnPlateau(
                "loss", mode="max", factor=0.5, patience=2, cooldown=1, min_lr=1e-4
            ),
            keras.callbacks.EarlyStopping("loss", patience=3),
        ]

    (ours, run, mine), (theirs, done, keras_own) = both(rates)

    assert len(set(done.history["learning_rate"])) > 3
    assert_same_history(run.history, done.history)
    assert_same_model(ours, theirs)
    assert (mine[1].wait, mine[1].cooldown_counter) == (keras_own[1].wait, keras_own[1].cooldown_counter)
    assert float(ours.optimizer.learning_rate) == pytest.approx(float(theirs.optimizer.learning_rate))
    stopping = [(one[2].stopped_epoch, one[2].best_epoch) for one in (mine, keras_own)]
    assert stopping == [(0, 5), (0, 5)]


def test_what_decides_in_a_second_training_decides_as_in_the_first(spark, rows):
    x, y = rows

    def histories(fit):
        plateau = keras.callbacks.ReduceLROnPlateau("loss", patience=1, min_delta=0.5, factor=0.5)
        stopping = keras.callbacks.EarlyStopping("loss", patience=3, min_delta=0.5)
        return [fit([plateau, stopping]).history for _ in range(2)], (plateau.min_delta, stopping.min_delta)

    options = {"epochs": 9, "batch_size": 16, "shuffle": False, "verbose": 0}
    model, twin = regressor(), regressor()
    begun = model.get_weights()

    def anew(one):
        one.set_weights(begun)
        one.compile(keras.optimizers.SGD(0.02, momentum=0.5), "mse", run_eagerly=one is twin)
        return one

    theirs, _ = histories(lambda callbacks: anew(twin).fit(x, y, callbacks=callbacks, **options))
    ours, made_with = histories(
        lambda callbacks: nbkeras.fit(anew(model), x, y, callbacks=callbacks, spark=spark, **options)
    )
    assert len(theirs[0]["loss"]) < 9
    assert len(set(theirs[1]["learning_rate"])) > 1
    for run, done in zip(ours, theirs, strict=True):
        assert_same_history(run, done)
    assert made_with == (0.5, 0.5)


@pytest.mark.parametrize("batch_size", [16, ROWS], ids=["within an epoch", "in the last step of an epoch"])
def test_terminate_on_nan_ends_in_the_same_epoch(both, batch_size):
    (_, run, _), (_, done, _) = both(
        lambda _: [keras.callbacks.TerminateOnNaN()],
        lambda: regressor(rate=1e30),
        batch_size=batch_size,
        validation_split=0.0,
    )

    assert len(done.epoch) < 6
    assert run.epoch_numbers == done.epoch
    assert not np.isfinite(run.history["loss"][-1])
    (note,) = run.notes
    assert note.endswith("unknown classes in the data")


class Recorder(keras.callbacks.Callback):
    """Keeps what it is called with and the weights it sees, and stops at an epoch."""

    def __init__(self, last):
        super().__init__()
        self.last, self.calls, self.weights, self.rates = last, [], [], []

    def on_train_begin(self, logs=None):
        self.calls.append("train begin")

    def on_epoch_begin(self, epoch, logs=None):
        self.calls.append(f"begin {epoch}")

    def on_epoch_end(self, epoch, logs=None):
        self.calls.append(f"end {epoch}: {', '.join(logs)}")
        self.weights.append([value(one) for one in self.model.weights])
        if epoch == self.last:
            self.model.stop_training = True

    def on_train_end(self, logs=None):
        self.calls.append("train end")
        self.weights.append([value(one) for one in self.model.weights])


class Slower(keras.callbacks.Callback):
    """Sets the learning rate itself, before an epoch and after it."""

    def on_epoch_begin(self, epoch, logs=None):
        self.model.optimizer.learning_rate = 0.5 * float(self.model.optimizer.learning_rate)

    def on_epoch_end(self, epoch, logs=None):
        self.model.optimizer.learning_rate = 1.2 * float(self.model.optimizer.learning_rate)


@pytest.mark.parametrize(
    ("more", "last"),
    [
        pytest.param([], 1, id="stops early"),
        pytest.param([Slower], 99, id="sets rates to the end"),
    ],
)
def test_a_custom_callback_sees_weights_and_logs_and_can_stop_and_set_rates(both, more, last):
    def chosen(_):
        return [Recorder(last), *(one() for one in more)]

    (ours, run, mine), (theirs, done, keras_own) = both(chosen, epochs=3)

    assert len(done.epoch) == min(last + 1, 3)
    assert mine[0].calls == keras_own[0].calls
    for seen, expected in zip(mine[0].weights, keras_own[0].weights, strict=True):
        for one, other in zip(seen, expected, strict=True):
            np.testing.assert_allclose(one, other, 1e-5, 1e-5)
    assert_same_history(run.history, done.history)
    assert_same_model(ours, theirs)


SPEAKS = """
import keras, warnings

class Speaks(keras.layers.Layer):
    def call(self, x):
        print("traced", x.shape[1:])
        return x
"""


def test_what_is_said_on_a_worker_is_noted_once_with_its_name(spark, rows):
    x, y = rows
    layers = [keras.Input((SHAPE,)), define(SPEAKS)["Speaks"](), keras.layers.Dense(1)]
    model = keras.Sequential(layers)
    model.compile("sgd", "mse", run_eagerly=True)
    callbacks = [
        keras.callbacks.EarlyStopping("val_loss"),
        keras.callbacks.EarlyStopping("loss", min_delta=99, patience=1, verbose=1),
        keras.callbacks.ReduceLROnPlateau("loss", min_delta=99, patience=1, verbose=1),
    ]
    run = nbkeras.fit(
        model, x, y, callbacks=callbacks, epochs=4, workers=2, backend="tensorflow", spark=spark
    )
    said = [note for note in run.notes if note.startswith("worker ")]
    assert len({note.split(": ", 1)[1] for note in said}) == len(said) == 4
    for words in (
        "UserWarning: Early stopping conditioned on metric `val_loss` which is not available.",
        "Epoch 2: early stopping",
        "Epoch 2: ReduceLROnPlateau reducing learning rate to",
    ):
        assert any(note.startswith(f"worker 0: {words}") for note in said)
    assert any(note.endswith(": traced (4,)") for note in said)


def test_files_and_lambdas_are_written_and_called_where_the_notebook_is(both, tmp_path):
    heard = {"ours": [], "theirs": []}

    def chosen(whose):
        (tmp_path / whose).mkdir()
        return [
            keras.callbacks.ModelCheckpoint(
                tmp_path / whose / "{epoch:02d}.keras", monitor="val_loss", mode="max", save_best_only=True
            ),
            keras.callbacks.ModelCheckpoint(
                tmp_path / whose / "{epoch:02d}.weights.h5", save_weights_only=True
            ),
            keras.callbacks.CSVLogger(tmp_path / whose / "log.csv"),
            keras.callbacks.LambdaCallback(
                on_epoch_end=lambda epoch, logs: heard[whose].append((epoch, logs))
            ),
        ]

    (ours, run, _), (theirs, done, _) = both(chosen, workers=1, epochs=3)

    assert_same_history(run.history, done.history)
    names = {whose: sorted(one.name for one in (tmp_path / whose).iterdir()) for whose in heard}
    assert names["ours"] == names["theirs"]
    assert names["ours"] == ["01.keras", "01.weights.h5", "02.weights.h5", "03.weights.h5", "log.csv"]
    first = [keras.models.load_model(tmp_path / whose / "01.keras") for whose in ("ours", "theirs")]
    assert_same_model(*first)
    for whose, model in (("ours", ours), ("theirs", theirs)):
        model.load_weights(tmp_path / whose / "02.weights.h5")
    assert_same_model(ours, theirs)
    tables = [pd.read_csv(tmp_path / whose / "log.csv") for whose in heard]
    pd.testing.assert_frame_equal(*tables, rtol=1e-5)
    assert [epoch for epoch, _ in heard["ours"]] == [0, 1, 2]
    assert [list(logs) for _, logs in heard["ours"]] == [list(logs) for _, logs in heard["theirs"]]


class Unexpected(BaseException):
    """As one who means to leave the cell raises, past all that catch an Exception."""


def explode(epoch, logs):
    raise Unexpected("no such metric")


def test_a_callback_that_raises_ends_the_run_and_shows_its_frame(spark, rows):
    model = regressor()
    failing = keras.callbacks.LambdaCallback(on_epoch_end=explode)

    with pytest.raises(TrainingError, match=r"^in a callback: Unexpected: no such metric$") as caught:
        nbkeras.fit(model, *rows, epochs=50, callbacks=[failing], workers=2, spark=spark)

    assert "in explode" in caught.value.worker_traceback
    assert 'raise Unexpected("no such metric")' in caught.value.worker_traceback
    assert "site-packages" not in caught.value.worker_traceback
    # The next one works.
    assert nbkeras.fit(model, *rows, workers=1, spark=spark).status == "finished"


class Logs(keras.callbacks.Callback):
    """Logs what is no number."""

    def __init__(self, values):
        super().__init__()
        self.values = values

    def on_epoch_end(self, epoch, logs=None):
        logs.update(self.values)


def test_a_callback_may_log_what_it_likes(spark, rows):
    values = {
        "matrix": [[5, 1], [2, 7]],
        "word": "good",
        "nothing": None,
        "names": {"a": 1},
        "ragged": [1, [2, 3]],
        "large": np.zeros((100, 100)),
        "scalar": np.float32(0.5),
        "truth": True,
    }
    run = nbkeras.fit(regressor(), *rows, epochs=2, callbacks=[Logs(values)], workers=1, spark=spark)
    for name, logged in values.items():
        assert run.history[name][0] is run.history[name][1] is logged
    shown = run.snapshot().curves
    cells = [f"matrix[{row}, {column}]" for row in range(2) for column in range(2)]
    assert sorted(shown) == sorted(["loss", "mae", *cells, "scalar", "truth"])
    assert all(len(curve) == 2 for curve in shown.values())


def test_a_callback_that_exits_ends_the_run(spark, rows):
    leaving = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: sys.exit("enough"))
    with pytest.raises(TrainingError, match=r"^in a callback: SystemExit: enough$"):
        nbkeras.fit(regressor(), *rows, epochs=50, callbacks=[leaving], workers=1, spark=spark)


class Evaluates(keras.callbacks.Callback):
    """Asks the model itself at the end of an epoch."""

    def __init__(self, evaluate):
        super().__init__()
        self.evaluate, self.found = evaluate, []

    def on_epoch_end(self, epoch, logs=None):
        self.found.append(self.evaluate(self.model))


def test_in_a_callback_keras_itself_evaluates_and_predicts(spark, rows):
    def ask(model):
        return model.evaluate(*rows, verbose=0, return_dict=True)["loss"], len(
            model.predict(rows[0], verbose=0)
        )

    model, asks = regressor(), Evaluates(ask)
    with nbkeras.on_spark(spark=spark, workers=1):
        history = model.fit(*rows, epochs=2, callbacks=[asks], validation_data=rows, verbose=0)
    assert [loss for loss, _ in asks.found] == pytest.approx(history.history["val_loss"], rel=1e-5)
    assert [number for _, number in asks.found] == [len(rows[0])] * 2


def test_in_a_callback_spark_is_not_asked_of_the_model_in_training(spark, rows):
    # The workers hold their slots until it has answered.
    asks = Evaluates(lambda model: nbkeras.evaluate(model, *rows, spark=spark))
    with pytest.raises(TrainingError, match="trains this model, and waits for this callback"):
        nbkeras.fit(regressor(), *rows, epochs=2, callbacks=[asks], workers=1, spark=spark)


def test_a_model_compiled_again_meanwhile_has_the_trained_weights(spark, rows, wait_for):
    model, theirs = twins(regressor)
    options = {"epochs": 20, "shuffle": False, "verbose": 0}
    eagerly(theirs).fit(*rows, **options)
    run = nbkeras.fit(model, *rows, **options, workers=1, background=True, spark=spark)
    run.pause()
    wait_for(lambda: run.phase == "paused" or run.done.is_set(), "the workers to stand still")
    model.compile("sgd", "mse")
    run.resume()
    run.wait(waiting.LIMIT)
    assert any("compiled again" in note for note in run.notes)
    for ours, other in zip(model.get_weights(), theirs.get_weights(), strict=True):
        assert ours == pytest.approx(other, abs=1e-6)


def test_callbacks_work_in_the_background(spark, rows, monkeypatch):
    monkeypatch.setattr(nbkeras.api, "host", nbkeras.driver.training.attend.Silent())
    recorder = Recorder(1)
    stopping = keras.callbacks.EarlyStopping("loss", patience=5)

    run = nbkeras.fit(
        regressor(),
        *rows,
        epochs=4,
        callbacks=[recorder, stopping],
        workers=1,
        background=True,
        spark=spark,
    )

    assert run.background
    run.wait(waiting.LIMIT)
    assert run.status == "finished"
    assert run.epoch_numbers == [0, 1]
    assert [call.partition(":")[0] for call in recorder.calls[:5]] == [
        "train begin",
        "begin 0",
        "end 0",
        "begin 1",
        "end 1",
    ]
    assert stopping.best == pytest.approx(run.history["loss"][1])


def test_a_callback_that_changes_weights_gets_a_note_that_training_ignores_it(spark, rows):
    class Shrink(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            kernel = self.model.trainable_variables[0]
            kernel.assign(kernel * 0.5)

    run = nbkeras.fit(regressor(), *rows, epochs=2, callbacks=[Shrink()], workers=1, spark=spark)

    assert len([note for note in run.notes if "changed the model's weights" in note]) == 1


def test_what_is_no_callback_is_refused_in_one_line():
    with pytest.raises(OptionError, match=r"callbacks holds .*print.*, which is no keras.callbacks.Callback"):
        nbkeras.fit(regressor(), np.ones((2, SHAPE)), np.ones(2), callbacks=[print])


def test_keras_own_deciding_callbacks_go_to_the_workers_and_all_others_stay():
    stopping, logger = keras.callbacks.EarlyStopping(), keras.callbacks.CSVLogger("log.csv")
    bar = keras.callbacks.ProgbarLogger()

    assert dividing.divided([stopping, [logger, bar]]) == ([stopping], [logger])
    assert dividing.divided(None) == ([], [])
    assert dividing.divided(stopping) == ([stopping], [])


PARTS = """
log = []

def notes(epoch, logs):
    log.append(max(logs.values()) + epoch)

def names_it(epoch, logs):
    log.append(model.name)

def calls_it(epoch, logs):
    names_it(epoch, logs)

def within(epoch, logs):
    log.extend(held.weights[index] for index in range(2))

def around(network):
    def hook(epoch, logs):
        log.append(network.count_params())
    return hook

class Plot:
    def __init__(self, network):
        self.network = network

    def update(self, epoch, logs):
        log.append(self.network)
"""


def test_only_callbacks_that_may_read_the_model_have_the_weights_fetched():
    model = regressor()
    notebook = define(PARTS)
    notebook |= {"model": model, "held": model}

    def reads(callback):
        return dividing.looks_at(callback, model)

    def called(function):
        return keras.callbacks.LambdaCallback(on_epoch_end=function)

    assert not reads(keras.callbacks.CSVLogger("log.csv"))
    assert not reads(called(notebook["notes"]))
    assert not reads(called(print))
    assert reads(called(notebook["names_it"]))
    assert reads(called(notebook["calls_it"]))
    assert reads(called(notebook["around"](model)))
    assert not reads(called(notebook["around"](regressor())))
    assert reads(called(notebook["Plot"](model).update))
    assert reads(called(functools.partial(notebook["notes"], 1)))
    assert reads(keras.callbacks.ModelCheckpoint("a.keras"))
    assert reads(Recorder(1))
    # The model under another name, in a comprehension.
    assert reads(called(notebook["within"]))
    # In what a decorator of another module wraps, or a class gives another form.
    assert reads(called(timed(notebook["names_it"])))
    assert not reads(called(timed(notebook["notes"])))
    assert reads(Decorated())
    assert reads(ByProperty())


def timed(function):
    """As a decorator of a module of the user's own."""
    names = define("import functools\ndef timed(f):\n    return functools.wraps(f)(lambda *a: f(*a))\n")
    return names["timed"](function)


class Decorated(keras.callbacks.Callback):
    on_epoch_end = functools.lru_cache(lambda self, *_: self.model.name)


class ByProperty(keras.callbacks.Callback):
    @property
    def net(self):
        return self.model

    def on_epoch_end(self, epoch, logs=None):
        self.found = self.net


class Holds(keras.callbacks.Callback):
    """Holds the training until its worker has given so many signs of life, one a second."""

    def __init__(self, number, wait_for):
        super().__init__()
        self.number, self.wait_for = number, wait_for

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 0:
            server = nbkeras.api.runs[-1]._on_stop.__self__._submission._server
            before = server.event_counts()["trainer-0"]
            self.wait_for(lambda: server.event_counts()["trainer-0"] > before + self.number, "signs of life")


def test_a_first_training_that_outlasts_the_heartbeat_loses_nobody(spark, rows, wait_for):
    relay._known.clear()  # as in a new notebook: whether workers reach it is asked now
    slow = Holds(8, wait_for)

    run = nbkeras.fit(regressor(), *rows, epochs=2, workers=1, heartbeat=5, callbacks=[slow], spark=spark)

    assert run.status == "finished"
    assert [note for note in run.notes if "sign of life" in note] == []
