"""A training goes on from its checkpoint as if nothing had happened, or says why it cannot."""

from __future__ import annotations

import errno
import io
import json
import re
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from unittest.mock import MagicMock

import keras
import numpy as np
import pytest
import waiting
from processes import trainers
from twins import assert_same_history, assert_same_model

import nbkeras
from nbkeras.errors import Aborted, ClusterError, DataError, ModelError, OptionError
from nbkeras.job.archive import dumps
from nbkeras.job.checkpoint import Checkpoint, Origin
from nbkeras.job.store import Store, absolute
from nbkeras.notebook.record import Runs
from nbkeras.plan import Plan
from nbkeras.schema import Schema

pytestmark = pytest.mark.usefixtures("any_backend")

ROWS = 96
X = np.random.default_rng(0).normal(size=(ROWS, 4)).astype("float32")
Y = X.sum(axis=1)


def net(units=3, loss="mse", optimizer="adam", activation="tanh"):
    keras.utils.set_random_seed(4)
    layers = [keras.layers.Dense(units, activation), keras.layers.Dropout(0.2), keras.layers.Dense(1)]
    model = keras.Sequential([keras.Input((4,)), *layers])
    model.compile(optimizer, loss, metrics=["mae"])
    return model


def checkpoint(epoch=0, variables=b"\x00\x00\x80?"):
    origin = Origin(seed=1, ordered=False, batch_size=32, workers=2, rows=3, checksum=5)
    known = [{"wait": 2, "best": 0.5, "best_weights": [np.ones((2, 2), "float32"), np.array(3.0)]}]
    epochs = [(number, {"loss": 1.0 / (number + 1), "f1": [0.5, 0.25]}) for number in range(epoch + 1)]
    return Checkpoint(origin, epochs, False, [("float32", (1,))], [[0]], variables, known)


# -- the files -----------------------------------------------------------------------------------------


def same(one, other):
    ours, theirs = one.callbacks[0]["best_weights"], other.callbacks[0]["best_weights"]
    return (
        (one.origin, one.epochs, one.layout, one.variables)
        == (other.origin, other.epochs, other.layout, other.variables)
        and all(one.callbacks[0][name] == other.callbacks[0][name] for name in ("wait", "best"))
        and all(np.array_equal(a, b) and a.dtype == b.dtype for a, b in zip(ours, theirs, strict=True))
    )


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_what_was_written_is_read_and_the_two_newest_stay(tmp_path, scheme):
    store = Store(f"{scheme}{tmp_path}/new/folder")
    assert store.latest() is None
    for epoch in range(3):
        store.write(checkpoint(epoch))
    assert same(store.latest(), checkpoint(2))
    assert sorted(one.name for one in (tmp_path / "new/folder").iterdir()) == [
        "epoch-000002.npz",
        "epoch-000003.npz",
    ]


def test_a_file_system_of_fsspec_is_as_good_as_a_path():
    pytest.importorskip("fsspec")
    store = Store("memory://here/there")
    store.write(checkpoint(1))
    assert same(Store("memory://here/there").latest(), checkpoint(1))


@pytest.mark.parametrize("share", [0, 0.5])
def test_a_torn_file_gives_way_to_the_one_before_and_a_part_is_swept_away(tmp_path, share):
    store = Store(str(tmp_path))
    store.write(checkpoint(0))
    store.write(checkpoint(1))
    whole = (tmp_path / "epoch-000002.npz").read_bytes()
    (tmp_path / "epoch-000002.npz").write_bytes(whole[: int(share * len(whole))])
    (tmp_path / "epoch-000003.npz.00aa.part").write_bytes(whole[:10])
    assert same(store.latest(), checkpoint(0))
    store.write(checkpoint(2))
    assert not list(tmp_path.glob("*.part"))


def test_a_flipped_bit_is_noticed(tmp_path):
    store = Store(str(tmp_path))
    store.write(replace(checkpoint(0, variables=bytes(4000)), layout=[("float32", (1000,))]))
    content = bytearray((tmp_path / "epoch-000001.npz").read_bytes())
    content[2000] ^= 1
    (tmp_path / "epoch-000001.npz").write_bytes(content)
    with pytest.raises(OptionError, match=r"no checkpoint in .* can be read"):
        store.latest()


def test_a_pickle_is_never_loaded(tmp_path):
    class Trap:
        def __reduce__(self):
            return (tmp_path / "sprung").touch, ()

    np.savez(tmp_path / "epoch-000001.npz", json=np.array([Trap()], dtype=object))
    with pytest.raises(OptionError, match="can be read"):
        Store(str(tmp_path)).latest()
    assert not (tmp_path / "sprung").exists()


def test_each_training_has_files_of_its_own(tmp_path):
    mine, theirs = (replace(checkpoint(), training=name) for name in ("0a", "0b"))
    store = Store(str(tmp_path))
    store.write(mine)
    # One that has found nothing here and comes later is refused, and leaves nothing.
    with pytest.raises(
        OptionError, match=r"is in use by another training, which has put epoch-000001-0a\.npz"
    ):
        store.write(theirs)
    with pytest.raises(OptionError, match="is in use by another training"):
        store.require_writable("worker 0", "0b")
    assert [one.name for one in tmp_path.iterdir()] == ["epoch-000001-0a.npz"]
    # What somebody puts beside them is left alone, and taken by nobody.
    (tmp_path / "epoch-000009-0b.npz").write_bytes(dumps(replace(checkpoint(8), training="0b")))
    (tmp_path / "epoch-000001-0b.npz.77.part").touch()
    store.require_writable("worker 0", "0a")
    for epoch in (1, 2):
        store.write(replace(checkpoint(epoch), training="0a"))
    assert store.latest("0a").epoch == 2
    assert sorted(one.name for one in tmp_path.iterdir()) == [
        "epoch-000001-0b.npz.77.part",
        "epoch-000002-0a.npz",
        "epoch-000003-0a.npz",
        "epoch-000009-0b.npz",
    ]
    with pytest.raises(OptionError, match=r"holds checkpoints of 2 trainings.*move those of one"):
        store.latest()


def test_two_writers_of_one_training_end_well(tmp_path):
    # A worker that was given up may be at work still; what is swept away under its hands is of no use.
    store, late = Store(str(tmp_path)), Store(str(tmp_path))
    move = late._files.move

    def moved(part, name):
        for epoch in (3, 4):
            store.write(checkpoint(epoch))
        move(part, name)

    late._files = MagicMock(wraps=late._files, move=moved)
    late.write(checkpoint(2))
    assert store.latest().epoch == 4
    assert sorted(one.name for one in tmp_path.iterdir()) == ["epoch-000004.npz", "epoch-000005.npz"]


def test_what_cannot_be_written_leaves_nothing_and_names_the_place(tmp_path):
    store = Store(str(tmp_path))
    store.write(checkpoint(0))

    class Full(io.BytesIO):
        def write(self, data):
            raise OSError(errno.ENOSPC, "No space left on device")

    def opened(path):
        Path(path).touch()
        return Full()

    store._files = MagicMock(wraps=store._files, open_output_stream=opened)
    said = rf"epoch 2 cannot be kept in checkpoint='{tmp_path}' \(OSError: .*No space left"
    with pytest.raises(ClusterError, match=said):
        store.write(checkpoint(1))
    assert [one.name for one in tmp_path.iterdir()] == ["epoch-000001.npz"]


def mutated(random, content):
    """Some bytes of a file, or numbers and names of its JSON, are others, are missing, or come twice."""
    how = random.integers(5)
    start, length = random.integers(len(content)), random.integers(1, 40)
    if how == 0:
        return content[:start]
    if how == 1:
        return content[:start] + bytes([content[start] ^ (1 << random.integers(8))]) + content[start + 1 :]
    if how == 2:
        return content[:start] + random.bytes(length) + content[start + length :]
    with np.load(io.BytesIO(content)) as loaded:
        entries = dict(loaded)
    rest = json.loads(entries["json"].tobytes())
    holder = rest
    while True:
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        key = keys[random.integers(len(keys))]
        if not isinstance(holder[key], (dict, list)) or not holder[key] or random.random() < 0.3:
            break
        holder = holder[key]
    odd = [None, True, -1, 10**18, 1e300, float("nan"), "x", [], {}, [[0]], {"a": 1}, "\ud800", [10**9] * 3]
    if how == 3:
        holder[key] = odd[random.integers(len(odd))]
    else:
        del holder[key]
    entries["json"] = np.frombuffer(json.dumps(rest).encode(), np.uint8)
    buffer = io.BytesIO()
    np.savez(buffer, **entries)
    return buffer.getvalue()


@pytest.mark.parametrize("number", [600, pytest.param(5000, marks=pytest.mark.soak)])
def test_whatever_is_wrong_with_the_newest_file_the_one_before_is_taken(tmp_path, number):
    random = np.random.default_rng(number)
    told = {"settings": {"epochs": 3, "loss": "mse"}, "began": 1.7e9, "saved": 1.8e9, "weights": [0]}
    (tmp_path / "epoch-000001.npz").write_bytes(dumps(checkpoint(0)))
    newest = dumps(replace(checkpoint(1), about={**told, "code": "model.fit(x)"}))
    taken = Counter()
    for _ in range(number):
        (tmp_path / "epoch-000002.npz").write_bytes(mutated(random, newest))
        taken[Store(str(tmp_path)).latest().epoch] += 1
        table = Runs([])
        assert repr(table.read(tmp_path))
        assert repr(table)
        assert table.bundle()
    assert taken[0] > number / 2
    assert taken[1], "what was changed did not matter"


@pytest.mark.parametrize("uri", ["nowhere://bucket/folder", "s4://x"])
def test_a_place_that_no_library_opens_is_named(uri):
    with pytest.raises(OptionError, match=rf"checkpoint='{uri}'.*pip install fsspec"):
        Store(uri)


@pytest.mark.parametrize("uri", ["{}", "file://{}", "memory:/{}"])
def test_a_place_that_can_be_written_to_is_left_as_it_was(tmp_path, uri):
    if uri.startswith("memory"):
        pytest.importorskip("fsspec")
    store = Store(uri.format(tmp_path))
    store.write(checkpoint(0))
    store.require_writable("worker 0")
    assert same(store.latest(), checkpoint(0))
    assert store._listed(re.compile(".*")) == ["epoch-000001.npz"]


def test_an_error_of_a_package_of_fsspec_is_one_sentence(monkeypatch):
    memory = pytest.importorskip("fsspec.implementations.memory")

    def denied(*_, **__):
        raise RuntimeError("403\nno such key")

    monkeypatch.setattr(memory.MemoryFileSystem, "_open", denied)
    with pytest.raises(OptionError, match=r"worker 0 cannot write there \(RuntimeError: 403 no such key\)"):
        Store("memory://denied").require_writable("worker 0")


@pytest.mark.parametrize("uri", ["{}", "file://{}", "memory:/{}"])
def test_a_file_instead_of_a_folder_of_checkpoints_is_refused(tmp_path, uri):
    if uri.startswith("memory"):
        pytest.importorskip("fsspec")
    there = Store(uri.format(tmp_path))
    with there._files.open_output_stream(f"{there._folder}/file") as file:
        file.write(b"0")
    with pytest.raises(OptionError, match=r"/file' is no folder .*Error.*: name a folder") as caught:
        Store(f"{there.uri}/file").latest()
    assert "\n" not in str(caught.value)


def test_a_relative_path_is_of_the_notebook(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert absolute("here") == str(tmp_path / "here")


# -- going on ------------------------------------------------------------------------------------------


#: Of most trainings: what a checkpoint does with several workers, two halves of a whole show.
ALONE = {"workers": 1, "batch_size": 16, "seed": 7, "verbose": 0}


@pytest.fixture(scope="module")
def fit(spark):
    def fit(model, x=X, y=Y, **how):
        return nbkeras.fit(model, x, y, spark=spark, **{**ALONE, **how})

    return fit


def stopping():
    # The loss never falls by so much: to go on with another sign of it would be to train to the end.
    how = {"mode": "min", "min_delta": 500, "patience": 4, "restore_best_weights": True}
    return keras.callbacks.EarlyStopping("loss", **how)


@pytest.mark.parametrize("shuffle", [True, pytest.param(False, marks=pytest.mark.soak)])
def test_two_halves_are_the_whole(fit, tmp_path, shuffle):
    at_once, first, second = net(), net(), net()
    # The best weights are those of the first epoch: they have to come through the checkpoint too.
    options = {"shuffle": shuffle, "validation_split": 0.25, "workers": 2}
    whole = fit(at_once, epochs=6, callbacks=[stopping()], **options)
    fit(first, epochs=3, checkpoint=tmp_path, callbacks=[stopping()], **options)
    run = fit(
        second, epochs=6, checkpoint=tmp_path, resume=True, callbacks=[stopping()], seed=None, **options
    )
    assert run.epoch_numbers == whole.epoch_numbers == list(range(5))
    assert_same_history(run.history, whole.history)
    assert_same_model(second, at_once)
    assert "going on from the checkpoint of epoch 3" in run.notes


def test_numbers_of_numpy_are_numbers_and_without_a_checkpoint_to_go_on_from_it_begins(fit, tmp_path):
    told = []
    hears = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, _: told.append(epoch))
    numbers = {"epochs": np.int64(2), "batch_size": np.int32(16), "validation_freq": np.uint8(1)}
    options = {"heartbeat": np.float32(60), "validation_split": 0.25, "callbacks": [hears]}
    run = fit(net(), **numbers, **options, checkpoint=tmp_path, resume=True)
    assert (run.epochs, told) == (2, [0, 1])
    json.dumps([run.settings, run.epochs])
    assert run.notes[-1] == f"no checkpoint in {tmp_path} yet: from the start"
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("epochs", [1, 2])
def test_nothing_left_to_train_gives_the_weights_and_the_history_and_writes_nothing(fit, trained, epochs):
    folder, first, done = trained
    second, before = net(), folder.stat().st_mtime_ns
    run = fit(second, epochs=epochs, checkpoint=folder, resume=True)
    assert run.history == done.history
    assert repr(run).endswith("finished, 2 of 2 epochs>")
    assert_same_model(second, first)
    assert "nothing is left to train" in run.notes[-1]
    assert folder.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"resume": False}, OptionError, r"holds a training of 2 epochs: go on from it with --resume"),
        ({"seed": 8}, OptionError, r"seed=8 now, seed=7 in the checkpoint"),
        ({"batch_size": 8}, OptionError, r"batch_size=8 now, batch_size=16 in the checkpoint"),
        ({"shuffle": False}, OptionError, r"shuffle=False now, shuffle=True in the checkpoint"),
        (
            {"model": lambda: net(5)},
            ModelError,
            r"another model: layer 2, Dense: units=5 here, units=3 there; build and compile the same",
        ),
        (
            {"model": lambda: net(activation="relu")},
            ModelError,
            r"another model: layer 2, Dense: activation='relu' here, activation='tanh' there",
        ),
        (
            {"class_weight": {0: 2.0}},
            OptionError,
            r"class_weight=.* now, class_weight=None in the checkpoint",
        ),
        (
            {"validation_split": 0.5},
            OptionError,
            r"validation_split=0.5 now, validation_split=None in the checkpoint",
        ),
        (
            {"model": lambda: net(loss="mae")},
            OptionError,
            r"loss='mae' now, loss='mse' in the checkpoint in .*: give the same to go on",
        ),
        (
            {"model": lambda: net(optimizer="nadam")},
            OptionError,
            r"optimizer='Nadam' now, optimizer='Adam' in the checkpoint in .*: give the same to go on",
        ),
        ({"callbacks": [stopping()]}, OptionError, r"made with 0 callbacks .*now there are 1"),
        ({"x": X[:90], "y": Y[:90]}, DataError, r"the data has 90 rows, not 96"),
        ({"x": X * 2}, DataError, r"the data has other values in its rows"),
        ({"checkpoint": None}, OptionError, r"add --checkpoint URI"),
        ({"checkpoint": ""}, OptionError, r"checkpoint='' names no place: give a folder"),
        ({"checkpoint": " ", "resume": False}, OptionError, r"checkpoint=' ' names no place"),
    ],
)
def test_what_does_not_fit_the_checkpoint_is_reported_in_one_line(fit, kept, options, error, said):
    options = {"checkpoint": kept, "resume": True, "epochs": 3, **options}
    model = options.pop("model", net)()
    before = model.get_weights()
    with pytest.raises(error, match=said) as caught:
        fit(model, **options)
    assert "\n" not in str(caught.value)
    assert all(map(np.array_equal, model.get_weights(), before))


@pytest.mark.parametrize("behind", ["folder", pytest.param("folder/inside", marks=pytest.mark.soak)])
def test_a_folder_that_cannot_be_written_to_is_reported_before_the_first_step(fit, tmp_path, behind):
    (tmp_path / "file").touch()
    place = tmp_path / "file" / behind

    def seen(epoch, logs):
        raise AssertionError("an epoch was trained")

    with pytest.raises(OptionError) as caught:
        fit(net(), checkpoint=place, callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=seen)])
    said = rf"checkpoint='{place}': worker 0 on \S+ cannot write there \(NotADirectoryError: .*\): name a .*"
    assert re.fullmatch(said, str(caught.value))


def test_where_nothing_is_known_of_layers_the_shapes_of_variables_tell_another_model():
    told = replace(checkpoint(), optimizers=[None], layout=[("float32", (4, 3))])
    with pytest.raises(ModelError, match=r"variable 0 .* float32 \(4, 3\) there and float32 \(4, 5\) here"):
        told.require_same_model(net(5), 1)


def plan(loss):
    return Plan(Schema(), checkpoint="/here", about={"settings": {"loss": loss}})


@pytest.mark.parametrize("name", ["mse", "mean_squared_error", "MeanSquaredError"])
def test_a_loss_has_several_names(name):
    told = replace(checkpoint(), about={"settings": {"loss": {"a": "mse", "b": "own"}}})
    told.require_same_compiled(plan({"a": name, "b": "own"}))
    with pytest.raises(OptionError, match=r"loss=.* now, loss=.* in the checkpoint in /here"):
        told.require_same_compiled(plan({"a": name, "b": "Huber(delta=2.0)"}))


@pytest.mark.parametrize("about", [{}, {"settings": {}}])
def test_a_checkpoint_of_an_older_version_has_no_loss_and_no_optimizer(about):
    replace(checkpoint(), about=about).require_same_compiled(plan("mae"))


def rated(rate):
    model = net()
    model.compile(keras.optimizers.Adam(rate), "mse")
    return model


def test_another_learning_rate_is_noted_each_time_that_it_is_not_taken_and_another_argument_is_taken(
    fit, tmp_path
):
    fit(rated(0.001), epochs=1, checkpoint=tmp_path)
    note = "learning_rate=0.5, 0.001 before: the checkpoint's holds; run.set_learning_rate(0.5) sets another"
    for epochs in (2, 3):
        run = fit(model := rated(0.5), epochs=epochs, checkpoint=tmp_path, resume=True)
        assert run.notes[-1] == f"{note} while it trains"
        assert run.settings["learning_rate"] == 0.001
        assert float(model.optimizer.learning_rate) == pytest.approx(0.001)
    model = net()
    model.compile(keras.optimizers.Adam(0.001, beta_1=0.5), "mse")
    run = fit(model, epochs=4, checkpoint=tmp_path, resume=True)
    assert run.notes[-1] == "beta_1=0.5, Keras' default before: the new one holds"


@pytest.mark.soak
def test_another_schedule_is_taken_and_noted(fit, tmp_path):
    decay = keras.optimizers.schedules.ExponentialDecay
    fit(rated(decay(0.1, 10, 0.5)), epochs=1, checkpoint=tmp_path)
    run = fit(rated(decay(0.1, 10, 0.9)), epochs=2, checkpoint=tmp_path, resume=True)
    assert run.notes[-1].endswith("before: the new one holds")
    assert "decay_rate=0.9" in run.settings["learning_rate"]


@pytest.mark.soak
def test_a_learning_rate_that_a_callback_has_set_is_no_other_one(fit, tmp_path):
    falls = keras.callbacks.LearningRateScheduler(lambda epoch: 0.01 / (epoch + 1))
    fit(same := rated(0.001), epochs=2, checkpoint=tmp_path, callbacks=[falls])
    same.optimizer.learning_rate = 0.25
    for epochs, model in ((3, same), (4, rated(0.001))):
        run = fit(model, epochs=epochs, checkpoint=tmp_path, resume=True, callbacks=[falls])
        assert run.notes[-1] == f"going on from the checkpoint of epoch {epochs - 1}"
        assert run.settings["learning_rate"] == 0.001


@pytest.fixture(scope="module")
def trained(fit, tmp_path_factory):
    """The folder with the checkpoints of two epochs, the model and its run."""
    folder, model = tmp_path_factory.mktemp("kept"), net()
    return folder, model, fit(model, epochs=2, checkpoint=folder)


@pytest.fixture
def kept(trained):
    """The checkpoints of two epochs."""
    return trained[0]


@pytest.mark.parametrize("heartbeat", [0, 1, "soon", True])
def test_a_heartbeat_is_a_number_of_seconds(fit, heartbeat):
    with pytest.raises(OptionError, match=r"heartbeat=.*use a number of seconds from 5"):
        fit(net(), heartbeat=heartbeat)


_KERNEL = """
import os, sys
sys.path.insert(0, {tests!r})
import nbkeras, test_checkpoint as t
spark = nbkeras.local_spark()
def killed(epoch, logs):
    if epoch == 3:
        os.kill(os.getpid(), {signal})
t.nbkeras.fit(t.net(), t.X, t.Y, epochs=6, checkpoint={folder!r},
    callbacks=[t.keras.callbacks.LambdaCallback(on_epoch_end=killed)], spark=spark, **t.ALONE, **{how})
"""


def assert_goes_on_as_if_nothing_had_been(fit, folder, **how):
    at_once, second = net(), net()
    whole = fit(at_once, epochs=6, **how)
    run = fit(second, epochs=6, checkpoint=folder, resume=True, **how)
    assert "going on from the checkpoint of epoch 3" in run.notes
    assert_same_history(run.history, whole.history)
    assert_same_model(second, at_once)


@pytest.mark.soak  # test_interrupts.py has a notebook that is killed
def test_a_new_training_goes_on_where_one_that_broke_off_was(fit, tmp_path):
    def breaks(epoch, logs):
        if epoch == 3:
            nbkeras.api.runs[-1].abort()
            waiting.wait_for(lambda: not trainers(), "the end of the worker, which waits for this callback")

    breaking = keras.callbacks.LambdaCallback(on_epoch_end=breaks)
    with pytest.raises(Aborted):
        fit(net(), epochs=6, checkpoint=tmp_path, callbacks=[breaking])
    assert_goes_on_as_if_nothing_had_been(fit, tmp_path)


@pytest.mark.soak  # test_interrupts.py has it with a kernel that it kills anyway
def test_a_new_kernel_goes_on_where_a_killed_one_was(fit, tmp_path):
    how = {"backend": "torch"}  # layers that draw random numbers draw others on each
    code = _KERNEL.format(
        tests=str(Path(__file__).parent), signal=int(signal.SIGKILL), folder=str(tmp_path), how=how
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()[-2000:]
    assert_goes_on_as_if_nothing_had_been(fit, tmp_path, **how)
