"""GPUs that Spark hands out, by a discovery script that names some: this machine has none."""

from __future__ import annotations

import json
import os

import keras
import kernel
import numpy as np
import pytest
from connectserver import ConnectServer
from standalone import SETTINGS, Cluster, environment

import nbkeras
from nbkeras import devices
from nbkeras.errors import ClusterError, OptionError

EXECUTORS = SETTINGS | {"spark.executor.resource.gpu.amount": "2"}

_NOTEBOOK = """
import json, os, sys, time
from pathlib import Path
import keras, numpy as np, nbkeras
from nbkeras.engine.spark import cluster
from pyspark.sql import SparkSession

master, os.environ["PYSPARK_PYTHON"], settings, folder, calls = sys.argv[1:]
builder = SparkSession.builder
if master.startswith("sc:"):
    builder = builder.remote(master)
else:
    builder = builder.master(master)
    for key, value in json.loads(settings).items():
        builder = builder.config(key, value)
spark = builder.getOrCreate()
while cluster.slots(spark) < 4:
    time.sleep(0.1)  # executors come when they have started
x = np.random.default_rng(0).normal(size=(60, 3)).astype("float32")
home = os.getpid()

class Looks(keras.layers.Layer):
    def call(self, x):
        if os.getpid() != home:
            (Path(folder) / str(os.getpid())).write_text(os.environ.get("CUDA_VISIBLE_DEVICES", "all"))
        return x

def net():
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((3,)), Looks(), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    return model

def outcome(method, **how):
    for old in Path(folder).iterdir():
        old.unlink()
    model = net()
    try:
        if method == "predict":
            nbkeras.predict(model, x, spark=spark)
            same = True
        else:
            run = nbkeras.fit(model, x, x.sum(axis=1), shuffle=False, epochs=2, verbose=0, spark=spark, **how)
            theirs = net().fit(x, x.sum(axis=1), shuffle=False, epochs=2, verbose=0).history["loss"]
            same = bool(np.allclose(run.history["loss"], theirs, 1e-5))
    except nbkeras.errors.NbkerasError as error:
        return str(error)
    return [same, sorted(one.read_text() for one in Path(folder).iterdir())]

found = [outcome(**call) for call in json.loads(calls)]
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Two Workers that find two GPUs each."""
    folder = tmp_path_factory.mktemp("cluster")
    script = folder / "discover.sh"
    script.write_text('#!/bin/sh\necho \'{"name": "gpu", "addresses": ["5", "7"]}\'\n')
    script.chmod(0o755)
    found = {
        "spark.worker.resource.gpu.amount": "2",
        "spark.worker.resource.gpu.discoveryScript": str(script),
    }
    with Cluster(folder, settings=found) as running:
        yield running


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    return environment(tmp_path_factory.mktemp("executors"))


def notebook(master, python, folder, settings, *calls):
    """What calls came to in a notebook of its own: a line of error, or what each trainer saw."""
    words = [master, python, json.dumps(settings), folder, json.dumps(calls)]
    found, _ = kernel.run(_NOTEBOOK, *words, timeout=800)
    return found


def fit(workers, gpus=None):
    return {"method": "fit", "workers": workers} | ({} if gpus is None else {"gpus": gpus})


def test_each_trainer_sees_the_gpus_that_it_asked_for_and_no_other(cluster, python, tmp_path):
    one, two, none, over, most = notebook(
        cluster.url, python, tmp_path, EXECUTORS, fit(4, 1), fit(2, 2), fit(2), fit(1, 3), fit(3, 2)
    )
    assert one == [True, ["5", "5", "7", "7"]]
    assert two == [True, ["5,7", "5,7"]]
    assert none == [True, ["all", "all"]]
    assert over == (
        "--gpus 3 (gpus=3): Spark's executors have 2 GPUs each: start Spark with "
        "spark.executor.resource.gpu.amount=3 or more and spark.executor.resource.gpu.discoveryScript"
    )
    assert most == (
        f"3 workers with 2 GPUs each need 6, Spark at {cluster.url} has enough for 2: "
        "use --workers 2, or more executors"
    )


def test_what_spark_gives_every_task_is_what_its_trainer_sees(cluster, python, tmp_path):
    settings = EXECUTORS | {"spark.task.resource.gpu.amount": "1"}
    left, asked, predicted = notebook(
        cluster.url, python, tmp_path, settings, fit(2), fit(2, 1), {"method": "predict"}
    )
    assert left[0]
    assert set(left[1]) <= {"5", "7"}
    assert len(left[1]) == 2
    assert asked[0]
    assert len(asked[1]) == 2
    assert set(predicted[1]) <= {"5", "7"}


def test_gpus_are_asked_for_over_connect_too(cluster, python, tmp_path):
    folder = cluster.folder / "connect"
    folder.mkdir()
    with ConnectServer(folder, cluster.url, str(python), **EXECUTORS) as server:
        (asked,) = notebook(server.url, python, tmp_path, {}, fit(2, 1))
    assert asked[0]
    assert len(asked[1]) == 2
    assert set(asked[1]) <= {"5", "7"}


def test_a_local_spark_counts_no_gpus_and_says_so(spark, request):
    if request.config.getoption("master") != "local":
        pytest.skip("of the local Spark")
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    x = np.ones((6, 3))
    with pytest.raises(ClusterError, match=r"^--gpus 1 .* counts no GPUs; leave it away") as caught:
        nbkeras.fit(model, x, np.ones(6), gpus=1, spark=spark)
    assert "\n" not in str(caught.value)
    with pytest.raises(OptionError, match="gpus=0: use a whole number from 1"):
        nbkeras.fit(model, x, np.ones(6), gpus=0, spark=spark)


def test_memory_is_taken_as_it_is_needed_unless_the_user_has_set_it(monkeypatch):
    monkeypatch.delenv("TF_FORCE_GPU_ALLOW_GROWTH", raising=False)
    monkeypatch.setenv("XLA_PYTHON_CLIENT_PREALLOCATE", "true")
    devices.share_memory()
    assert os.environ["TF_FORCE_GPU_ALLOW_GROWTH"] == "true"
    assert os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] == "true"
