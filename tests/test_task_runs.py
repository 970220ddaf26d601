"""Tasks that are run: what a notebook would compute, written, resumed, explained, and ended in every way."""

from __future__ import annotations

import json
import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pyspark
import pytest
from lifeline import ENDS_WITH_US
from twins import assert_same_history

import nbkeras
from nbkeras import cli
from nbkeras.errors import NbkerasError, OptionError, TaskError
from nbkeras.tasks import frames

BUILD = """\
import keras
from beside import Twice


def build(units=4):
    layers = [keras.Input((2,)), Twice(), keras.layers.Dense(units, "relu"), keras.layers.Dense(2, "softmax")]
    model = keras.Sequential(layers)
    model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def breaks():
    return 1 / 0


def gives_none():
    pass
"""
BESIDE = """\
import keras


class Twice(keras.layers.Layer):
    def call(self, x):
        return 2 * x
"""
TASK = """\
name: flowers
data:
  training: rows.parquet
  validation: 0.25
  y: kind
  features: [length, width]
model: build.py:build
epochs: 2
batch_size: 16
learning_rate: 0.05
seed: 3
callbacks: {EarlyStopping: {monitor: loss, patience: 5}}
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a task, its model and its rows."""
    folder = tmp_path_factory.mktemp("task")
    random = np.random.default_rng(1)
    kind = random.integers(0, 2, 96)
    x = kind[:, None] + random.normal(0, 0.3, (96, 2))
    rows = pd.DataFrame({"length": x[:, 0], "width": x[:, 1], "kind": np.array(["lily", "rose"])[kind]})
    rows[:64].to_parquet(folder / "rows.parquet")
    rows[64:].to_csv(folder / "test.csv", index=False)
    for name, text in (("build.py", BUILD), ("beside.py", BESIDE), ("task.yaml", TASK)):
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def folder(made, tmp_path, monkeypatch):
    """A copy of it, which is the current folder."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def files():
    return {str(one) for one in Path().rglob("*") if "__pycache__" not in one.parts}


def by_hand(spark):
    """What the task trains, by the calls of a notebook."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path.cwd())
        patch.setitem(sys.modules, "beside", None)  # so that what is imported leaves in the end
        patch.delitem(sys.modules, "beside")
        build = runpy.run_path("build.py")["build"]
        keras.utils.set_random_seed(3)
        model = build()
    model.optimizer.learning_rate = 0.05
    return nbkeras.fit(
        model,
        spark.read.parquet(f"{Path.cwd()}/rows.parquet"),
        "kind",
        features=["length", "width"],
        validation_split=0.25,
        epochs=2,
        batch_size=16,
        seed=3,
        callbacks=[keras.callbacks.EarlyStopping("loss", patience=5)],
        verbose=0,
        spark=spark,
    )


@pytest.mark.process  # it starts a Spark and Keras, as the command does
@pytest.mark.usefixtures("any_backend", "folder")
def test_the_command_computes_what_the_same_calls_compute_and_prints_the_result_alone(spark, capsys):
    code = "import sys; from nbkeras.cli import main; sys.exit(main())"
    out = "out={model: out/a.keras, predictions: out/p.parquet, report: out/report}"
    changes = (out, "data.test=test.csv", "spark={master: 'local[1]', backend: torch}")
    words = ["run", "task.yaml", *(f"--set={one}" for one in changes)]
    done = subprocess.run(
        [*ENDS_WITH_US, sys.executable, "-c", code, *words], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    phases = "Waiting for room|Spark computes the rows|Reading rows|Starting the trainer|Fetching the trained"
    progress = rf"({phases}|epoch [12] of 2  accuracy|flowers finished 2 epochs in)\b"
    assert [line for line in done.stderr.splitlines() if not re.match(progress, line)] == []
    assert len(re.findall("^epoch", done.stderr, re.MULTILINE)) == 2
    result = json.loads(done.stdout, parse_constant=pytest.fail)
    run = by_hand(spark)
    assert_same_history(result["history"], run.history)
    assert (result["status"], result["name"], result["epochs"]) == ("done", "flowers", 2)
    assert result["best"]["metric"] == "val_loss"
    assert result["best"]["value"] == min(result["history"]["val_loss"])
    assert result["versions"]["pyspark"] == pyspark.__version__
    test = pd.read_csv("test.csv").sort_values("length")
    expected = run.model.predict(test[["length", "width"]].to_numpy(), verbose=0)
    written = pd.read_parquet("out/p.parquet").sort_values("length")
    np.testing.assert_allclose(np.stack(written["prediction"]), expected, atol=1e-5)
    right = np.array(["lily", "rose"])[expected.argmax(axis=1)] == test["kind"]
    assert result["figures"]["accuracy"] == pytest.approx(right.mean())
    assert result["rows"] == len(test)
    reports = sorted(map(str, Path("out/report").absolute().iterdir()))
    assert result["written"]["report"] == reports
    assert {f"report{end}" for end in (".html", ".json", ".png", ".txt")} < {
        Path(one).name for one in reports
    }

    assert cli.main(words) == 2
    there = capsys.readouterr().err.splitlines()
    assert [line.partition(": /")[2].partition(" is there already: name another")[0] for line in there] == [
        str(Path("out", name).absolute())[1:] for name in ("a.keras", "p.parquet", "report")
    ]


@pytest.mark.usefixtures("any_backend", "folder")
def test_a_task_that_was_ended_goes_on_from_its_checkpoint(spark):
    small = ("checkpoint=kept",)

    first = nbkeras.Task.read("task.yaml", *small, "epochs=1").run(spark)
    second = nbkeras.Task.read("task.yaml", *small, "out.model=a.keras").run(spark)

    assert second.history["loss"][:1] == first.history["loss"]
    assert len(second.history["loss"]) == 2
    assert "going on from the checkpoint of epoch 1" in second.run.notes
    with pytest.raises(OptionError, match="holds a training of 2 epochs"):
        nbkeras.Task.read("task.yaml", *small, "resume=false").run(spark)


@pytest.mark.usefixtures("any_backend", "folder")
def test_a_changed_task_does_not_take_the_checkpoint_of_another_one(spark):
    nbkeras.Task.read("task.yaml", "checkpoint=kept", "epochs=1").run(spark)
    for change, fault in (
        (
            "model={function: 'build.py:build', arguments: {units: 5}}",
            "of another model: layer 3, Dense: units=5 here, units=4 there",
        ),
        ("class_weight={lily: 2}", "class_weight=.* now, class_weight=None in the checkpoint"),
        ("data.validation=0.5", "validation_split=0.5 now, validation_split=0.25 in the checkpoint"),
    ):
        with pytest.raises(NbkerasError, match=fault):
            nbkeras.Task.read("task.yaml", "checkpoint=kept", change).run(spark)


@pytest.mark.usefixtures("any_backend", "folder", "spark")
def test_a_refused_run_leaves_the_result_of_an_earlier_one(capsys):
    Path("r.json").write_text("the result of an earlier run")
    Path("a.keras").write_text("a model")
    changes = [f"--set={one}" for one in ("data.test=test.csv", "out.model=a.keras", "out.result=r.json")]

    for said, change in (
        ("a.keras is there already", "epochs=1"),
        ("rows.parquet is there already", f"out={{predictions: 'file://{Path.cwd()}/rows.parquet'}}"),
        ("test.csv would replace .*test.csv, which the task needs", "out.report=test.csv"),
        (
            "would replace .*rows.parquet, which",
            "out={predictions: {path: ., mode: overwrite, format: json}}",
        ),
    ):
        last = ["--set=out.result=r.json"] if change.startswith("out={") else []
        assert cli.main(["run", "task.yaml", *changes, f"--set={change}", *last]) == 2, change
        assert re.search(said, capsys.readouterr().err)

    assert Path("r.json").read_text() == "the result of an earlier run"


@pytest.mark.usefixtures("any_backend", "folder", "spark")
def test_an_interrupt_keeps_what_was_learned_exits_130_and_the_same_command_goes_on(capsys):
    class Impatient(nbkeras.Listener):
        def epoch(self, run, epoch, logs):
            if epoch == 1:
                os.kill(os.getpid(), signal.SIGINT)

    changes = ("epochs=100000", "out={model: a.keras, predictions: p.parquet}", "data.test=test.csv")
    changes += ("restore_best=true", "monitor=val_accuracy")
    words = [
        "run",
        "task.yaml",
        "--result",
        "r.json",
        *(f"--set={one}" for one in (*changes, "checkpoint=c")),
    ]
    nbkeras.listeners.append(Impatient())
    try:
        status = cli.main(words)
    finally:
        nbkeras.listeners.pop()

    assert status == 130
    result = json.loads(Path("r.json").read_text())
    assert result["status"] == "interrupted"
    assert 2 <= result["epochs"] == len(result["history"]["loss"]) < 100000
    assert result["written"] == {"model": str(Path("a.keras").absolute())}
    assert "interrupted: the rows are neither predicted nor reported on" in result["notes"]
    assert not any("Early stopping" in one for one in result["notes"])  # of restore_best, in the last epoch
    assert keras.saving.load_model("a.keras", {"Twice": keras.layers.Identity}).count_params() == 22
    assert capsys.readouterr().out == ""

    assert cli.main([*words, f"--set=epochs={result['epochs'] + 1}"]) == 0
    again = json.loads(Path("r.json").read_text())
    whole = len(result["history"]["val_loss"])  # the epoch in work was not validated, and is trained again
    assert again["history"]["loss"][:whole] == result["history"]["loss"][:whole]
    assert again["epochs"] == result["epochs"] + 1
    assert len(pd.read_parquet("p.parquet")) == 32
    assert cli.main([*words, f"--set=epochs={result['epochs'] + 1}"]) == 2
    assert "a.keras is there already" in capsys.readouterr().err


@pytest.mark.usefixtures("folder", "spark")
def test_a_task_whose_code_would_end_python_fails(capsys):
    assert cli.main(["run", "task.yaml", "--set", "model={code: raise SystemExit(3)}"]) == 1
    assert json.loads(capsys.readouterr().out)["status"] == "failed"


@pytest.mark.usefixtures("folder", "spark")
def test_an_error_in_the_users_code_keeps_its_lines_and_exits_1(capsys):
    assert cli.main(["run", "task.yaml", "--set", "model=build.py:breaks"]) == 1

    said = capsys.readouterr()
    assert json.loads(said.out)["error"] == "ZeroDivisionError: division by zero"
    assert json.loads(said.out)["status"] == "failed"
    *above, last = said.err.splitlines()
    assert last == "nbkeras: ZeroDivisionError: division by zero"
    assert f'File "{Path.cwd()}/build.py", line 13, in breaks' in above[0]
    assert not any("nbkeras" in line for line in above)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ("data.training=no.parquet", "data.training: Spark cannot read it: .PATH_NOT_FOUND. .*: name a file"),
        ("data.training={table: no}", "data.training: Spark cannot read it: .*: name a table"),
        ("data.training={sql: SELEC 1}", "data.training: Spark cannot read it: .*: write a query"),
        ("data.training={sql: CREATE TABLE a AS SELECT 1}", "data.training: Spark cannot read it: .*: write"),
        (
            "data.training={path: rows, format: delte}",
            "data.training.format: this Spark has no format 'delte'",
        ),
        ("data.y=kin", "data.y: 'kin' is not in the DataFrame: did you mean 'kind'"),
        ("data.features=[length]", "data: the model takes .* 2 numbers, but 1 column is left"),
        ("data.test=rows.parquet out.report.by=kin", "out.report.by: 'kin' is not in the DataFrame"),
        (
            "data.test=rows.parquet out.predictions=p.csv",
            "out.predictions: a csv holds no arrays, and prediction would be one",
        ),
        (
            "data.test={sql: 'SELECT 1 AS length, 2 AS kind'}",
            "data.test: 'width' is not in the DataFrame",
        ),
        ("model=build.py:buil", "model.function: .*build.py has no function 'buil': it has build"),
        (
            "model=buil:build",
            "model.function: there is no module 'buil': install it, put it beside this file",
        ),
        ("model=build:gives_none", "model: it gives a NoneType: return a compiled keras.Model"),
        ("model=no.keras", "model.file: there is no file .*no.keras"),
        ("model={function: 'build:build', arguments: {unit: 1}}", "model.arguments: build: .*'unit'"),
        ("model={code: 'x ='}", "model.code: line 1 of <model.code>: invalid syntax"),
        ("model={code: 'x = 1'}", "model.code: it assigns no compiled model: assign one to model"),
        ("model={code: '%%keras_spark'}", "model.code: a magic is of a notebook: remove its line"),
        (
            "model={code: 'model.compile()\n\nmodel.fit(df)'}",
            "model.code: its line 2 trains: remove model.fit",
        ),
        (
            "callbacks={EarlyStoping: {}}",
            "callbacks.EarlyStoping: Keras has no such callback: did you mean Ea",
        ),
        (
            "callbacks={EarlyStopping: {patienc: 1}}",
            "callbacks.EarlyStopping: it cannot be made so: .*patienc",
        ),
    ],
)
@pytest.mark.usefixtures("folder", "spark")
def test_what_a_task_names_and_is_not_there_is_a_fault_before_anything_runs(capsys, change, fault):
    before, changes = files(), [f"--set={one}" for one in re.split(r" (?=\w+\.\w+)", change)]

    assert cli.main(["run", "task.yaml", "--dry-run", *changes]) == 2

    said = capsys.readouterr()
    assert re.match(rf"(--set |task.yaml:2: ){fault}", said.err)
    assert (said.err.count("\n"), said.out) == (1, "")
    assert files() == before


def read(spark, **rows):
    """The rows that a task names, as a set."""
    task = nbkeras.Task(data={"training": rows}, model="build.py:build")
    return {tuple(row.asDict().items()) for row in frames.frames(task, spark)["training"].collect()}


@pytest.mark.smoke
@pytest.mark.usefixtures("folder")
def test_types_of_a_csv_go_by_the_names_in_its_header(spark):
    right = pd.DataFrame({"length": [1.5, 2.5], "width": [3, 4], "kind": ["lily", "rose"]})
    right.to_csv("right.csv", index=False)
    right[["kind", "width", "length"]].to_csv("other.csv")  # with an index, which has no name
    types = "length double, width int, kind string"
    plain = spark.read.csv(f"{Path.cwd()}/right.csv", types, header=True).collect()
    rows = {tuple(row.asDict().items()) for row in plain}
    for options in ({}, {"multiLine": True}, {"Header": "TRUE"}):
        assert read(spark, path="other.csv", types=types, options=options) == rows
    some = {tuple(one for one in row if one[0] != "width") for row in rows}
    assert read(spark, path="other.csv", types="length double, kind string") == some
    with pytest.raises(TaskError, match=r"^data.training.types: 'lenght' is not in the header: did you mean"):
        read(spark, path="other.csv", types="lenght double")
    right.to_csv("bare.csv", index=False, header=False)
    assert read(spark, path="bare.csv", types=types, options={"header": False}) == rows
    # Of a folder, whose files agree or are refused.
    Path("several.csv").mkdir()
    for name, order in (("1.csv", ["width", "length"]), ("2.csv", ["width", "length"])):
        right[order].to_csv(Path("several.csv", name), index=False)
    assert read(spark, path="several.csv", types="width int") == {(("width", 3),), (("width", 4),)}
    right[["length", "width"]].to_csv("several.csv/2.csv", index=False)
    with pytest.raises(Exception, match=r"FAILED_READ_FILE|header does not conform"):
        read(spark, path="several.csv", types="width string")


@pytest.mark.usefixtures("folder")
def test_other_formats_go_by_name_and_a_file_with_the_name_of_a_pattern_is_itself(spark):
    for kind in ("parquet", "orc", "json"):
        spark.sql("SELECT 1 AS a, 'x' AS b").write.format(kind).save(f"{Path.cwd()}/rows[1].{kind}")
        assert read(spark, path=f"rows[1].{kind}", types="b string, a int") == {(("b", "x"), ("a", 1))}
        assert read(spark, path=f"rows?1*.{kind}", types="a int") == {(("a", 1),)}


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("label", ["'tulip'", "string(NULL)"])
def test_a_label_to_test_that_the_training_lacks_is_refused_before_it(spark, label):
    before = len(nbkeras.runs)
    rows = f"SELECT 1D AS length, 2D AS width, {label} AS kind UNION ALL SELECT 1, 2, 'lily'"
    test = f'data.test={{sql: "{rows}"}}'
    what = label.removeprefix("string(").removesuffix(")").lower()
    with pytest.raises(
        TaskError, match=rf"data.test: the label 'kind' is {what} in 1 rows, and in none of the"
    ):
        nbkeras.Task.read("task.yaml", test).run(spark)
    assert len(nbkeras.runs) == before


@pytest.mark.usefixtures("folder", "spark")
def test_an_explanation_computes_no_row_and_writes_nothing(capsys):
    rows = "SELECT double(raise_error('computed')) AS length, 1D AS width, 'lily' AS kind"
    changes = [f'data.training={{sql: "{rows}"}}', "data.test=rows.parquet", "out.model=a.keras", "seed=1"]
    before = files()

    assert cli.main(["run", "task.yaml", "--dry-run", *(f"--set={one}" for one in changes)]) == 0

    said = capsys.readouterr().out
    for sentence in (
        "nothing is computed or written now",
        "length double, width double, kind string",
        "test: .*rows.parquet, 64 rows; length double, width double, kind string",
        "validation: 0.25 of the training rows",
        "features: length, width; label: kind",
        "model: build.py:build, 3 layers, 22 weights, SGD at 0.05",
        "training: 2 epochs in batches of 16 rows, EarlyStopping, by .* workers? on ",
        "writes model: .*a.keras",
    ):
        assert re.search(sentence, said)
    assert files() == before
