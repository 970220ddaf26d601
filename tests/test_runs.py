"""Runs beside each other: what each was trained with, how well it did, and its own weights."""

from __future__ import annotations

import gc
import json
import math
import os
import re
import subprocess
import sys
from collections import deque
from pathlib import Path
from types import SimpleNamespace

import keras
import kernel
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config
from waiting import LIMIT

import nbkeras
from nbkeras.driver import checks
from nbkeras.driver.training import weight_files
from nbkeras.errors import ModelError, OptionError
from nbkeras.job.checkpoint import Checkpoint, Origin
from nbkeras.job.store import Store
from nbkeras.model import settings
from nbkeras.notebook import comparison
from nbkeras.notebook.magic import magics
from nbkeras.notebook.record import Runs
from nbkeras.notebook.runs import Panel
from nbkeras.notebook.words import RUNS
from nbkeras.plan import Plan
from nbkeras.run import calls, listeners, registry
from nbkeras.run.listeners import hearing
from nbkeras.run.run import Run
from nbkeras.schema import Schema

pytestmark = pytest.mark.usefixtures("any_backend")

ROOT = Path(__file__).parents[1]
X = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
Y = X.sum(axis=1)
HOSTILE = "<img src=x onerror=alert(1)>\n%html \x1b[2J"


def net(units=3, **how):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(units, "tanh"), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(**how), "mse", metrics=["mae"])
    return model


@pytest.fixture(autouse=True)
def _displays_of_one_test(monkeypatch):
    monkeypatch.setattr(listeners, "displays", [])
    monkeypatch.setattr(registry, "kept", [])


@pytest.fixture(scope="module")
def fit(spark):
    def fit(model, **how):
        options = {"workers": 1, "batch_size": 16, "verbose": 0, "spark": spark, "seed": 1}
        return nbkeras.fit(model, X, Y, **{**options, **how})

    return fit


@pytest.fixture(scope="module")
def trained(fit):
    """A run that nobody trains on, and its model."""
    model = net()
    return fit(model, epochs=1, name="no cell"), model


def ended(name="run", epochs=3, status="finished", curves=None, model=None, **chosen):
    """A run that has ended, without any training."""
    run = Run(name, model, epochs, workers=1)
    run.settings = dict(chosen)
    columns = {"loss": [1.0 / (epoch + 1) for epoch in range(epochs)]} if curves is None else curves
    for epoch in range(epochs):
        run.record_epoch(epoch, {key: values[epoch] for key, values in columns.items()})
    run.end(status)
    return run


def same_weights(model, weights):
    return all(np.array_equal(one, other) for one, other in zip(model.get_weights(), weights, strict=True))


# -- the weights of a run ------------------------------------------------------------------------------


def test_each_run_keeps_the_weights_that_it_has_ended_with_when_the_same_model_is_trained_again(fit):
    model = net()
    first = fit(model, epochs=1)
    after_first = model.get_weights()
    second = fit(model, epochs=1)
    after_second = model.get_weights()
    assert not same_weights(model, after_first)

    first.load_weights()
    assert same_weights(model, after_first)
    second.load_weights()
    assert same_weights(model, after_second)


def test_weights_go_into_another_model_of_the_same_shapes(trained):
    run, model = trained
    other = net()
    assert not same_weights(other, model.get_weights())
    run.load_weights(other)
    assert same_weights(other, model.get_weights())


def test_weights_of_other_shapes_are_refused_and_nothing_is_changed(trained):
    run, other = trained[0], net(5)
    before = other.get_weights()
    message = r"weight 0 \(.*kernel\) is \(4, 3\) in the run and \(4, 5\) in the model; give a model of the"
    with pytest.raises(ModelError, match=message):
        run.load_weights(other)
    assert same_weights(other, before)
    with pytest.raises(ModelError, match="not built yet"):
        run.load_weights(keras.Sequential([keras.layers.Dense(3)]))


def test_a_failed_run_says_that_it_has_no_weights():
    run = ended("digits", status="failed")
    with pytest.raises(ModelError, match="run 'digits' has failed: it has no weights; choose another"):
        run.load_weights()


def test_a_run_at_work_says_how_to_wait_for_it():
    with pytest.raises(ModelError, match=r"still at work: wait for its end with run\.wait\(\)"):
        Run("digits", net(), 1, workers=1).load_weights()


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "bfloat16", "float64"])
def test_weights_of_any_type_come_back_as_they_were(policy):
    keras.config.set_dtype_policy(policy)
    try:
        layers = [keras.layers.Dropout(0.5), keras.layers.BatchNormalization(), keras.layers.Dense(2)]
        model = keras.Sequential([keras.Input((4,)), *layers])
    finally:
        keras.config.set_dtype_policy("float32")
    before = [np.array(one, copy=True) for one in model.get_weights()]
    run = Run("typed", model, 1, workers=1)
    weight_files.keep(run, model)
    run.end("finished")
    for one in model.weights:
        one.assign(one + 1)
    run.load_weights()
    assert same_weights(model, before)


def test_weights_that_leave_no_room_are_a_note_and_no_error(fit, monkeypatch):
    monkeypatch.setattr(weight_files.shutil, "disk_usage", lambda _: SimpleNamespace(free=10))
    run = fit(net(), epochs=1)
    assert run.status == "finished"
    (note,) = [one for one in run.notes if "not kept" in one]
    assert re.search(r"they take 0 MB, and .* has 0 MB free", note)
    with pytest.raises(ModelError, match=r"has no weights: run\.notes says why"):
        run.load_weights()


def test_a_disk_that_fills_up_leaves_earlier_runs_whole(monkeypatch):
    model, first, second = net(), Run("a", None, 1, workers=1), Run("b", None, 1, workers=1)
    weight_files.keep(first, model)
    before, real, written = model.get_weights(), weight_files.os.pwrite, []

    def pwrite(descriptor, data, offset):
        written.append(offset)
        if len(written) > 2:
            raise OSError(28, "No space left on device")
        return real(descriptor, data, offset)

    monkeypatch.setattr(weight_files.os, "pwrite", pwrite)
    weight_files.keep(second, model)
    monkeypatch.undo()
    assert second.weights is None
    assert "No space left on device" in second.notes[0]
    third = Run("c", None, 1, workers=1)
    weight_files.keep(third, model)
    first.weights.load(model)
    assert same_weights(model, before)
    assert third.weights.layout == first.weights.layout


def test_the_newest_runs_keep_their_weights_and_an_older_one_says_why_it_has_none(monkeypatch):
    monkeypatch.setattr(weight_files, "MOST", 2)
    monkeypatch.setattr(weight_files, "_newest", deque())
    model = net()
    runs = [Run(f"run {number}", model, 1, workers=1) for number in range(4)]
    files = []
    for run in runs:
        weight_files.keep(run, model)
        files.append(run.weights.file)
        run.end("finished")
    assert [run.weights is None for run in runs] == [True, True, False, False]
    assert [file.closed for file in files] == [True, True, False, False]
    assert runs[0].notes == ["the weights of this run are kept no longer: 2 newer runs keep theirs"]
    with pytest.raises(ModelError, match=r"run 'run 0' has no weights: run\.notes says why"):
        runs[0].load_weights()
    runs[2].load_weights()


def test_weights_whose_file_is_gone_say_so():
    model = net()
    run = ended("a", model=model)
    weight_files.keep(run, model)
    os.ftruncate(run.weights.file.fileno(), 0)
    with pytest.raises(ModelError, match="the kept weights of this run are gone: train it again"):
        run.load_weights()


def test_a_wait_that_has_a_limit_ends_at_it():
    run = Run("a", None, 1, workers=1)
    with pytest.raises(TimeoutError, match=r"^run 'a' is still preparing after 0\.01 s$"):
        run.wait(0.01)


def test_a_model_in_training_is_waited_for_with_a_word(monkeypatch, capsys):
    run = Run("a", net(), 1, workers=1)
    monkeypatch.setattr(registry, "runs", [run])
    monkeypatch.setattr(run, "wait", lambda tick: (tick(), run.end("finished")))
    checks.wait_for_training(run.model)
    assert capsys.readouterr().out == "Waiting for a, which trains this model.\n"


def test_an_older_run_lets_go_of_a_model_that_nobody_else_holds(monkeypatch):
    monkeypatch.setattr(weight_files, "MOST", 1)
    monkeypatch.setattr(weight_files, "_newest", deque())
    mine = net()
    runs = [Run(name, model, 1, workers=1) for name, model in (("a", mine), ("b", net()), ("c", net()))]
    for run in runs:
        weight_files.keep(run, run.model)
    gc.collect()  # models hold themselves
    assert runs[0].model is mine
    assert runs[1].model is None
    assert runs[2].model is not None


def test_runs_are_forgotten_with_their_weights():
    first, second, third = (ended(name) for name in "abc")
    busy = Run("busy", None, 3, workers=1)
    weight_files.keep(first, net())
    file, listed = first.weights.file, [first, second, third, busy]
    runs = Runs(listed)
    runs.forget("a", second)
    assert listed == [third, busy]
    assert file.closed
    with pytest.raises(OptionError, match=r"there is no run named 'a'"):
        runs.forget("a")
    with pytest.raises(OptionError, match=r"^busy is at work: stop it with run\.stop\(\)"):
        runs.forget("c", "busy")
    assert listed == [third, busy]
    runs.forget()
    assert listed == [busy]


def test_a_run_that_nobody_has_any_more_closes_its_file():
    run = Run("a", None, 1, workers=1)
    weight_files.keep(run, net())
    file = run.weights.file
    del run
    gc.collect()
    assert file.closed


def bytes_of(run):
    return sum(math.prod(shape) * 4 for _, shape in run.weights.layout)


def test_encrypted_weights_never_touch_a_disk(monkeypatch, tmp_path):
    model, run = net(), Run("secret", None, 1, workers=1)
    weight_files.keep(run, model, encrypted=True)
    target = Path(f"/proc/self/fd/{run.weights.file.fileno()}").readlink()
    assert str(target).startswith("/memfd:")


def test_kept_weights_have_no_name_on_the_disk_that_could_stay():
    model, run = net(), Run("kept", None, 1, workers=1)
    weight_files.keep(run, model)
    found = os.fstat(run.weights.file.fileno())
    assert (found.st_nlink, found.st_size) == (0, bytes_of(run))


# -- what a run was trained with -----------------------------------------------------------------------


def test_a_run_knows_what_was_chosen_for_it(spark):
    rows = [(float(i), float(-i), float(2 * i)) for i in range(32)]
    df = spark.createDataFrame(rows, "left double, right double, target double")
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.01, clipnorm=1.0), keras.losses.Huber(delta=2.0), metrics=["mae"])
    stop = keras.callbacks.EarlyStopping("loss", patience=5)
    how = {"epochs": 2, "batch_size": 8, "workers": 2, "backend": "torch", "verbose": 0, "spark": spark}
    run = nbkeras.fit(model, df, y="target", callbacks=[stop], **how)
    expected = {
        "workers": 2,
        "epochs": 2,
        "batch_size": 8,
        "optimizer": "SGD",
        "learning_rate": 0.01,
        "clipnorm": 1.0,
        "loss": "Huber(delta=2.0)",
        "metrics": ["mae"],
        "precision": "float32",
        "backend": "torch",
        "sync_every": 1,
        "label": ["target"],
        "features": ["left", "right"],
        "callbacks": ["EarlyStopping"],
        "weights": 3,
        "rows": 32,
    }
    assert run.settings == expected
    assert json.loads(json.dumps(run.settings)) == expected


def test_a_schedule_is_named_with_its_numbers():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.1, 100)), "mse")
    rate = settings.of(model, Plan(Schema()))["learning_rate"]
    assert rate == "CosineDecay(initial_learning_rate=0.1, decay_steps=100)"


def test_a_loss_that_cannot_say_what_it_is_made_of_is_named():
    class Odd(keras.losses.Loss):
        def get_config(self):
            raise RuntimeError("no")

        def call(self, y_true, y_pred):
            return y_pred

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", Odd())
    assert settings.of(model, Plan(Schema()))["loss"] == "Odd"


@given(st.lists(st.dictionaries(st.sampled_from("abcd"), st.integers(0, 2)), min_size=1, max_size=4))
def test_settings_that_differ_are_those_that_do(chosen):
    found = comparison.differing(chosen)
    for name in "abcd":
        values = [one.get(name) for one in chosen]
        assert (name in found) == (len(set(values)) > 1)
        assert found.get(name, values) == values


# -- the code of a run ---------------------------------------------------------------------------------


@pytest.fixture
def shell(spark):
    config = Config()
    config.HistoryManager.hist_file = ":memory:"
    config.InteractiveShell.colors = "nocolor"
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance(config=config)
    magics.register(shell)
    shell.user_ns |= {"net": net, "x": X, "y": Y, "nbkeras": nbkeras, "spark": spark, "keras": keras}
    yield shell
    magics.unregister(shell)
    InteractiveShell.clear_instance()


def test_a_run_of_the_magic_has_the_body_of_its_cell_as_it_was_typed(shell, capsys):
    body = "model = net()  # ours\nmodel.fit(x, y, batch_size=32, verbose=0)\n"
    assert shell.run_cell(f"%%keras_spark --workers 1 --name typed\n{body}", store_history=True).success
    assert nbkeras.runs["typed"].code == body


@pytest.mark.parametrize("remembered", [True, False])
def test_a_run_of_a_plain_cell_has_that_cell(shell, remembered):
    shell.run_cell("1 + 1", store_history=True)
    cell = f"nbkeras.fit(net(), x, y, workers=1, name='plain', verbose=0)  # as typed, {remembered}"
    assert shell.run_cell(cell, store_history=remembered).success
    assert nbkeras.runs["plain"].code == cell


def test_a_run_without_a_cell_has_no_code(trained):
    assert trained[0].code is None


# -- the record ----------------------------------------------------------------------------------------


def test_the_record_is_a_sequence_of_all_runs_the_newest_last(fit):
    before = len(nbkeras.runs)
    one, other = fit(net(), name="same"), fit(net(), name="same")
    assert len(nbkeras.runs) == before + 2
    assert list(nbkeras.runs)[-2:] == [one, other]
    assert nbkeras.runs["same"] is other
    assert nbkeras.runs[-2:] == [one, other]
    assert "same" in nbkeras.runs
    assert one in nbkeras.runs


def test_an_unknown_name_is_answered_with_what_was_probably_meant():
    runs = Runs([ended("digits"), ended("other")])
    with pytest.raises(OptionError, match="no run named 'digit'; did you mean digits"):
        runs["digit"]
    with pytest.raises(OptionError, match="No run yet: train a model"):
        Runs([])["digit"]


def test_the_table_tells_of_each_run_in_one_line():
    run = ended("digits", 3, curves={"loss": [3.0, 2.0, 1.0], "val_loss": [2.5, 0.25, 2.0]})
    lines = repr(Runs([run, ended("other", 1, "failed", {"loss": [math.nan]})])).splitlines()
    assert re.match(r"run +status +best +at epoch +epochs +seconds", lines[0])
    assert re.match(r"digits +finished +val_loss 0.25 +2 +3 of 3 ", lines[1])
    assert re.match(r"other +failed +1 of 1 +0\.0 ", lines[2])
    assert len(lines) == 3


def test_hostile_names_break_no_table():
    run = ended(HOSTILE, 2, curves={"loss": [1.0, 0.5], "<script>": [1.0, 2.0]}, optimizer="<b>", loss=1)
    other = ended("</table>", 2, optimizer="x")
    for shown in (Runs([run, other]).bundle(), Runs([run, other]).compare(0, 1).bundle()):
        assert "<img src=x" not in shown["text/html"]
        assert "<script>" not in shown["text/html"]
        assert "</table>\n" not in shown["text/html"]
        assert "\x1b" not in shown["text/plain"] + shown["text/html"]
        assert not any(line.startswith("%") for line in shown["text/plain"].splitlines())
    assert len(repr(Runs([run, other])).splitlines()) == 3


def test_of_many_runs_the_newest_are_shown_and_the_rest_are_counted():
    runs = Runs([ended(f"run {number}", 1) for number in range(230)])
    lines = repr(runs).splitlines()
    assert len(lines) == 202
    assert lines[-1] == "30 older runs are in nbkeras.runs"
    assert lines[1].startswith("run 30 ")


# -- the comparison ------------------------------------------------------------------------------------


def test_runs_beside_each_other_show_what_differs_and_the_best_epoch_of_each(fit):
    fit(net(learning_rate=0.1), name="fast", epochs=3, validation_split=0.25)
    fit(net(learning_rate=0.001), name="slow", epochs=2, validation_split=0.25)
    found = nbkeras.runs.compare("fast", "slow")
    assert found.names == ("fast", "slow")
    assert found.settings == {"epochs": [3, 2], "learning_rate": [0.1, 0.001]}
    history = nbkeras.runs["fast"].history["val_loss"]
    assert found.best["val_loss"][0] == (min(history), 1 + int(np.argmin(history)))
    assert [title for title, _ in found.charts()] == ["loss", "mae"]
    shown = found.bundle()
    assert shown["image/png"].startswith("iVBOR")
    assert "learning_rate" in shown["text/html"]
    assert re.search(r"learning_rate +0\.1 +0\.001", shown["text/plain"])


def test_runs_that_say_the_same_say_so():
    assert "All settings are the same." in repr(Runs([ended("a"), ended("b")]).compare("a", "b"))


def test_runs_without_a_point_are_compared_without_a_picture():
    empty = Run("empty", None, 2, workers=1)
    nan = ended("nan", 2, curves={"loss": [math.nan, math.inf]})
    shown = Runs([empty]).compare(0).bundle()
    assert "image/png" not in shown
    assert RUNS["no_curves"] in shown["text/html"]
    assert "image/png" in Runs([empty, nan]).compare(0, 1).bundle()


def test_too_many_runs_and_none_are_refused():
    runs = Runs([ended(f"{number}") for number in range(7)])
    with pytest.raises(OptionError, match="compare takes 1 to 6 runs, not 7"):
        runs.compare(*map(str, range(7)))
    with pytest.raises(OptionError, match="99 is no run: give a name, a run, or a place from 0 to 6"):
        runs.compare(99)


def test_a_learning_rate_that_was_set_by_hand_is_a_setting():
    run = Run("digits", None, epochs=2, workers=1)
    run.record_learning_rate(1, 0.001, 0.0001, epoch=2, step=4)
    assert run.settings["steered"] == ["learning rate 0.001 -> 0.0001 from epoch 3, step 5 on"]


# -- checkpoints ---------------------------------------------------------------------------------------

_OTHER_NOTEBOOK = """
import sys
import keras, numpy as np, nbkeras
x = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")
layers = [keras.layers.Dense(3, "tanh"), keras.layers.Dropout(0.5), keras.layers.Dense(1)]
model = keras.Sequential([keras.Input((4,)), *layers])
model.compile(keras.optimizers.Adam(0.02), "mse", metrics=["mae"])
from nbkeras.notebook import hosts
with hosts.cell("model.fit(x)  # there"):
    how = {"epochs": 3, "batch_size": 8, "workers": 1, "verbose": 0}
    run = nbkeras.fit(model, x, x.sum(axis=1), checkpoint=sys.argv[1], **how)
np.savez(sys.argv[2], *model.get_weights())
report = nbkeras.report(model, x, x.sum(axis=1))
assert run.reports == (report,) and report.title == run.name and len(report.sample) == 32
found = {"history": run.history, "settings": run.settings, "figures": report.figures}
"""


def _here(request, *arguments):
    names = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["notebook", *map(str, arguments)])
        request.getfixturevalue("spark")
        exec(_OTHER_NOTEBOOK, names)  # noqa: S102  # it is ours
    return json.loads(json.dumps(names["found"]))


def _on_jax(_, *arguments):
    how = {"timeout": LIMIT, "environment": {"KERAS_BACKEND": "jax"}}
    return kernel.run("import json\n" + _OTHER_NOTEBOOK, *arguments, **how)[0]


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(_here, id="of this notebook"),
        pytest.param(_on_jax, id="of another one on JAX", marks=pytest.mark.soak),
    ],
)
def elsewhere(request, tmp_path_factory):
    """A checkpoint that a notebook has written, its history, settings and weights."""
    folder = tmp_path_factory.mktemp("elsewhere")
    made = request.param(request, folder / "digits", folder / "weights.npz")
    weights = np.load(folder / "weights.npz")
    return folder / "digits", made, [weights[name] for name in weights.files]


def test_a_checkpoint_is_a_run_with_its_history_settings_code_and_weights(elsewhere):
    folder, made, weights = elsewhere
    runs = Runs([])
    run = runs.read(folder)
    assert (run.name, run.status) == ("digits", "finished")
    assert run.history == made["history"]
    assert run.settings == made["settings"]
    assert run.code == "model.fit(x)  # there"
    assert run.snapshot().elapsed > 0
    (report,) = run.reports
    assert report.figures == made["figures"]
    assert report.sample is None  # rows of the data are not in the folder
    with pytest.raises(ModelError, match=r"was read from a checkpoint and has no model here"):
        run.load_weights()
    # The same without Dropout, so without its seed: the weights are all that counts.
    model = net()
    run.load_weights(model)
    assert same_weights(model, weights)


def test_a_checkpoint_is_read_without_spark(elsewhere):
    script = """
import json, sys, nbkeras
run = nbkeras.runs.read(sys.argv[1])
found = [run.name, len(run.history["loss"]), sorted({one.split(".")[0] for one in sys.modules} & {"pyspark"})]
"""
    found, _ = kernel.run(script, elsewhere[0], timeout=LIMIT)
    assert found == ["digits", 3, []]


def test_a_checkpoint_that_is_read_again_takes_its_own_place(elsewhere):
    runs = Runs([])
    first = runs.read(elsewhere[0])
    runs._runs.append(ended("later"))
    again = runs.read(str(elsewhere[0]) + "/")
    assert [one.name for one in runs] == ["digits", "later"]
    assert runs[0] is again is not first
    assert len(again.reports) == 1
    assert not any(one is first.reports[0] for one in runs.reports)


def test_a_checkpoint_of_an_older_version_has_its_history_and_weights(tmp_path):
    model = net()
    from nbkeras.model import state

    origin = Origin(seed=1, ordered=False, batch_size=32, workers=2, rows=3, checksum=5)
    these = state.variables(model)
    one = Checkpoint(
        origin,
        [(0, {"loss": 0.5, "f1": [0.5, 0.25]})],
        False,
        state.layout(these),
        [None],
        state.pack(these),
        [],
    )
    store = Store(str(tmp_path / "old"))
    store.write(one)
    (file,) = (tmp_path / "old").iterdir()
    entries = dict(np.load(file))
    rest = json.loads(entries["json"].tobytes())
    del rest["about"]
    entries["json"] = np.frombuffer(json.dumps(rest).encode(), np.uint8)
    np.savez(file, **entries)

    run = Runs([]).read(tmp_path / "old")
    assert run.settings == {"workers": 2, "batch_size": 32, "rows": 3}
    assert run.code is None
    other = net()
    run.load_weights(other)
    assert same_weights(other, model.get_weights())
    assert "f1[1]" in run.snapshot().curves


def test_a_folder_without_a_checkpoint_is_named(tmp_path):
    with pytest.raises(OptionError, match=r"there is no checkpoint in .*nowhere: give the folder"):
        Runs([]).read(tmp_path / "nowhere")


def test_a_training_that_goes_on_takes_the_checkpoint_of_before_away_but_not_from_a_run(fit, tmp_path):
    model = net()
    fit(model, epochs=1, checkpoint=tmp_path / "kept")
    weights = model.get_weights()
    run = Runs([]).read(tmp_path / "kept")
    assert run.status == "finished"
    fit(model, epochs=4, checkpoint=tmp_path / "kept", resume=True, seed=None)
    run.load_weights(model)
    assert same_weights(model, weights)


# -- the panel, and places without one -----------------------------------------------------------------


def ask(panel, action, *places, number=None):
    numbers = [panel.state["runs"][place]["number"] for place in places]
    number = panel.state["answered"].get("page", 0) + 1 if number is None else number
    panel._receive(panel, {"action": action, "runs": numbers, "page": "page", "number": number}, [])


def test_the_panel_compares_what_is_chosen():
    panel = Panel(Runs([ended("a", lr=1), ended("b", lr=2), ended("c", lr=2)]))
    assert panel.state["compared"] is None
    ask(panel, "choose", 0, 2, number=7)
    assert panel.state["answered"] == {"page": 7}
    assert panel.state["compared"]["names"] == ["a", "c"]
    assert panel.state["compared"]["settings"] == [["lr", "1", "2"]]
    counts = [curve["points"] for curve in panel.state["compared"]["curves"]]
    assert len(panel.points) == 8 * sum(counts)
    assert [curve["name"] for curve in panel.state["compared"]["curves"] if curve.get("best")]


def test_the_panel_opens_the_code_and_loads_the_weights(fit):
    model = net()
    run = fit(model, epochs=1)
    run.code = "the code"
    weights = model.get_weights()
    fit(model, epochs=1)
    panel = Panel(Runs([run, ended("broken", status="failed")]))
    ask(panel, "code", 0)
    assert panel.state["code"] == {"name": run.name, "code": "the code"}
    ask(panel, "load", 0)
    assert (panel.state["said"]["en"], panel.state["wrong"]) == (
        f"The weights of {run.name} are in its model now.",
        False,
    )
    assert same_weights(model, weights)
    ask(panel, "load", 1)
    assert panel.state["wrong"]
    assert "has failed: it has no weights" in panel.state["said"]["en"]


def test_a_message_that_comes_twice_or_late_changes_nothing():
    panel = Panel(Runs([ended("a"), ended("b")]))
    ask(panel, "choose", 0, 1, number=2)
    ask(panel, "choose", 0, number=1)
    assert panel.state["compared"]["names"] == ["a", "b"]
    assert panel.state["answered"] == {"page": 2}
    ask(panel, "choose", number=3)
    ask(panel, "choose", 0, number=2)
    assert panel.state["compared"] is None


def test_weights_are_not_loaded_into_a_model_that_is_at_work():
    model = net()
    run = ended("done", model=model)
    weight_files.keep(run, model)
    panel = Panel(Runs([run, Run("busy", model, 3, workers=1)]))
    ask(panel, "load", 0)
    assert panel.state["said"]["en"].startswith("The model of done is at work in run busy")
    assert panel.state["wrong"]


@pytest.mark.parametrize(
    "message",
    [
        "text",
        None,
        {},
        {"action": "choose"},
        {"action": "choose", "runs": "x"},
        {"action": "load", "runs": [[]]},
        {"action": "code", "runs": ["99"]},
        {"action": [], "runs": [{}], "number": 1},
        {"action": "load", "runs": [[]], "number": 1, "page": {}},
        {"action": "choose", "runs": ["99"], "number": True},
    ],
)
def test_the_panel_survives_any_message(message):
    panel = Panel(Runs([ended("a")]))
    panel._receive(panel, message, [])
    assert panel.state["compared"] is None


@given(
    st.lists(
        st.tuples(st.text(), st.lists(st.floats() | st.just(math.nan), max_size=5), st.text(max_size=5)),
        max_size=5,
    )
)
def test_whatever_runs_are_called_and_measure_the_panel_can_be_sent(described):
    runs = [
        ended(name, len(curve), curves={metric: curve, f"val_{metric}": curve[::-1]})
        for name, curve, metric in described
    ]
    panel = Panel(Runs(runs))
    ask(panel, "choose", *range(len(runs)))
    json.dumps(panel.state, allow_nan=False).encode()
    compared = panel.state["compared"]
    counted = sum(curve["points"] for curve in compared["curves"]) if compared else 0
    assert len(panel.points) == 8 * counted
    panel.close()


def test_the_panel_moves_when_a_run_begins_stands_still_and_ends(capsys):
    known = [ended("a")]
    panel = Panel(Runs(known))
    run = Run("b", None, 2, workers=1)
    known.append(run)
    run.listen(hearing(()))
    assert calls.finish(run)
    assert [one["status"] for one in panel.state["runs"]] == ["finished", "running"]
    run.enter("paused")
    assert calls.finish(run)
    assert [one["status"] for one in panel.state["runs"]] == ["finished", "paused"]
    assert "paused" in repr(run)
    assert "paused" in repr(Runs(known)).splitlines()[-1]
    run.enter("training")
    assert calls.finish(run)
    assert [one["status"] for one in panel.state["runs"]] == ["finished", "running"]
    run.end("stopped")
    assert calls.finish(run)
    assert [one["status"] for one in panel.state["runs"]] == ["finished", "stopped"]


def test_the_panel_takes_runs_that_are_forgotten_away():
    runs = Runs([ended("a"), ended("b"), Run("c", model=None, epochs=1, workers=1)])
    panel = Panel(runs)
    panel._receive(None, {"page": "p", "number": 1, "action": "choose", "runs": ["1"]}, None)
    runs.forget("a")
    assert [one["name"] for one in panel.state["runs"]] == ["b", "c"]
    assert panel.state["chosen"] == []


def test_a_panel_shows_what_was_at_work_before_it_and_only_the_newest_does():
    run = Run("b", None, 2, workers=1)
    runs = Runs([run])
    before, panel = Panel(runs), Panel(runs)
    run.enter("paused")
    assert calls.finish(run)
    assert [one.state["runs"][0]["status"] for one in (before, panel)] == ["running", "paused"]


def test_a_panel_that_breaks_harms_no_training_and_is_named():
    def broken():
        raise RuntimeError("no page")

    runs = Runs([])
    runs.watch(broken)
    run = Run("b", None, 2, workers=1)
    run.listen(hearing(()))
    run.record_epoch(0, {"loss": 0.5})
    assert calls.finish(run)
    assert run.history == {"loss": [0.5]}
    assert run.notes == ["listener _Moves.begun has failed: RuntimeError: no page"]


def test_where_there_are_no_widgets_the_magic_prints_the_table(shell, elsewhere, capsys):
    result = shell.run_cell(f"%keras_spark runs {elsewhere[0]}")
    assert result.success
    assert re.search(r"^digits +finished +1 +loss .* 3 of 3 ", capsys.readouterr().out, re.MULTILINE)
    assert not shell.run_cell("%keras_spark runs /nowhere/at/all").success
    assert "there is no checkpoint in /nowhere/at/all" in capsys.readouterr().out


def test_importing_nbkeras_loads_no_widgets():
    script = "import sys, nbkeras; sys.exit('anywidget' in sys.modules or 'matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False, cwd=ROOT).returncode == 0
