import ast
import contextlib
import subprocess
import sys
import types

import keras
import pandas as pd
import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell
from tables import Frame, Table
from traitlets.config import Config

import nbkeras
from nbkeras.errors import DataError
from nbkeras.notebook.builder import Builder
from nbkeras.notebook.magic import magics
from nbkeras.run import registry
from nbkeras.run.run import Run


class SparkSession:
    """Looks like pyspark's."""


SparkSession.__module__ = "pyspark.sql.session"


class Model:
    """Looks like a Keras model."""

    compiled = False

    def compile(self, *_, **__):
        self.compiled = True


Model.__module__ = "keras.src.models.model"


def compiled():
    """A model of Keras'."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


class Api:
    """Stands for nbkeras.api and remembers its calls."""

    def __init__(self):
        self.calls = []
        self.runs = registry.runs
        self.fits = 0

    @contextlib.contextmanager
    def on_spark(self, **where):
        self.calls.append(("on_spark", where))
        yield types.SimpleNamespace(fits=self.fits)

    def fit(self, model, data, **arguments):
        self.calls.append(("fit", model, data, arguments))
        return "the run"

    def status(self, **arguments):
        self.calls.append(("status", arguments))
        return "Spark 4 with 2 slots"


@pytest.fixture
def api(monkeypatch):
    for name in nbkeras.__all__:
        getattr(nbkeras, name)  # first asked for now, it would stay that of the fake
    monkeypatch.setattr(registry, "runs", [])
    fake = Api()
    monkeypatch.setattr(nbkeras, "api", fake, raising=False)
    monkeypatch.setitem(sys.modules, "nbkeras.api", fake)
    return fake


@pytest.fixture
def shell(api):
    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "nocolor"
    shell = InteractiveShell(config=config)
    magics.register(shell)
    shell.user_ns["Model"] = Model
    yield shell
    magics.unregister(shell)


@pytest.fixture
def run(shell, capsys):
    """Run a cell and give its result and what it printed."""

    def run(cell):
        result = shell.run_cell(cell)
        return result, capsys.readouterr().out

    return run


def one_line(run, cell):
    """Run a cell that fails; its whole output is one line, and the next cell runs."""
    result, out = run(cell)
    lines = out.strip().splitlines()
    assert not result.success
    assert len(lines) == 1, out
    assert run("1 + 1")[0].result == 2
    return lines[0]


def test_the_body_runs_in_the_namespace_within_on_spark(run, shell, api):
    shell.user_ns["n"] = 3

    result, _ = run("%%keras_spark --workers 2 --name digits --background\nm = n + 1\nm * 2")

    assert result.success
    assert shell.user_ns["m"] == 4
    assert api.calls == [("on_spark", {"workers": 2, "name": "digits", "background": True})]


def test_the_spark_of_the_namespace_is_used_and_other_things_of_that_name_are_not(run, shell, api):
    shell.user_ns["spark"] = session = SparkSession()
    run("%%keras_spark\n1")
    shell.user_ns["spark"] = "a word"
    run("%%keras_spark\n1")

    assert api.calls == [("on_spark", {"spark": session}), ("on_spark", {})]


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        ("1 + 1", "2"),
        ("1 + 1;", None),
        ("1 + 1;  # quiet", None),
        ("x = 1", None),
        ("print('said')", None),
        ("1\n\n2\n# the end", "2"),
        ("'a;'", "'a;'"),
        ("# nothing", None),
        ("# nothing\n", None),
    ],
)
def test_the_last_expression_is_shown_as_in_an_ordinary_cell(run, body, shown):
    result, out = run(f"%%keras_spark\n{body}")

    assert result.success
    assert ("Out[" in out) == (shown is not None)
    assert repr(result.result) == str(shown)


def test_braces_and_dollars_of_the_body_are_left_alone(run, shell):
    shell.user_ns["name"] = "wrong"

    run("%%keras_spark\nvalue = '{name} $name %name'")

    assert shell.user_ns["value"] == "{name} $name %name"


def test_ipython_syntax_works_in_the_body(run, shell):
    result, _ = run("%%keras_spark\nhere = %pwd\nlist?")

    assert result.success
    assert isinstance(shell.user_ns["here"], str)


def test_a_traceback_shows_the_users_frames_with_their_lines(run):
    result, out = run("%%keras_spark\ndef divide(x):\n    return x / 0\n\ny = 1\ndivide(y)")

    assert isinstance(result.error_in_exec, ZeroDivisionError)
    assert "divide(y)" in out
    assert "return x / 0" in out
    assert out.rstrip().endswith("ZeroDivisionError: division by zero")
    assert out.count("ZeroDivisionError") == 2
    for ours in ("keras_spark", "magics.py", "body.py", "run_cell_magic", "interactiveshell"):
        assert ours not in out


def test_frames_of_nbkeras_between_the_users_frames_are_left_out(run, shell):
    # explain.name calls back into the user's object, as fit calls a callback.
    cell = (
        "from nbkeras.notebook.magic import explain\n"
        "class Word(str):\n"
        "    def startswith(self, start):\n"
        "        raise KeyError('mine')\n"
        "explain.name(Word())"
    )

    _, out = run(f"%%keras_spark\n{cell}")

    assert "raise KeyError('mine')" in out
    assert "explain.name(Word())" in out
    assert "explain.py" not in out


def test_the_cause_of_an_exception_is_shown_too(run):
    _, out = run(
        "%%keras_spark\ntry:\n    int('x')\nexcept ValueError as error:\n    raise OSError('no') from error"
    )

    assert "direct cause" in out
    assert out.index("ValueError") < out.index("OSError: no")


@pytest.mark.parametrize("body", ["x = = 1", "def f(:\n  pass", "if True:\nx = 1", "'", "x = 1\n  y = 2"])
def test_a_syntax_error_looks_as_in_an_ordinary_cell(run, body):
    _, ordinary = run(body)

    result, out = run(f"%%keras_spark\n{body}")

    assert not result.success
    assert out.splitlines()[1:] == ordinary.splitlines()[1:]  # the first names the cell


def test_an_await_at_top_level_is_a_short_error(run):
    result, out = run("%%keras_spark\nimport asyncio\nawait asyncio.sleep(0)")

    assert not result.success
    assert "SyntaxError: 'await' outside function" in out
    assert "magics.py" not in out


def test_our_errors_are_one_line(run, shell):
    shell.user_ns["DataError"] = DataError

    said = one_line(run, "%%keras_spark\nraise DataError('no rows')")

    assert said == "DataError: no rows"


def test_an_interrupt_of_the_body_is_shown_short(run):
    result, out = run("%%keras_spark\nraise KeyboardInterrupt")

    assert isinstance(result.error_in_exec, KeyboardInterrupt)
    assert "magics.py" not in out


def test_without_fit_the_assigned_compiled_model_is_trained(run, shell, api):
    shell.user_ns |= {"train": pd.DataFrame(), "test": pd.DataFrame(), "old": Model()}
    shell.user_ns["old"].compile()

    result, _ = run(
        "%%keras_spark --data train --label a,b --features x,y --validation test --epochs 3 --batch-size 64 "
        "--workers 2\nmodel = same = Model()\npart = Model()\nmodel.compile('adam')"
    )

    where, (_, model, data, arguments) = api.calls
    assert where == ("on_spark", {"workers": 2})
    assert model is shell.user_ns["model"]
    assert data is shell.user_ns["train"]
    assert arguments.pop("validation_data") is shell.user_ns["test"]
    assert arguments == {
        "y": ["a", "b"],
        "features": ["x", "y"],
        "epochs": 3,
        "batch_size": 64,
        "workers": 2,
    }
    assert result.result == "the run"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("1", "the cell assigns no model and calls no fit"),
        ("a = Model()", "a is not compiled; add a.compile(optimizer, loss)"),
        (
            "a = Model(); b = Model(); a.compile(); b.compile()",
            "several compiled models: a, b; call fit in it",
        ),
        ("a = Model(); a.compile(); a.fit()", "--data is for a cell that does not call fit"),
    ],
)
def test_without_fit_it_must_be_clear_which_model_is_meant(run, shell, body, message):
    shell.user_ns["train"] = pd.DataFrame()

    assert message in one_line(run, f"%%keras_spark --data train --label y\n{body}")


def test_a_fit_that_the_cell_does_not_show_is_noticed(run, shell, api):
    shell.user_ns["train"] = pd.DataFrame()
    api.fits = 1

    said = one_line(run, "%%keras_spark --data train --label y\nm = Model()\nm.compile()")

    assert "--data is for a cell that does not call fit" in said


def test_the_fit_of_something_else_is_no_training(run, shell, api):
    shell.user_ns["train"] = pd.DataFrame()

    run(
        "%%keras_spark --data train --label y\nfrom types import SimpleNamespace\n"
        "scaler = SimpleNamespace(fit=len)\nscaler.fit('rows')\nm = Model()\nm.compile()"
    )

    assert [call[0] for call in api.calls] == ["on_spark", "fit"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--wrokers 2", "OptionError: unknown option --wrokers; did you mean --workers?"),
        ("--wrokers=2", "OptionError: unknown option --wrokers; did you mean --workers?"),
        ("--qqq", "OptionError: unknown option --qqq; type one of: --workers, --background"),
        ("--work 2", "OptionError: unknown option --work; did you mean --workers?"),
        ("--workers 0", "OptionError: --workers: takes a whole number from 1, or auto; got '0'"),
        ("--workers -1", "OptionError: --workers: takes a whole number from 1, or auto; got '-1'"),
        ("--workers two", "OptionError: --workers: takes a whole number from 1, or auto; got 'two'"),
        ("--workers", "OptionError: --workers: expected one argument"),
        ("--epochs 1.5 --data train", "OptionError: --epochs: takes a whole number from 1; got '1.5'"),
        ("--heartbeat soon", "OptionError: --heartbeat: takes a number of seconds; got 'soon'"),
        ("--backend tensorfow", "OptionError: --backend: got 'tensorfow'; did you mean tensorflow?"),
        ("--name 'digits", "OptionError: a quote is not closed in: --name 'digits"),
        ("2", "OptionError: '2' is no option; options begin with --, such as --workers 2"),
        ("--workers 2 --help", "OptionError: --help stands alone; type %keras_spark help"),
        ("--label y", "OptionError: --label needs a DataFrame to train on: add --data NAME"),
        ("--workers $nothing", "OptionError: nothing has no value: NameError: name 'nothing' is not defined"),
        ("--workers {1/0}", "OptionError: 1/0 has no value: ZeroDivisionError: division by zero"),
        (
            "--data trian",
            "OptionError: --data trian: there is no such variable; the DataFrames are: train, other",
        ),
        ("--data train --validation tets", "OptionError: --validation tets: there is no such variable"),
    ],
)
def test_a_bad_option_is_one_line_and_the_body_does_not_run(run, shell, line, message):
    shell.user_ns |= {"train": pd.DataFrame(), "other": pd.DataFrame()}

    said = one_line(run, f"%%keras_spark {line}\nran = True")

    assert said.startswith(message)
    assert "ran" not in shell.user_ns


def test_an_option_takes_the_value_of_a_variable_or_an_expression(run, shell, api):
    shell.user_ns |= {"n": 2, "train": pd.DataFrame({"a": [1, 2]})}

    run(
        "%%keras_spark --workers $n --name='{str(n) + \"x\"}' --epochs {n*5} --data {train.head(1)}\n"
        "m = Model()\nm.compile()"
    )

    _, _, data, arguments = api.calls[-1]
    assert len(data) == 1
    assert arguments == {"workers": 2, "name": "2x", "epochs": 10}


def executed(code, **names):
    """Run explained code against the same stand-in and give its calls."""
    exec(compile(code, "explained", "exec"), names)  # noqa: S102  # that it runs is the test
    return names


def test_explain_prints_code_that_does_the_same_and_runs_nothing(run, shell, api, monkeypatch):
    monkeypatch.setattr(nbkeras, "on_spark", api.on_spark, raising=False)
    body = 'words = """a\n  b\n"""\nif True:\n    f = f"""{words}\n c"""\n\n# the end'

    _, out = run(f"%%keras_spark --workers 2 --name digits --explain\n{body}")

    assert api.calls == []
    assert "words" not in shell.user_ns
    names = executed(out)
    assert api.calls == [("on_spark", {"workers": 2, "name": "digits"})]
    assert names["f"] == "a\n  b\n\n c"


def test_explain_without_fit_prints_the_call_of_fit(run, shell, api, monkeypatch):
    monkeypatch.setattr(nbkeras, "fit", api.fit, raising=False)
    shell.user_ns["spark"] = SparkSession()

    _, out = run(
        "%%keras_spark --data train --validation {train[1:]} --label y --epochs 2 --explain\n"
        "net = Model()\nnet.compile('adam')"
    )

    assert out.splitlines()[-1] == (
        "run = nbkeras.fit(net, train, epochs=2, y='y', spark=spark, validation_data=train[1:])"
    )
    names = executed(out, Model=Model, train=[1, 2], spark="spark")
    assert api.calls == [
        ("fit", names["net"], [1, 2], {"epochs": 2, "y": "y", "spark": "spark", "validation_data": [2]})
    ]


@pytest.mark.parametrize("body", ["# nothing", "\n\n\n", "x = 1\\\n  + 2", "def f():\n\n    return '''\n'''"])
def test_explained_code_is_always_valid(run, body):
    _, out = run(f"%%keras_spark --explain\n{body}")

    ast.parse(out)


def complete(shell, text):
    with provisionalcompleter():
        found = shell.Completer.completions(text, len(text))
        return [completion.text for completion in found]


def test_options_are_completed_on_the_magics_line_only(shell):
    assert complete(shell, "%%keras_spark --ba") == ["--backend", "--background", "--batch-size"]
    assert complete(shell, "%%keras_spark --background --backg") == []
    assert "--workers" in complete(shell, "%%keras_spark --name digits ")
    assert complete(shell, "%%keras_spark --workers 2\nimpor") == ["import"]
    assert complete(shell, "%%keras_spark --workers 2\nx = --ba") == []


def test_values_are_completed_with_choices_dataframes_and_columns(shell):
    shell.user_ns |= {"train_df": pd.DataFrame({"pixels": [1], "label": [1]}), "trainer": 1}

    assert complete(shell, "%%keras_spark --backend ") == ["jax", "tensorflow", "torch"]
    assert complete(shell, "%%keras_spark --workers a") == ["auto"]
    assert complete(shell, "%%keras_spark --workers=a") == ["auto"]
    assert complete(shell, "%%keras_spark --data tr") == ["train_df"]
    assert complete(shell, "%%keras_spark --validation ") == ["train_df"]
    assert complete(shell, "%%keras_spark --data train_df --features pixels,la") == ["label"]
    assert complete(shell, "%keras_spark st") == ["status", "stop"]


def test_the_words_that_steer_are_completed_with_the_names_of_trainings_at_work(shell, api):
    assert complete(shell, "%keras_spark pa") == ["pause"]
    api.runs += [Run(name, model=None, epochs=1, workers=1) for name in ("first", "ended")]
    api.runs[1].end("finished")
    for words in ("stop", "pause", "resume", "learning_rate 0.1"):
        assert complete(shell, f"%keras_spark {words} ") == ["first"]
    for words in ("learning_rate", "build", "stop first"):
        assert "first" not in complete(shell, f"%keras_spark {words} ")


def test_the_help_explains_with_examples(run, shell):
    help_text = shell.find_cell_magic("keras_spark").__doc__

    for words in (
        "%%keras_spark --workers 2",
        "--explain",
        "model.fit(",
        "%keras_spark status",
        "--batch-size",
    ):
        assert words in help_text
    assert max(map(len, help_text.splitlines())) <= 100


def test_status_is_printed(run, shell, api):
    shell.user_ns["spark"] = session = SparkSession()

    _, out = run("%keras_spark status")

    assert out == "Spark 4 with 2 slots\n"
    assert api.calls == [("status", {"spark": session})]


def test_stop_stops_the_newest_run_or_the_one_named(run, api):
    api.runs += [Run(name, model=None, epochs=1, workers=1) for name in ("first", "second", "ended")]
    first, second, ended = api.runs
    ended.end("finished")

    _, out = run("%keras_spark stop")
    assert out == "Stopping second after the batch in work.\n"
    assert second.stopping.is_set()
    assert not first.stopping.is_set()
    _, out = run("%keras_spark stop first")
    assert first.stopping.is_set()
    assert one_line(run, "%keras_spark stop frist") == (
        "OptionError: no training named 'frist' is at work; did you mean first?"
    )


@pytest.mark.parametrize("words", ["stop", "pause", "resume", "learning_rate 0.1"])
def test_steering_with_nothing_at_work_says_so(run, words):
    _, out = run(f"%keras_spark {words}")

    assert out == "No training is at work.\n"


def test_pause_and_resume_take_a_name_too(run, api):
    api.runs += [Run(name, model=None, epochs=1, workers=1) for name in ("first", "run 2")]
    first, second = api.runs

    _, out = run("%keras_spark pause")
    assert out == "Pausing run 2 after the batch in work: %keras_spark resume goes on.\n"
    assert (first.pausing.is_set(), second.pausing.is_set()) == (False, True)
    run("%keras_spark pause first")
    _, out = run("%keras_spark resume 'run 2'")
    assert out == "run 2 goes on.\n"
    assert (first.pausing.is_set(), second.pausing.is_set()) == (True, False)
    assert one_line(run, "%keras_spark resume frist") == (
        "OptionError: no training named 'frist' is at work; did you mean first?"
    )


def test_learning_rate_takes_a_rate_and_a_name(run, api):
    api.runs += [Run(name, model=None, epochs=1, workers=1) for name in ("first", "second")]
    first, second = api.runs

    _, out = run("%keras_spark learning_rate 1e-4 first")
    assert out == "first takes the learning rate 0.0001 with its next batch.\n"
    assert (first.steering.rate.value, second.steering.rate) == (0.0001, None)
    assert one_line(run, "%keras_spark learning_rate") == (
        "OptionError: learning_rate: which? Type one, as in %keras_spark learning_rate 0.001"
    )
    assert one_line(run, "%keras_spark learning_rate fast") == (
        "OptionError: learning rate 'fast' is no positive number: type one such as 0.001"
    )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("go", "OptionError: unknown word 'go'; type one of: status, stop"),
        ("statsu", "OptionError: unknown word 'statsu'; did you mean status?"),
        (
            "--workers 2",
            "OptionError: --workers is an option of the cell magic: begin the cell with %%keras_spark",
        ),
    ],
)
def test_an_unknown_word_is_one_line(run, line, message):
    assert one_line(run, f"%keras_spark {line}").startswith(message)


@pytest.mark.parametrize("line", ["", "help", "--help"])
def test_help_is_printed_on_request_and_for_an_empty_line(run, line):
    _, out = run(f"%keras_spark {line}")
    assert out.startswith("usage: %%keras_spark [--workers N|auto]")
    if line:
        _, of_cell = run(f"%%keras_spark {line}\nraise ValueError")
        assert of_cell == out


def test_the_newest_builder_is_exported_however_it_was_opened(run, shell, monkeypatch):
    monkeypatch.setattr(Builder, "newest", None)
    monkeypatch.setattr(magics.hosts, "require_widgets", lambda: None)
    nothing = one_line(run, "%keras_spark export")
    assert nothing.endswith("build a network with %keras_spark build or nbkeras.Builder(df)")
    rows = Frame([(0.5, 0.7)], "a double, y double")
    shell.user_ns |= {"rows": rows, "Builder": Builder}

    for opening, name in [
        ("%keras_spark build rows", "rows"),
        ("opened = Builder(rows, 'again')", "again"),
        ("%keras_spark build rows", "rows"),
    ]:
        assert run(opening)[0].success
        assert run("%keras_spark export")[0].success
        assert f'model.fit({name}, y="y"' in shell.rl_next_input


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ({"row": Frame([], "a double")}, "there is no DataFrame of that name; the DataFrames are: row"),
        ({"row": pd.DataFrame()}, "there is no DataFrame of that name; the DataFrames are: row"),
        ({}, "there is no DataFrame of that name; there is no DataFrame by now"),
    ],
    ids=["another name", "pandas", "none"],
)
def test_what_cannot_be_built_for_is_told_with_what_there_is(run, shell, monkeypatch, names, words):
    monkeypatch.setattr(magics.hosts, "require_widgets", lambda: None)
    shell.user_ns |= names
    assert one_line(run, "%keras_spark build rows").startswith(f"OptionError: build rows: {words}")


def test_data_of_an_unknown_name_is_told_where_there_is_no_dataframe_at_all(run):
    said = one_line(run, "%%keras_spark --data rows --label y\nm = Model()")
    assert said == "OptionError: --data rows: there is no such variable, and no DataFrame at all"


def test_of_several_models_none_can_be_explained(run):
    cell = "a = Model()\nb = Model()\na.compile()\nb.compile()"
    said = one_line(run, f"%%keras_spark --data rows --label y --explain\n{cell}")
    assert said == "ModelError: the cell compiles several models: a, b; call fit in it"


@pytest.mark.parametrize(
    ("cell", "method"),
    [
        ("model.fit(df, y='y')", "fit"),
        ("def train():\n    model.fit(x=df, validation_split=0.1)\ntrain()", "fit"),
        ("model.fit([[1.0]], [[1.0]], validation_data=df, verbose=0)", "fit"),
        ("model.evaluate(df)", "evaluate"),
        ("model.predict(df)", "predict"),
    ],
)
def test_a_frame_outside_the_magic_has_a_sentence_below_keras_error(run, shell, cell, method):
    shell.user_ns |= {"model": compiled(), "df": Table("x double, y double")}

    result, out = run(cell)

    assert not result.success
    last = f"This is a Spark DataFrame: begin the cell with %%keras_spark, and {method} runs on Spark."
    assert out.splitlines()[-1] == last
    assert out.count("%%keras_spark") == 1


@pytest.mark.parametrize("cell", ["model.fit('df')", "model(df)", "df.fit", "1 / 0", "1"])
def test_other_errors_have_no_such_sentence(run, shell, cell):
    shell.user_ns |= {"model": compiled(), "df": Table("x double, y double")}

    assert "%%keras_spark" not in run(cell)[1]


def test_unregistering_leaves_nothing(shell):
    before = len(shell.Completer.custom_matchers)

    magics.unregister(shell)

    assert len(shell.Completer.custom_matchers) == before - 1
    assert shell.find_cell_magic("keras_spark") is None
    assert shell.find_line_magic("keras_spark") is None
    assert shell.events.callbacks["post_run_cell"] == []
    magics.unregister(shell)


def test_registering_imports_nothing_heavy():
    code = """
import sys
from types import SimpleNamespace
from IPython.core.interactiveshell import InteractiveShell
before = set(sys.modules)
from nbkeras.notebook.magic import magics
magics.register(InteractiveShell())
heavy = {"tensorflow", "keras", "pyspark", "matplotlib", "anywidget", "ipywidgets", "pandas", "numpy"}
print(sorted(heavy & (set(sys.modules) - before)))
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)

    assert done.stdout == "[]\n"
