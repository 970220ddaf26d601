"""What cannot be trained is refused in one line that says what was wrong, what came, and what to type."""

from __future__ import annotations

import contextlib
import importlib
import os
import subprocess
import sys
import textwrap
import threading
import time
import types
import zipfile
from pathlib import Path

import keras
import kernel
import numpy as np
import pandas as pd
import pytest
from waiting import LIMIT

import nbkeras
from nbkeras.errors import ClusterError, DataError, ModelError, OptionError, TrainingError
from nbkeras.notebook.magic.parser import Parser
from nbkeras.plan import Plan
from nbkeras.schema import Schema
from nbkeras.spark import cluster

NOTEBOOK = os.getpid()
ROWS = 12


pytestmark = pytest.mark.usefixtures("any_backend", "as_in_a_notebook")


@pytest.fixture(scope="module")
def table(spark):
    """Two number columns, the same as an array, and whole-number labels of three classes."""
    rows = [(float(i), float(i * i % 7), [float(i), 1.0], i % 3) for i in range(ROWS)]
    return spark.createDataFrame(rows, "a double, b double, both array<double>, label int").cache()


@pytest.fixture
def numbers(table):
    return table.select("a", "b", "label")


@pytest.fixture
def no_job(spark):
    """What is refused in this test has cost Spark nothing."""

    def jobs():
        return spark.sparkContext._jsc.sc().dagScheduler().numTotalJobs()

    before = jobs()
    yield
    assert jobs() == before


@contextlib.contextmanager
def refused(kind, *words):
    """The block raises one line of this kind, with all these words."""
    with pytest.raises(kind) as caught:
        yield caught
    message = str(caught.value)
    assert type(caught.value) is kind
    assert "\n" not in message
    assert len(message) < 700, message
    assert [word for word in words if word not in message] == [], message


def net(*layers, inputs=2, units=3, loss="sparse_categorical_crossentropy", **how):
    last = keras.layers.Dense(units, activation="softmax" if units > 1 else None)
    model = keras.Sequential([keras.Input((inputs,), name="point"), *layers, last])
    model.compile("sgd", loss, **how)
    return model


def fit(model, data, y="label", **how):
    return nbkeras.fit(model, data, y, **{"verbose": 0, "workers": 1, **how})


def works(spark, numbers):
    """A training as it should be."""
    model = net(loss="sparse_categorical_crossentropy")
    before = model.get_weights()[0]
    run = fit(model, numbers, epochs=2, spark=spark)
    assert run.status == "finished"
    assert len(run.history["loss"]) == 2
    assert np.abs(model.get_weights()[0] - before).max() > 0
    return True


# -- columns ---------------------------------------------------------------------------------------


def test_a_wrong_label_name_is_answered_with_the_nearest_one(numbers, no_job):
    with refused(DataError, "label column 'lable'", "did you mean 'label'?", "a double, b double, label int"):
        fit(net(), numbers, "lable")


def test_arrays_of_another_length_than_the_model_takes_name_both_lengths(table):
    with refused(DataError, "model input 'point' takes shape (3,)", "column 'both'", "(2,)"):
        fit(net(inputs=3), table.select("both", "label"))


@pytest.mark.soak  # test_kinds.py has it
def test_arrays_of_several_lengths_name_the_column_and_the_lengths(spark):
    df = spark.createDataFrame([([1.0, 2.0], 0), ([1.0, 2.0, 3.0], 1)], "v array<double>, label int")
    with refused(DataError, "column 'v'", "2 to 3 values", "one length: cut or pad them"):
        fit(net(), df)


@pytest.mark.soak  # test_kinds.py has it
def test_an_empty_array_column_is_refused(spark):
    df = spark.createDataFrame([([], 0), ([], 1)], "v array<double>, label int")
    with refused(DataError, "'point'", "(2,)", "column 'v'", "(0,)"):
        fit(net(), df)


@pytest.mark.soak  # the next counts those of several workers
def test_nulls_in_a_column_are_counted(spark):
    rows = [(1.0, None if i % 3 == 0 else 2.0, i % 3) for i in range(ROWS)]
    df = spark.createDataFrame(rows, "a double, b double, label int")
    with refused(DataError, "column 'b' holds 4 nulls", "drop these rows (dropna"):
        fit(net(), df)


def test_nulls_of_several_workers_among_labels_and_validation_rows_are_added_up(spark):
    rows = [
        (None if i % 2 else 1.0, None if i % 3 == 0 else 2.0, None if i == 5 else i % 3) for i in range(ROWS)
    ]
    df = spark.createDataFrame(rows, "a double, b double, label int")
    held = spark.createDataFrame([(None, 1.0, 0), (1.0, 1.0, 1)], "a double, b double, label int")
    counted = ["column 'a' holds 6 nulls", "column 'b' holds 4 nulls", "column 'label' holds 1 null:"]
    held_out = "column 'a' of the validation rows holds 1 null: drop these rows (dropna"
    with refused(DataError, *counted, held_out):
        fit(net(), df, workers=2, validation_data=held)


@pytest.mark.soak  # as above
def test_nulls_among_labels_are_counted(spark):
    rows = [(1.0, 2.0, None if i == 3 else 1) for i in range(ROWS)]
    df = spark.createDataFrame(rows, "a double, b double, label int")
    with refused(DataError, "column 'label' holds 1 null:", "dropna"):
        fit(net(), df)


@pytest.mark.soak  # test_kinds.py has it
def test_arrays_that_are_null_are_counted(spark):
    df = spark.createDataFrame([([1.0, 2.0], 0), (None, 1), (None, 1)], "v array<double>, label int")
    with refused(DataError, "column 'v' holds 2 nulls", "dropna"):
        fit(net(), df)


def test_arrays_with_a_null_among_their_entries_are_counted(spark):
    df = spark.createDataFrame(
        [([1.0, 2.0], 0), ([None, None], 1), ([1.0, None], 1)], "v array<double>, label int"
    )
    whole = "forall(`v`, one -> one is not null)"
    said = "column 'v' holds 2 arrays with nulls inside"
    with refused(DataError, said, f'df.filter("{whole}")'):
        fit(net(), df)
    assert df.filter(whole).count() == 1


@pytest.mark.soak  # as above
def test_nulls_among_validation_rows_are_counted(spark, numbers):
    held = spark.createDataFrame([(None, 1.0, 0), (1.0, 1.0, 1)], "a double, b double, label int")
    with refused(DataError, "column 'a' of the validation rows holds 1 null:"):
        fit(net(), numbers, validation_data=held)


def test_a_data_frame_without_rows_is_refused(numbers):
    with refused(DataError, "no rows", "it is empty"):
        fit(net(), numbers.limit(0))


def test_validation_data_without_rows_is_refused(numbers):
    with refused(DataError, "validation", "no rows"):
        fit(net(), numbers, validation_data=numbers.limit(0))


def test_negative_weights_are_keras_own_business(spark, numbers):
    df = numbers.withColumn("weight", numbers.a - 5)
    assert fit(net(), df, sample_weight="weight").status == "finished"


@pytest.mark.soak  # another follows below
def test_the_next_training_works_after_bad_columns(spark, numbers):
    assert works(spark, numbers)


# -- arrays ------------------------------------------------------------------------------------------


def test_arrays_of_another_width_than_the_model_takes_name_both(no_job):
    with refused(DataError, "'point' of shape (2,)", "x has shape (5, 4)"):
        fit(net(), np.ones((5, 4)), np.zeros(5))


def test_a_pandas_frame_with_text_is_refused(no_job):
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"], "label": [0, 1]})
    with refused(DataError, "column 'b' is string", "remove the column"):
        fit(net(), frame)


# -- models and options --------------------------------------------------------------------------------


def test_a_model_that_is_not_compiled_is_refused_with_what_to_type(numbers, no_job):
    with refused(ModelError, "not compiled", "model.compile(optimizer, loss)"):
        fit(keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]), numbers)


@pytest.mark.parametrize("thing", [None, "model", keras.layers.Dense(1)])
def test_an_object_that_is_not_a_model_is_named_by_its_type(numbers, no_job, thing):
    with refused(ModelError, "keras.Model", type(thing).__name__):
        fit(thing, numbers)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--wrokers 2", ["unknown option --wrokers", "did you mean --workers?"]),
        ("--workers 0", ["--workers", "whole number from 1", "'0'"]),
        ("--workers two", ["--workers", "whole number from 1, or auto", "'two'"]),
        ("--data df --label y --epochs 0", ["--epochs", "whole number from 1", "'0'"]),
        ("--data df --label y --epochs -1", ["--epochs"]),
        ("--data df --label y --epochs abc", ["--epochs", "whole number from 1", "'abc'"]),
        ("--data df --label y --batch-size 0", ["--batch-size", "whole number from 1", "'0'"]),
        ("--backend tensorflwo", ["--backend", "did you mean tensorflow?"]),
        ("--label y", ["--label needs a DataFrame", "add --data NAME"]),
        ("train_df", ["'train_df' is no option", "--workers 2"]),
    ],
)
def test_an_option_that_cannot_be_names_itself_and_what_it_takes(line, words):
    with refused(OptionError, *words):
        Parser().parse(line)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0),
        ("epochs", -1),
        ("epochs", "abc"),
        ("batch_size", 0),
        ("batch_size", 2.5),
        ("workers", 0),
        ("workers", "two"),
        ("validation_batch_size", 0),
        ("validation_freq", 0),
        ("initial_epoch", -1),
        ("initial_epoch", 1),
        ("class_weight", [1.0, 2.0]),
    ],
)
def test_an_argument_that_cannot_be_names_itself_and_what_it_takes(name, value):
    with refused(OptionError, f"{name}=", repr(value)):
        Plan(Schema(), **{name: value})


@pytest.mark.parametrize(
    ("name", "value"), [("epochs", 0), ("workers", "two"), ("validation_split", 1.5), ("seed", "x")]
)
def test_an_argument_that_cannot_be_is_refused_before_anything_is_submitted(numbers, no_job, name, value):
    with refused(OptionError, f"{name}=", repr(value)):
        fit(net(), numbers, **{name: value})


def test_more_workers_than_slots_are_refused_at_once_with_the_number_of_slots(numbers, no_job, monkeypatch):
    waits = types.SimpleNamespace(monotonic=time.monotonic, sleep=lambda _: pytest.fail("it waits for slots"))
    monkeypatch.setattr(cluster, "time", waits)
    with refused(ClusterError, "99 workers need 99 task slots", "has 3", "--workers 3 or fewer"):
        fit(net(), numbers, workers=99)


@pytest.mark.parametrize(
    ("method", "takes"), [("fit", "epochs, "), ("evaluate", "batch_size, "), ("predict", "steps, ")]
)
def test_an_unknown_argument_is_refused_with_the_names_of_the_known_ones(numbers, no_job, method, takes):
    said = f"{method} got an unexpected keyword argument 'bogus': it takes x, "
    with nbkeras.on_spark(), refused(OptionError, said, takes):
        getattr(net(), method)(numbers, bogus=1)


@pytest.mark.parametrize("name", ["steps_per_epoch", "validation_steps"])
def test_an_invalid_number_of_steps_is_refused(numbers, no_job, name):
    with nbkeras.on_spark(), refused(OptionError, f"{name}=0", "whole number from 1"):
        net().fit(numbers, y="label", **{name: 0})


def test_a_callback_must_be_one(numbers, no_job):
    with refused(OptionError, "callbacks", "object", "keras.callbacks.Callback"):
        fit(net(), numbers, callbacks=[object()])


def test_a_callback_class_is_not_a_callback(numbers, no_job):
    with refused(OptionError, "EarlyStopping", "keras.callbacks.Callback"):
        fit(net(), numbers, callbacks=[keras.callbacks.EarlyStopping])


def test_a_callback_that_raises_keeps_its_traceback(numbers):
    def boom(epoch, logs):
        return logs["no such metric"]

    with refused(TrainingError, "in a callback", "KeyError", "no such metric") as caught:
        fit(net(), numbers, callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=boom)])
    assert 'return logs["no such metric"]' in caught.value.worker_traceback


def test_an_unknown_backend_is_refused(numbers, no_job):
    with refused(OptionError, "backend='numpy'", "'tensorflow', 'torch', 'jax'"):
        fit(net(), numbers, backend="numpy")


def test_a_notebook_on_a_backend_that_cannot_train_is_refused_with_how_to_restart(
    numbers, no_job, monkeypatch
):
    monkeypatch.setattr(keras.config, "backend", lambda: "openvino")

    with refused(ModelError, "Keras runs on openvino in this notebook", "KERAS_BACKEND=tensorflow"):
        fit(net(), numbers)


def test_a_backend_that_is_not_installed_is_told_with_what_to_type_before_anything_is_sent(
    numbers, no_job, monkeypatch
):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "torch" else found(name))

    with refused(ClusterError, "torch is not installed", "pip install torch"):
        fit(net(), numbers, backend="torch")


def test_an_object_that_is_not_a_session_is_refused(numbers, no_job):
    with refused(ClusterError, "spark='local'", "not a SparkSession", "omit it"):
        fit(net(), numbers, spark="local")


@pytest.mark.soak  # another follows below
def test_the_next_training_works_after_bad_models_and_options(spark, numbers):
    assert works(spark, numbers)


# -- what several workers would train wrongly ------------------------------------------------------------


class OwnLoss(keras.Sequential):
    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return keras.ops.mean(y_pred)


def own_loss():
    model = OwnLoss([keras.Input((2, 1)), keras.layers.Masking(), keras.layers.LSTM(3)])
    model.compile("sgd")
    return model


class MadeLate(keras.Model):
    """Makes its layers when it is built."""

    def build(self, shape):
        self.inner = own_loss()
        super().build(shape)

    def call(self, x):
        return self.inner(keras.ops.expand_dims(x, -1))

    compute_loss = OwnLoss.compute_loss


def made_late():
    model = MadeLate()
    model.compile("sgd")
    return model


class Scalar(keras.losses.Loss):
    def __call__(self, y, predicted, sample_weight=None):
        return keras.ops.mean(predicted)


def masked():
    layers = [keras.layers.Masking(), keras.layers.LSTM(3, return_sequences=True)]
    model = keras.Sequential([keras.Input((2, 1)), *layers])
    model.compile("sgd", Scalar())
    return model


def spread(y, predicted):
    return keras.ops.std(predicted)


class Highest(keras.metrics.Metric):
    def __init__(self):
        super().__init__(name="highest")
        self.value = self.add_weight(initializer="zeros", name="value")

    def update_state(self, y, predicted, sample_weight=None):
        self.value.assign(keras.ops.maximum(self.value, keras.ops.max(predicted)))

    def result(self):
        return self.value


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (own_loss, ["OwnLoss", "compute_loss", "layer 'masking", "masks"]),
        (made_late, ["MadeLate", "compute_loss", "layer 'masking", "masks"]),
        (masked, ["loss 'scalar'", "masks"]),
        (lambda: net(metrics=[spread]), ["metric 'spread'", "leave it out"]),
        (lambda: net(metrics=[Highest()]), ["metric 'highest'", "leave it out"]),
    ],
    ids=[
        "own loss of masked steps",
        "layers made late",
        "one number for masked steps",
        "coupled rows",
        "a highest value",
    ],
)
def test_what_does_not_add_up_over_several_workers_is_sent_to_one(numbers, model, words):
    with refused(ModelError, *words, "use --workers 1"):
        fit(model(), numbers, workers=2)


@keras.saving.register_keras_serializable()
def coupled_loss(y, predicted):
    return keras.ops.std(predicted) + keras.ops.mean(keras.ops.square(predicted), axis=-1)


def test_a_loss_that_couples_rows_is_sent_to_one_worker(numbers):
    with refused(ModelError, "mean", "use --workers 1"):
        fit(net(loss=coupled_loss), numbers, workers=2)


# -- what fails on a worker ------------------------------------------------------------------------------


class FailsElsewhere(keras.layers.Layer):
    def call(self, x):
        if os.getpid() != NOTEBOOK:
            raise ValueError("the scale\nof this layer is missing")
        return x


def test_a_layer_that_raises_on_the_worker_keeps_its_traceback_and_names_the_worker(numbers):
    with refused(TrainingError, "on worker 0", "ValueError", "the scale of this layer is missing") as caught:
        fit(net(FailsElsewhere()), numbers)
    shown = caught.value.worker_traceback
    assert 'raise ValueError("the scale\\nof this layer is missing")' in shown
    assert "in call" in shown
    assert "site-packages" not in shown
    assert caught.value._render_traceback_()[-1].startswith("TrainingError: on worker 0")


def test_a_layer_that_raises_on_two_workers_is_reported_once(numbers):
    with refused(TrainingError, "on worker ", "ValueError", "the scale of this layer is missing"):
        fit(net(FailsElsewhere()), numbers, workers=2)


class NoMetric(keras.metrics.Metric):
    def update_state(self, y_true, y_pred, sample_weight=None):
        raise ZeroDivisionError("nothing to count")

    def result(self):
        return 0.0


class Tells(keras.layers.Layer):
    loaded = None

    def call(self, x):
        if os.getpid() != NOTEBOOK:
            names = {"jax", "matplotlib", "sklearn"}
            if self.loaded is None:  # a step that cannot be traced is traced again on the first batch
                Tells.loaded = {*names, "nbkeras.api", "nbkeras.builder", "nbkeras.notebook"} & set(
                    sys.modules
                )
            found = [importlib.import_module(name).__name__ for name in sorted(names)]
            raise ValueError(f"loaded: {self.loaded}; found: {found}")
        return x


def test_what_is_for_notebooks_is_not_loaded_on_a_worker_but_can_be_imported_there(numbers):
    with refused(TrainingError, "loaded: set(); found: ['jax', 'matplotlib', 'sklearn']"):
        fit(net(Tells()), numbers, backend="tensorflow")


def test_a_metric_that_raises_is_named_with_its_line(numbers):
    with refused(TrainingError, "on worker 0", "ZeroDivisionError", "nothing to count") as caught:
        fit(net(metrics=[NoMetric()]), numbers)
    assert "in update_state" in caught.value.worker_traceback


def test_a_loss_that_is_nan_does_not_end_the_training_and_is_noted(numbers):
    model = net()
    model.optimizer.learning_rate = 1e38
    run = fit(model, numbers, epochs=4)
    assert run.status == "finished"
    assert len(run.history["loss"]) == 4
    assert np.isnan(run.history["loss"][-1])
    first = int(np.flatnonzero(~np.isfinite(run.history["loss"]))[0]) + 1
    (note,) = [one for one in run.notes if "loss" in one]
    assert "\n" not in note
    assert f"epoch {first}" in note
    assert "learning rate" in note
    assert note.endswith("; TerminateOnNaN() in the callbacks stops there")


class Holder(keras.layers.Layer):
    def __init__(self):
        super().__init__()
        self.guard = threading.Lock()

    def call(self, x):
        return x


def test_a_lock_in_a_layer_cannot_travel(numbers):
    with refused(ModelError, "lock", "Holder", "keep locks"):
        fit(net(Holder()), numbers)


def test_a_layer_of_a_file_that_workers_do_not_have_says_how_to_ship_it(numbers, monkeypatch):
    module = types.ModuleType("layers_of_mine")
    source = "import keras\nclass Twice(keras.layers.Layer):\n    def call(self, x):\n        return x + x\n"
    exec(source, module.__dict__)  # noqa: S102  # as importing the file would
    monkeypatch.setitem(sys.modules, "layers_of_mine", module)
    with refused(TrainingError, "on worker 0", "layers_of_mine", "addPyFile"):
        fit(net(module.Twice()), numbers)


def test_a_layer_of_an_archive_that_was_shipped_since_the_last_training_is_found(
    spark, numbers, tmp_path, monkeypatch
):
    works(spark, numbers)
    archive = tmp_path / "shipped_since.zip"
    source = "import keras\nclass Twice(keras.layers.Layer):\n    def call(self, x):\n        return x + x\n"
    with zipfile.ZipFile(archive, "w") as bundle:
        bundle.writestr("shipped_since.py", source)
    monkeypatch.syspath_prepend(str(archive))
    spark.sparkContext.addPyFile(str(archive))
    module = importlib.import_module("shipped_since")
    assert fit(net(module.Twice()), numbers).status == "finished"


def test_a_data_frame_that_cannot_be_computed_is_refused_with_the_cause(spark, numbers):
    from pyspark.sql import functions as F

    divide = F.udf(lambda a: a / 0, "double")
    with refused(ClusterError, "ZeroDivisionError: float division by zero", "columns of the DataFrame"):
        fit(net(), numbers.withColumn("a", divide("a")))


def test_a_data_frame_that_spark_cannot_compute_is_refused_with_the_cause(spark, numbers):
    from pyspark.sql import functions as F

    with refused(ClusterError, "DIVIDE_BY_ZERO"):
        fit(net(), numbers.withColumn("a", F.expr("1 / (label - label)").cast("double")))


def test_the_next_training_works_after_failures_on_workers(spark, numbers):
    assert works(spark, numbers)


# -- other machines ----------------------------------------------------------------------------------------


_NO_JAVA = """
import jdk
def install(*_, **__):
    raise OSError("the network is down")
jdk.install = install
"""


def test_without_java_one_line_names_the_commands_that_install_it(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(_NO_JAVA)
    script = """
        import nbkeras
        from nbkeras.spark import java
        java._USUAL_PLACES = ()
        try:
            nbkeras.status()
        except nbkeras.errors.ClusterError as error:
            print("REFUSED", error)
    """
    environment = {
        **os.environ,
        "PATH": "",
        "JAVA_HOME": "",
        "HOME": str(tmp_path),
        "PYTHONPATH": str(tmp_path),
    }
    environment.pop("CONDA_PREFIX", None)
    done = subprocess.run(
        [sys.executable, "-c", "import nbkeras.errors\n" + textwrap.dedent(script)],
        check=False,
        capture_output=True,
        text=True,
        env=environment,
        cwd=Path(__file__).parents[1],
        timeout=LIMIT,
    )
    (line,) = [one for one in done.stdout.splitlines() if one.startswith("REFUSED")]
    assert "Spark needs Java 17" in line
    assert "the network is down" in line
    assert [command for command in ("apt-get", "brew", "conda") if f"{command} install" not in line] == []


_ELSEWHERE = """
import json, os, sys
import keras, numpy as np, nbkeras
from nbkeras.spark import java
from pyspark.sql import SparkSession

java.ensure()

def session(python):
    os.environ["PYSPARK_PYTHON"] = python
    builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
    builder = builder.config("spark.driver.host", "127.0.0.1").config("spark.driver.bindAddress", "127.0.0.1")
    builder = builder.config("spark.ui.showConsoleProgress", "false")
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("OFF")
    return spark

class Fails(keras.layers.Layer):
    here = os.getpid()
    def call(self, x):
        if os.getpid() != self.here:
            raise ValueError("no scale")
        return x

def outcome(spark, *layers, workers=1, x=np.ones((8, 2)), y=np.ones(8)):
    model = keras.Sequential([keras.Input((2,)), *layers, keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    before = jobs(spark)
    try:
        run = nbkeras.fit(model, x, y, verbose=0, workers=workers, spark=spark)
        kind, line = "fit", run.status
    except Exception as error:
        kind, line = type(error).__name__, str(error)
    return kind, line, jobs(spark) - before

def jobs(spark):
    context = spark.sparkContext._jsc
    return context.sc().dagScheduler().numTotalJobs() if context else 0

found = {}
spark = session("/no/such/python")
found["no python"] = outcome(spark)
spark.stop()
spark = session(sys.argv[1])
found["no keras"] = outcome(spark)
old = spark.range(8).selectExpr("id + 1.5 AS a", "id + 2.5 AS b", "id AS label")
spark.stop()
found["stopped"] = outcome(spark)
spark = session(sys.executable)
found["stale"] = outcome(spark, x=old, y="label")
found["good"] = outcome(spark)
spark.sparkContext.setLogLevel("ERROR")  # as nbkeras.local_spark does
print("FROM HERE", file=sys.stderr, flush=True)
found["layer"] = outcome(spark, Fails(), workers=2)
print("TO HERE", file=sys.stderr, flush=True)
spark.stop()
"""


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """What fit answers where the executors lack something: error or 'fit', its line, and Spark's jobs."""
    bare = tmp_path_factory.mktemp("bare")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", bare], check=True)
    (theirs,) = bare.glob("lib/python*/site-packages")
    ours = Path(np.__file__).parents[1]
    for name in ("pyspark", "py4j", "pyarrow", "pandas", "numpy", "numpy.libs", "pytz", "six.py", "tzdata"):
        if (ours / name).exists():
            (theirs / name).symlink_to(ours / name)
    (theirs / "dateutil").symlink_to(ours / "dateutil")
    for metadata in [*ours.glob("pandas-*"), *ours.glob("pyarrow-*"), *ours.glob("numpy-*")]:
        (theirs / metadata.name).symlink_to(metadata)
    found, stderr = kernel.run(_ELSEWHERE, bare / "bin" / "python", timeout=LIMIT * 2)
    logged = stderr.partition("FROM HERE\n")[2].partition("TO HERE\n")[0]
    return {"logged": logged, **found}


@pytest.mark.parametrize(
    ("where", "asked", "words"),
    [
        ("no python", 1, ["/no/such/python", "PYSPARK_PYTHON"]),
        ("no keras", 1, ["has no keras", "bin/python -m pip install keras", "tensorflow"]),
        ("stopped", 0, ["Spark session was stopped", "nbkeras.local_spark()"]),
        ("stale", 0, ["the DataFrame is of a Spark session that was stopped", "create it again"]),
    ],
)
def test_what_a_cluster_lacks_is_reported_in_one_line(elsewhere, where, asked, words):
    kind, line, jobs = elsewhere[where]
    assert kind == "ClusterError", line
    assert "\n" not in line
    assert len(line) < 700
    assert [word for word in words if word not in line] == [], line
    assert jobs == asked  # the executors were asked, and no training was begun


def test_a_failure_on_a_worker_is_not_reported_again_by_spark(elsewhere):
    kind, line, _ = elsewhere["layer"]
    assert kind == "TrainingError"
    assert "no scale" in line
    assert "\x1b" not in line
    assert elsewhere["logged"] == ""


def test_the_next_training_works_after_a_cluster_that_lacked_something(elsewhere):
    assert elsewhere["good"][:2] == ["fit", "finished"]
