"""Callbacks that Keras calls within an epoch: on worker 0, with what they find out back in the notebook."""

from __future__ import annotations

import collections
import threading

import keras
import numpy as np
import pytest
from twins import assert_same_history, assert_same_model, define, eagerly, twins

import nbkeras
from nbkeras.driver.training import callbacks as dividing
from nbkeras.errors import ModelError, TrainingError
from nbkeras.model import captured, pickling

pytestmark = pytest.mark.usefixtures("as_in_a_notebook")

ROWS, SHAPE = 70, 4


@pytest.fixture(scope="module")
def rows():
    random = np.random.default_rng(8)
    x = random.normal(size=(ROWS, SHAPE)).astype("float32")
    return x, (x.sum(axis=1) + random.normal(size=ROWS)).astype("float32")


def regressor(**how):
    model = keras.Sequential([keras.Input((SHAPE,)), keras.layers.Dense(3, "tanh"), keras.layers.Dense(1)])
    how = {"metrics": ["mae"], "optimizer": keras.optimizers.SGD(0.02, momentum=0.5), **how}
    model.compile(loss="mse", **how)
    return model


@pytest.fixture
def both(spark, rows, any_backend):
    """Train twins with callbacks made by a function: on workers, and by Keras."""

    def both(make_callbacks, make=regressor, workers=2, backend=None, **options):
        ours, theirs = twins(make)
        mine, keras_own = make_callbacks(), make_callbacks()
        x, y = rows
        options = {"validation_split": 0.3, "epochs": 3, "batch_size": 16, "shuffle": False, **options}
        where = {"spark": spark, **({"backend": backend} if backend else {})}
        run = nbkeras.fit(ours, x, y, callbacks=mine, workers=workers, **where, **options)
        done = eagerly(theirs).fit(x, y, callbacks=keras_own, verbose=0, **options)
        assert_same_history(run.history, done.history)
        assert_same_model(ours, theirs)
        return run, mine, keras_own

    return both


class OneCycle(keras.callbacks.Callback):
    """Warms the learning rate up and cools it down, a batch at a time, and writes down what it sees."""

    def __init__(self, top, steps):
        super().__init__()
        self.top, self.steps, self.step = top, steps, 0
        self.seen, self.by_epoch = [], collections.defaultdict(list)

    def on_train_begin(self, logs=None):
        self.model.optimizer.learning_rate = 1e-5

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_begin(self, batch, logs=None):
        part = self.step / self.steps
        self.model.optimizer.learning_rate = self.top * (2 * part if part < 0.5 else 2 - 2 * part)

    def on_train_batch_end(self, batch, logs=None):
        self.step += 1
        rate = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        self.seen.append((batch, rate, logs["loss"], logs["mae"]))
        self.by_epoch[self.epoch].append(logs["mae"])


@pytest.mark.parametrize(
    ("workers", "backend"),
    [
        (2, "tensorflow"),
        (2, "torch"),
        *(pytest.param(*more, marks=pytest.mark.soak) for more in [(1, "tensorflow"), (2, "jax")]),
    ],
)
def test_a_rate_of_each_batch_trains_as_in_keras_and_sees_the_logs_of_the_global_batch(
    both, workers, backend
):
    _, mine, keras_own = both(lambda: [OneCycle(0.1, 12)], workers=workers, backend=backend)

    np.testing.assert_allclose(mine[0].seen, keras_own[0].seen, 1e-4)
    assert mine[0].step == keras_own[0].step == 12
    assert list(mine[0].by_epoch) == [0, 1, 2]
    assert mine[0].by_epoch["another"] == []  # It is still the dict that it was made as.


class Stops(keras.callbacks.Callback):
    """Stops in the middle of an epoch."""

    def __init__(self, hook):
        super().__init__()
        setattr(self, hook, self.stop)

    def stop(self, batch, logs=None):
        self.model.stop_training = int(self.model.optimizer.iterations) >= 5


@pytest.mark.parametrize("hook", ["on_train_batch_begin", "on_batch_end"])
def test_a_stop_within_an_epoch_reaches_all_workers_at_that_step(both, hook):
    run, _, _ = both(lambda: [Stops(hook)])
    assert run.epoch_numbers == [0, 1]
    assert run.status == "finished"


class Clips(keras.callbacks.Callback):
    """Changes weights after each batch, and the momentum."""

    def on_train_batch_end(self, batch, logs=None):
        self.model.set_weights([np.clip(one, -0.3, 0.3) for one in self.model.get_weights()])


def test_weights_that_a_callback_changes_after_a_batch_are_those_of_all_workers(both):
    both(lambda: [Clips()])


class Watches(keras.callbacks.Callback):
    """Writes down the logs that it is given; it needs no model, so the notebook calls it."""

    def __init__(self):
        super().__init__()
        self.calls, self.numbers = [], []
        self.lock = threading.Lock()  # It cannot be sent to a worker.

    def on_train_batch_begin(self, batch, logs=None):
        self.calls.append(f"step {batch}")

    def on_batch_end(self, batch, logs=None):
        self.calls.append(f"step {batch} made")
        self.numbers.append((logs["loss"], logs["mae"]))

    def on_epoch_end(self, epoch, logs=None):
        self.calls.append(f"epoch {epoch}")
        self.numbers.append((logs["loss"], logs["val_mae"]))

    def on_test_begin(self, logs=None):
        self.calls.append("begin")

    def on_test_batch_end(self, batch, logs=None):
        self.calls.append(batch)
        self.numbers.append((logs["loss"], logs["mae"]))

    def on_test_end(self, logs=None):
        self.calls.append("end")
        self.numbers.append((logs["loss"], logs["mae"]))


class Judges(Watches):
    """The same on a worker, since it reads the model."""

    def __init__(self):
        super().__init__()
        del self.lock

    def on_test_batch_begin(self, batch, logs=None):
        self.calls.append(self.model.name[:10])


@pytest.mark.parametrize("workers", [pytest.param(1, marks=pytest.mark.soak), 2])
@pytest.mark.parametrize("kind", [Watches, Judges])
def test_all_hooks_are_called_in_their_order_with_the_logs_of_all_workers(both, kind, workers):
    _, mine, keras_own = both(lambda: [kind()], workers=workers)
    assert mine[0].calls == keras_own[0].calls
    assert len(mine[0].calls) == 3 * (4 * 2 + 4 + 1 + (2 if kind is Judges else 0))
    np.testing.assert_allclose(mine[0].numbers, keras_own[0].numbers, 1e-4)


class Backed(keras.callbacks.Callback):
    """Is interrupted in an epoch."""

    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.epoch:
            raise RuntimeError("interrupted")


@pytest.mark.parametrize(
    "how",
    [
        pytest.param({}, id="in the notebook", marks=pytest.mark.soak),
        pytest.param({"save_freq": 2}, id="on the workers"),
    ],
)
def test_an_interrupted_training_begins_where_its_backup_was(spark, rows, any_backend, tmp_path, how):
    ours, theirs = twins(regressor)
    options = {"epochs": 4, "batch_size": 35, "shuffle": False, "verbose": 0, "validation_split": 0.3}

    def trained(fit, model, name):
        backup = keras.callbacks.BackupAndRestore(tmp_path / name, **how)
        with pytest.raises((TrainingError, RuntimeError), match="interrupted"):
            fit(model, *rows, callbacks=[backup, Backed(2)], **options)
        assert (tmp_path / name).exists()
        done = fit(model, *rows, callbacks=[backup, seen := Watches()], **options)
        assert not (tmp_path / name).exists()
        return [one for one in seen.calls if str(one).startswith("epoch")], done.history["loss"]

    calls, losses = trained(lambda *a, **o: nbkeras.fit(*a, **o, spark=spark, workers=2), ours, "ours")
    begun, expected = trained(keras.Model.fit, eagerly(theirs), "theirs")
    assert calls == begun
    assert calls[0] == ("epoch 1" if how else "epoch 2")
    assert losses == pytest.approx(expected, rel=1e-5)


def test_the_best_is_known_by_the_metric_of_the_model(both, tmp_path):
    class Patient(keras.callbacks.EarlyStopping):
        pass

    def monitors():
        saves = keras.callbacks.ModelCheckpoint(tmp_path / "a.keras", monitor="val_mae", save_best_only=True)
        return [saves, Patient("mae", patience=9), keras.callbacks.EarlyStopping("val_mae", patience=9)]

    _, mine, keras_own = both(monitors)
    assert [one.best for one in mine] == pytest.approx([one.best for one in keras_own], rel=1e-5)


SHARED = """
import time
losses, rates = [], []

def writes(batch, logs):
    losses.append(logs["loss"])

def prints(epoch, logs):
    print(sum(losses), len(losses))

def steers(batch, logs):
    model.optimizer.learning_rate = 1 / (1 + len(losses))

def measures(batch, logs):
    rates.append(time.perf_counter())
"""


def test_callbacks_that_share_a_list_run_in_one_place():
    names = define(SHARED)
    called = keras.callbacks.LambdaCallback
    writes, prints = called(on_train_batch_end=names["writes"]), called(on_epoch_end=names["prints"])
    steers, measures = called(on_batch_begin=names["steers"]), called(on_batch_end=names["measures"])
    assert dividing.divided([writes, prints]) == ([], [writes, prints])
    assert dividing.divided([writes, prints, steers]) == ([writes, prints, steers], [])
    # Later it would measure something else.
    assert dividing.divided([writes, measures]) == ([measures], [writes])


def test_a_callback_that_reads_the_one_which_stops_runs_beside_it():
    stopping = keras.callbacks.EarlyStopping()
    names = define("def tells(epoch, logs):\n    print(stopping.best)\n")
    names["stopping"] = stopping
    tells = keras.callbacks.LambdaCallback(on_epoch_end=names["tells"])
    assert dividing.divided([tells, stopping]) == ([tells, stopping], [])


def test_one_execution_of_several_steps_calls_the_hooks_once(both):
    make = lambda: regressor(steps_per_execution=2)  # noqa: E731
    _, mine, keras_own = both(lambda: [OneCycle(0.1, 8)], make, backend="tensorflow")
    np.testing.assert_allclose(mine[0].seen, keras_own[0].seen, 1e-4)
    assert [batch for batch, *_ in mine[0].seen] == [1, 3] * 3


def averaging():
    return regressor(optimizer=keras.optimizers.SGD(0.05, use_ema=True, ema_momentum=0.8))


@pytest.mark.parametrize("on_epoch", [pytest.param(False, marks=pytest.mark.soak), True])
def test_averaged_weights_are_swapped_on_all_workers(both, on_epoch, tmp_path):
    file = str(tmp_path / "{epoch}.weights.h5")

    def swapping():
        saves = keras.callbacks.ModelCheckpoint(file, save_weights_only=True)
        return [keras.callbacks.SwapEMAWeights(swap_on_epoch=on_epoch), saves]

    both(swapping, averaging)


def test_weights_are_saved_between_epochs_where_the_notebook_works(both, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files = lambda: sorted(one.name for one in tmp_path.iterdir())  # noqa: E731
    found = []

    def saving():
        found.append(files())
        return [keras.callbacks.ModelCheckpoint("{epoch}.weights.h5", save_weights_only=True, save_freq=5)]

    _, mine, _ = both(saving, epochs=2)
    assert files() == ["2.weights.h5"]
    assert vars(mine[0])["_batches_seen_since_last_saving"] == 3


NOTEBOOK = """
import keras
losses, count, each = [], 0, {}

def counts(batch, logs):
    global count
    count += 1
    losses.append(logs["loss"])

def made(model):
    mine, last = [], None
    def remember(batch, logs):
        nonlocal last
        last = float(keras.ops.convert_to_numpy(model.optimizer.learning_rate))
        mine.append(last)
    return remember, lambda: (mine, last)
"""


def test_lists_and_variables_that_a_callback_closes_over_come_back(spark, rows, any_backend):
    names, model = define(NOTEBOOK), regressor()
    losses = names["losses"]
    remember, remembered = names["made"](model)
    callback = keras.callbacks.LambdaCallback(on_train_batch_end=names["counts"], on_batch_begin=remember)
    nbkeras.fit(model, *rows, batch_size=35, epochs=2, callbacks=[callback], workers=1, spark=spark)
    assert names["losses"] is losses
    assert len(losses) == names["count"] == 4
    mine, last = remembered()
    assert mine == [pytest.approx(0.02)] * 4
    assert last == mine[-1]


class Table:
    def __init__(self):
        self.rows = []


class Collects(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.table, self.empty = Table(), Table()
        self.array, self.scalar = np.zeros(3), None

    def on_train_batch_end(self, batch, logs=None):
        self.table.rows.append(self.model.name)
        self.array[batch] = self.scalar = np.float32(logs["loss"])


def test_what_a_callback_cannot_return_is_named(spark, rows, any_backend):
    collects = Collects()
    run = nbkeras.fit(regressor(), *rows, batch_size=35, callbacks=[collects], workers=1, spark=spark)
    assert collects.scalar == collects.array[1] != 0
    (note,) = [one for one in run.notes if "Collects" in one]
    assert note.endswith(": table stay there")


def test_metrics_of_many_numbers_give_logs_of_worker_0_and_a_note(spark, rows, any_backend):
    x, y = rows
    many = [keras.metrics.AUC(name=f"auc{number}") for number in range(2)]
    model = keras.Sequential([keras.Input((SHAPE,)), keras.layers.Dense(1, "sigmoid")])
    model.compile("sgd", "binary_crossentropy", metrics=many)
    run = nbkeras.fit(model, x, y > 0, callbacks=[Rates()], workers=2, spark=spark)
    (note,) = [one for one in run.notes if "worker 0's part" in one]
    assert note.startswith("the metrics have more than 1,024 numbers: Rates see")


class Rates(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.rates = []

    def on_train_batch_end(self, batch, logs=None):
        self.rates.append(float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)))


def test_a_training_that_goes_on_gives_the_callback_what_it_had_seen(spark, rows, any_backend, tmp_path):
    class Counts(keras.callbacks.Callback):
        steps, epochs = 0, ()

        def on_train_batch_end(self, batch, logs=None):
            self.steps += 1
            self.epochs = {*self.epochs, self.model.optimizer.iterations.shape}

    options = {"batch_size": 35, "workers": 2, "checkpoint": tmp_path, "spark": spark, "seed": 3}
    nbkeras.fit(regressor(), *rows, epochs=2, callbacks=[Counts()], **options)
    nbkeras.fit(regressor(), *rows, epochs=3, callbacks=[counts := Counts()], resume=True, **options)
    assert (counts.steps, counts.epochs) == (6, {()})


class Asks(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        self.model.evaluate(np.ones((2, SHAPE)), np.ones(2), verbose=0)


def test_a_callback_that_evaluates_on_one_of_several_workers_is_refused(spark, rows, any_backend):
    with pytest.raises(ModelError, match=r"^a callback \(Asks\) calls model.evaluate on one of several"):
        nbkeras.fit(regressor(), *rows, callbacks=[Asks()], workers=2, spark=spark)
    assert nbkeras.fit(regressor(), *rows, callbacks=[Asks()], workers=1, spark=spark).status == "finished"


class Fails(keras.callbacks.Callback):
    def on_train_batch_begin(self, batch, logs=None):
        raise KeyError("no such batch")


def test_a_hook_that_raises_shows_the_line_of_the_user(spark, rows, any_backend):
    with pytest.raises(TrainingError, match="no such batch") as caught:
        nbkeras.fit(regressor(), *rows, callbacks=[Fails()], workers=2, spark=spark)
    assert 'raise KeyError("no such batch")' in caught.value.worker_traceback


class Holds(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.lock = threading.Lock()

    def on_batch_end(self, batch, logs=None):
        self.model.stop_training = False


def test_a_callback_that_cannot_travel_is_named():
    with pytest.raises(ModelError, match=r"^Holds holds something that cannot be sent to a worker"):
        pickling.contents(regressor(), [Holds()])


def test_each_callback_of_keras_runs_where_its_arguments_need_it():
    keras_own = keras.callbacks
    within = [
        keras_own.TensorBoard("logs", update_freq=10),
        keras_own.TensorBoard("logs", write_steps_per_second=True),
        keras_own.BackupAndRestore("backup", save_freq=2),
        keras_own.ModelCheckpoint("a.keras", save_freq=2),
        keras_own.SwapEMAWeights(),
        Rates(),
    ]
    at_its_end = [
        keras_own.TensorBoard("logs"),
        keras_own.TensorBoard("logs", histogram_freq=1, write_images=True),
        keras_own.BackupAndRestore("backup"),
        keras_own.ModelCheckpoint("a.keras"),
        keras_own.CSVLogger("a.csv"),
        keras_own.RemoteMonitor(),
        keras_own.LambdaCallback(on_epoch_end=print, on_batch_end=print, on_test_end=print),
    ]
    assert dividing.divided([*within, *at_its_end]) == (within, at_its_end)


def test_a_subclass_that_adds_a_hook_to_one_of_keras_runs_within_the_epoch():
    class Saves(keras.callbacks.ModelCheckpoint):
        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = True

    assert dividing.divided([one := Saves("a.keras")]) == ([one], [])


def test_changes_are_given_to_the_same_places_of_another_copy():
    callback, other = Collects(), Collects()
    callback.seen = {"a": [1, (2, 3)], 4: {5}}
    before = captured.snapshot(callback)
    callback.seen["a"].append(None)
    callback.array[1] = 2.0
    held = other.array
    captured.give(other, captured.changes(callback, before))
    assert other.seen == {"a": [1, (2, 3), None], 4: {5}}
    assert held[1] == 2.0
    assert other.scalar is None


def test_weights_are_compared_only_where_a_callback_may_have_changed_them():
    class Owns(Rates):
        def __init__(self):
            super().__init__()
            self.table = Table()

    may = [captured.may_write(one) for one in (OneCycle(0.1, 2), Stops("on_batch_end"), Clips(), Owns())]
    assert may == [False, False, True, True]
