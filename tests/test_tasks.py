"""Tasks as they are declared: in YAML and in Python, with every fault in a line."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import pandas as pd
import pytest
from ruamel.yaml import YAML

import nbkeras
from nbkeras import cli
from nbkeras.errors import OptionError, TaskError
from nbkeras.options import TYPED
from nbkeras.plan import BACKENDS
from nbkeras.tasks import schema
from nbkeras.tasks.parts import Spark

ROOT = Path(__file__).parents[1]
SMALL = "data: {training: rows.parquet, y: kind}\nmodel: model.py:build\n"
WRONG = """\
name: 5
data:
  training: rows.parquett
  validaton: 0.2
  features: [length, 3]
  y: kind
model: model.py
epochs: ten
batch_sise: 3
learning_rate: "1e-3"
restore_best: no
workers: 2
spark:
  workers: many
  backend: tensorflw
  gpus: 1.5
  config: [a]
callbacks: ES
out:
  model: flowers.h5
  predictions: {path: predictions.csv, mode: replace}
  report: report.pdf
  mode: append
"""
FAULTS = """\
1: name: got 5: write a word, such as '5' in quotes
3: data.training: the name of 'rows.parquett' says no format: write format: parquet, csv, json or another
4: data.validaton: there is no such key: did you mean validation?
5: data.features[1]: got 3: write a word, such as '3' in quotes
7: model.function: got 'model.py': write a .keras file, or file.py:function or module:function
8: epochs: got the word 'ten': write a whole number
9: batch_sise: there is no such key: did you mean batch_size?
10: learning_rate: got the word '1e-3': write a number, without quotes
11: restore_best: got the word 'no': write true or false, as YAML 1.2 takes no for a word
12: workers: there is no such key here: did you mean spark.workers?
14: spark.workers: got the word 'many': write a whole number or 'auto'
15: spark.backend: got the word 'tensorflw': write 'auto', 'tensorflow', 'torch' or 'jax'
16: spark.gpus: got 1.5: write a whole number
17: spark.config: got a list: write keys below it, such as config: {spark.executor.memory: 8g}
18: callbacks: got the word 'ES': write keys below it, such as callbacks: {EarlyStopping: {patience: 3}}
21: out.predictions.mode: got the word 'replace': write 'error', 'overwrite' or 'append'
22: out.report: a report is saved as .html, .json, .png, .txt or .csv, or into a folder; got 'report.pdf'
23: out.mode: got the word 'append': write 'error' or 'overwrite'
"""

NO_HOME = "Could not determine home directory."  # Python's own words


@pytest.fixture
def file(tmp_path, monkeypatch):
    """Writes a task's file into the current folder, and gives its name."""
    monkeypatch.chdir(tmp_path)

    def write(text: str, name: str = "task.yaml") -> str:
        Path(name).write_text(text)
        return name

    return write


def manual_example() -> str:
    [example] = re.findall(
        r"```yaml\n(# yaml-language-server.*?)```", (ROOT / "docs" / "tasks.md").read_text(), re.DOTALL
    )
    return example


def test_every_fault_of_a_file_is_a_line_that_says_where_what_and_what_to_write(file):
    with pytest.raises(TaskError) as wrong:
        nbkeras.Task.read(file(WRONG))

    assert list(wrong.value.faults) == [f"task.yaml:{line}" for line in FAULTS.splitlines()]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("data: [a\nmodel: b", "2: expected ',' or ']', but got ':'"),
        (
            "data:\n\ttraining: a.parquet",
            r"2: found character '\t' that cannot start any token: indent by spaces",
        ),
        ("epochs: 1\nepochs: 2", '2: found duplicate key "epochs" with value "2" (original value: "1")'),
        ("- a", "1: a task is keys and values: write data:, model: and what else it is to do"),
        ("", "1: a task is keys and values: write data:, model: and what else it is to do"),
        (f"{SMALL}epochs: 0", "3: epochs: got 0: write a number from 1"),
        (f"{SMALL}seed: 99999999999", "3: seed: got 99999999999: write a number up to 4294967295"),
        (f"{SMALL}epochs:", "3: epochs: got nothing: write a whole number"),
        (
            f"{SMALL}name: 2026-11-28",
            "3: name: got 2026-11-28, which YAML takes for a date: put it in quotes",
        ),
        ("model: model.py:build", "1: data: is missing: write data: {training: train.parquet, y: kind}"),
        ("data: {y: kind}\nmodel: a:b", "1: data.training: is missing: write training: train.parquet"),
        (
            "data: {training: {table: a, path: b.csv}}\nmodel: a:b",
            "1: data.training: got path and table: write one, such as path: rows.parquet",
        ),
        (
            "data: {training: {}}\nmodel: a:b",
            "1: data.training: path, table and sql are missing: write one, such as path: rows.parquet",
        ),
        (
            "data: {training: a.csv, validation: 1}\nmodel: a:b",
            "1: data.validation: got 1: write a number below 1",
        ),
        (
            f"{SMALL}monitor: loss",
            "3: monitor: it says which epoch is best: write restore_best: true too, or remove it",
        ),
        (
            f"{SMALL}restore_best: true\nmonitor: val_loss",
            "4: monitor: val_loss is of a validation: write data.validation too, such as 0.2",
        ),
        (f"{SMALL}out: {{report: a.html}}", "3: out.report: it is about the test rows: write data.test too"),
        (
            f"{SMALL}out: {{predictions: a.csv}}",
            "3: out.predictions: they are of some rows: write data.predict too, or data.test",
        ),
        (
            f"{SMALL}out:\n  model: a.h5",
            "4: out.model: got 'a.h5': name it ….keras, which holds all of a model",
        ),
        (f"{SMALL}name: 2026-02-30", " it is no YAML: day is out of range for month"),
        (
            f"{SMALL}checkpoint: ~no-such-user/kept",
            f"3: checkpoint: got ~no-such-user/kept, whose home is unknown ({NO_HOME}): write the whole path",
        ),
    ],
)
def test_a_fault_names_its_line(file, text, fault):
    with pytest.raises(TaskError) as wrong:
        nbkeras.Task.read(file(text))

    assert wrong.value.faults == (f"task.yaml:{fault}",)


@pytest.mark.parametrize("tag", ["!!python/object/apply:os.system", "!!python/name:os.system", "!mine"])
def test_reading_a_file_runs_nothing(file, tag):
    with pytest.raises(TaskError, match=r"got the tag .*: remove it"):
        nbkeras.Task.read(file(f"{SMALL}name: {tag} ['touch here']"))

    assert not Path("here").exists()


def test_a_change_is_read_as_the_files_own_value_and_named_where_it_is_wrong(file):
    name = file(f"{SMALL}epochs: 9")

    task = nbkeras.Task.read(
        name, "epochs=3", "spark.config.spark.executor.memory=4g", "data.test={sql: SELECT 1}"
    )

    assert (task.epochs, task.data.test.sql) == (3, "SELECT 1")
    assert task.spark.config == {"spark.executor.memory": "4g"}
    with pytest.raises(TaskError) as wrong:
        nbkeras.Task.read(name, "epochs=no", "batchsize=3")
    assert wrong.value.faults == (
        "--set epochs: got the word 'no': write a whole number, as YAML 1.2 takes no for a word",
        "--set batchsize: there is no such key: did you mean batch_size?",
    )
    with pytest.raises(TaskError, match="--set epochs: write a key and its value, such as --set epochs=3"):
        nbkeras.Task.read(name, "epochs")
    with pytest.raises(TaskError, match=r"data.y is 'kind' and has no keys"):
        nbkeras.Task.read(name, "data.y.output=kind")


def test_a_change_reaches_below_a_short_form_and_into_the_arguments_of_a_callback(file):
    name = file(
        "data: {training: a.csv, validation: 0.2, y: kind}\nmodel: m.py:build\ncallbacks: {EarlyStopping: }"
    )

    task = nbkeras.Task.read(
        name,
        "data.training.options.sep=;",
        "data.validation.fraction=0.5",
        "model.arguments.units=64",
        "model.arguments.sizes.first=3",
        "callbacks.EarlyStopping.patience=5",
        "data.nulls.2020=0",
        "class_weight.1=2",
        "out.predictions.format=csv",
        "out.predictions.path=p",
        "data.predict.path=b.csv",
    )

    assert (task.data.training.path, task.data.training.options) == (f"{Path.cwd()}/a.csv", {"sep": ";"})
    assert task.data.validation.fraction == 0.5
    assert task.model.function == f"{Path.cwd()}/m.py:build"
    assert task.model.arguments == {"units": 64, "sizes": {"first": 3}}
    assert task.callbacks == {"EarlyStopping": {"patience": 5}}
    assert (task.data.nulls, task.class_weight) == ({"2020": 0}, {1: 2.0})


def test_what_no_file_can_hold_is_named_by_its_type_in_one_line():
    frame = pd.DataFrame({"a": range(9)})
    with pytest.raises(TaskError) as wrong:
        nbkeras.Task(data={"training": frame, "y": frame}, model="m.py:build", name=frame)
    named, training, label = wrong.value.faults
    assert named == "name: got a DataFrame of pandas: write a word"
    assert training.startswith(
        "data.training: got a DataFrame of pandas: a task names files, tables or queries"
    )
    assert label.startswith("data.y: got a DataFrame of pandas: write a word or a list or keys below it")
    assert not any("\n" in one for one in wrong.value.faults)


def test_paths_are_those_of_the_file_and_stay_when_the_task_is_written_elsewhere(file, tmp_path, monkeypatch):
    name = file(f"{SMALL}checkpoint: s3://lake/kept\nout: {{model: a.keras}}")
    monkeypatch.chdir("/")

    task = nbkeras.Task.read(tmp_path / name, "data.test=dbfs:/rows.csv", "data.predict=file:/rows.csv")

    assert (task.data.test.path, task.data.predict.path) == ("dbfs:/rows.csv", "/rows.csv")
    assert task.data.training.path == str(tmp_path / "rows.parquet")
    assert task.model.function == f"{tmp_path}/model.py:build"
    assert task.checkpoint == "s3://lake/kept"
    (tmp_path / "other").mkdir()
    for place, written in (
        ("same.yaml", "rows.parquet"),
        ("other/task.yaml", str(tmp_path / "rows.parquet")),
    ):
        task.write(tmp_path / place)
        assert nbkeras.Task.read(tmp_path / place) == task
        assert f"path: {written}\n" in (tmp_path / place).read_text()
    with pytest.raises(OptionError, match="is there already: name another, or add overwrite=True"):
        task.write(tmp_path / "same.yaml")
    task.write(tmp_path / "same.yaml", overwrite=True)


def test_a_task_of_python_is_that_of_its_file_and_cannot_be_changed(file):
    made = nbkeras.Task(
        data={"training": Path("rows.parquet"), "y": "kind", "validation": 0.25},
        model={"code": "a = 1\nb = 2\n"},
        class_weight={0: 1.0, 1: 2.5},
        learning_rate=1e-3,
    )
    read = nbkeras.Task.read(
        file(
            "data: {training: rows.parquet, y: kind, validation: 0.25}\nlearning_rate: 1e-3\n"
            "class_weight: {0: 1, 1: 2.5}\nmodel: |\n  a = 1\n  b = 2\n"
        )
    )

    assert made == read
    assert (made.title, read.title) == ("task", "task")
    made.write("again.yaml")
    assert nbkeras.Task.read("again.yaml").class_weight == {0: 1.0, 1: 2.5}
    assert nbkeras.Task.read("again.yaml", "class_weight.1=3").class_weight == {0: 1.0, 1: 3.0}
    with pytest.raises(ValueError, match="frozen"):
        made.epochs = 3
    with pytest.raises(TaskError, match=r"^epoch: there is no such key: did you mean epochs"):
        nbkeras.Task(data={"training": "rows.parquet"}, model="a:b", epoch=3)


def test_a_task_takes_every_option_of_a_training():
    elsewhere = {"background"}  # a task is waited for
    assert set(TYPED) - elsewhere <= {*nbkeras.Task.model_fields, *Spark.model_fields}
    assert Spark.model_json_schema()["properties"]["backend"]["enum"] == ["auto", *BACKENDS]


def test_the_schema_file_is_the_one_that_the_code_makes(capsys):
    assert cli.main(["run", "--schema"]) == 0

    printed = capsys.readouterr().out
    assert schema.FILE.read_text() == printed, (
        "write it: nbkeras run --schema > nbkeras/tasks/task.schema.json"
    )
    jsonschema.Draft202012Validator.check_schema(json.loads(printed))


@pytest.mark.parametrize("text", [SMALL, manual_example()], ids=["small", "manual"])
def test_an_editor_accepts_what_a_task_accepts(file, text):
    nbkeras.Task.read(file(text))

    jsonschema.validate(YAML(typ="safe", pure=True).load(text), json.loads(schema.schema()))


def test_an_editor_marks_what_a_task_refuses():
    validator = jsonschema.Draft202012Validator(json.loads(schema.schema()))

    marked = {error.json_path for error in validator.iter_errors(YAML(typ="safe", pure=True).load(WRONG))}

    assert {"$", "$.name", "$.data", "$.epochs", "$.learning_rate", "$.restore_best"} <= marked


def test_without_the_packages_a_line_says_what_to_type():
    code = """if True:
        import sys
        sys.modules["pydantic"] = None
        import nbkeras
        from nbkeras import cli
        assert cli.main(["run", "task.yaml"]) == 1
        for use in (nbkeras.Task, nbkeras.Task.read):
            try:
                use("task.yaml")
            except nbkeras.errors.OptionError as error:
                print(error)
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    line = f"tasks need pydantic, which this Python lacks: {sys.executable} -m pip install 'nbkeras[tasks]'\n"
    assert done.stdout == line * 2
    assert done.stderr == f"nbkeras: {line}"


def test_the_command_says_every_fault_and_exits_2(file, capsys):
    assert cli.main(["run", file(f"{SMALL}epochs: 0\nname: 5"), "--result", "-"]) == 2
    assert cli.main(["run", "nothing.yaml"]) == 2
    assert cli.main(["run", file(SMALL), "--result", "s3://lake/r.json"]) == 2

    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == [
        "task.yaml:3: epochs: got 0: write a number from 1",
        "task.yaml:4: name: got 5: write a word, such as '5' in quotes",
        "nothing.yaml: there is no such file: name a task's file, such as task.yaml",
        "--set out.result: got s3://lake/r.json: name a file on this machine",
    ]
