"""Executors whose Python is not as it should be, on a real cluster, and what a newcomer reads then."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import fetched
import pytest
from standalone import SETTINGS, environment

#: An executor, and four Pythons: test_bad_input.py has two such Pythons on a local Spark in every run.
pytestmark = [pytest.mark.cluster, pytest.mark.soak]

_NOTEBOOK = """
import json, os, sys, time
import keras, numpy as np, nbkeras
from nbkeras.spark import cluster
from pyspark.sql import SparkSession

master, settings, pythons = sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])
x, y = np.ones((8, 2)), np.ones(8)
pictures = keras.Sequential([keras.Input((2, 2, 3)), keras.layers.Flatten(), keras.layers.Dense(1)])
pictures.compile("sgd", "mse")
model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
model.compile("sgd", "mse")

def outcome(call):
    try:
        call()
    except Exception as error:
        return type(error).__name__, str(error)
    return "none", ""

builder = SparkSession.builder.master(master)
for key, value in settings.items():
    builder = builder.config(key, value)
spark = builder.getOrCreate()
spark.sparkContext.setLogLevel("OFF")
found = {}
for name, python in pythons.items():
    spark.sparkContext.pythonExec = python  # what Spark takes from PYSPARK_PYTHON when it starts
    if name == "no pillow":
        df = spark.createDataFrame([(b"a file", 1.0)], "image binary, y double")
        found[name] = {"images": outcome(lambda: nbkeras.fit(pictures, df, "y", verbose=0, spark=spark))}
        found[name]["predicted"] = outcome(lambda: nbkeras.predict(pictures, df).collect())
        continue
    found[name] = {"fit": outcome(lambda: nbkeras.fit(model, x, y, verbose=0, workers=2, spark=spark))}
    while cluster.slots(spark) < 2:
        time.sleep(0.1)  # the executor comes when it has started
    found[name]["status"] = nbkeras.status(spark)
    if name != "old keras":
        found[name]["predict"] = outcome(lambda: nbkeras.predict(model, np.repeat(x, 1100, 0), spark=spark))
"""


#: What is wrong with the Pythons of executors, in every run and in the soak; each of both takes a Spark.
ALWAYS = pytest.param(("another", "no backend", "no pillow"), id="always")
RARELY = pytest.param(("no keras", "old keras"), id="rarely", marks=pytest.mark.soak)
always = pytest.mark.parametrize("pythons", [ALWAYS], indirect=True, scope="module")
each = pytest.mark.parametrize("pythons", [ALWAYS, RARELY], indirect=True, scope="module")


@pytest.fixture(scope="module")
def pythons(request, tmp_path_factory, overlay):
    """Pythons that executors may have, by what is wrong with them."""
    folder = tmp_path_factory.mktemp("pythons")
    make = {
        "another": lambda: _another_version(folder),
        "no keras": lambda: environment(folder / "no-keras", without=("nbkeras", "keras")),
        "no backend": lambda: environment(folder / "no-backend", without=("nbkeras", "tensorflow")),
        "old keras": lambda: _old_keras(folder, overlay),
        "no pillow": lambda: environment(folder / "no-pillow", without=("nbkeras", "PIL", "pillow")),
    }
    return {name: str(make[name]()) for name in request.param}


def _old_keras(folder, overlay):
    python = environment(folder / "old", without=("nbkeras", "keras"))
    place = next(python.parents[1].glob("lib/python*/site-packages"))
    for entry in overlay("keras", fetched.OLD_KERAS).glob("keras*"):
        (place / entry.name).symlink_to(entry)
    return python


def _another_version(folder):
    """A Python of another minor version that is on this machine, or one that says it is."""
    places = [Path("/usr/bin"), Path("/usr/local/bin"), *Path.home().glob(".pyenv/versions/*/bin")]
    for place in places:
        for python in place.glob("python3.[0-9]*"):
            minor = python.name.removeprefix("python3.")
            if minor.isdigit() and int(minor) != sys.version_info.minor:
                return python
    python = environment(folder / "another")
    (site,) = python.parents[1].glob("lib/python*/site-packages")
    (site / "sitecustomize.py").write_text('import sys\nsys.version_info = (3, 8, 20, "final", 0)\n')
    return python


@pytest.fixture(scope="module")
def found(cluster, notebook, pythons):
    """What fit, predict and status answer there, with one executor."""
    settings = SETTINGS | {"spark.cores.max": "2"}
    return notebook.run(_NOTEBOOK, cluster.url, json.dumps(settings), json.dumps(pythons))


def said(found, name, call):
    kind, line = found[name][call]
    assert kind in {"ClusterError", "TrainingError"}, line
    assert "\n" not in line
    assert len(line) < 700
    return line


@each
def test_a_training_names_the_host_the_python_and_what_to_type(found, pythons):
    for name, words in {
        "another": ["is not of the notebook's version", "set PYSPARK_PYTHON (or spark.pyspark.python)"],
        "no keras": ["has no keras:", "-m pip install keras)"],
        "no backend": ["has no tensorflow:", "-m pip install tensorflow)"],
        "old keras": ["has keras 3.10.0, but needs keras==", "-m pip install 'keras=="],
    }.items():
        if name in pythons:
            line = said(found, name, "fit")
            assert line.startswith("the Python of the executor on ")
            assert [word for word in [pythons[name], *words] if word not in line] == []


@always
def test_images_need_pillow(found, pythons):
    line = said(found, "no pillow", "images")
    assert f"{pythons['no pillow']} " in line
    assert "has no pillow: install it there" in line
    assert "-m pip install pillow)" in line
    assert "has no pillow" in found["no pillow"]["predicted"][1]


@each
def test_predict_that_spark_runs_later_names_the_cause_too(found):
    for name, words in {
        "another": ["executor", "set PYSPARK_PYTHON"],
        "no keras": ["has no keras"],
        "no backend": ["has no tensorflow"],
    }.items():
        if name in found:
            line = said(found, name, "predict")
            assert [word for word in words if word not in line] == []


@each
def test_status_tells_what_each_executor_has_whatever_its_python(found, pythons):
    for name, words in {
        "another": "keras is missing",
        "no keras": "keras is missing, tensorflow 2.",
        "no backend": "tensorflow is missing",
        "old keras": "keras 3.10.0, tensorflow 2.",
    }.items():
        if name in pythons:
            lines = found[name]["status"].splitlines()
            assert lines[0].startswith("Spark ")
            assert lines[0].endswith(" 2 slots")
            assert lines[1].startswith(f"notebook: Python {sys.version_info.major}.{sys.version_info.minor}.")
            assert lines[2].startswith("executor on ")
            assert words in lines[2]
            assert f" at {pythons[name]}, " in lines[2]
