"""GPUs that Spark hands out, by a discovery script that names some: this machine has none."""

from __future__ import annotations

import functools
import itertools
import json
import os
from pathlib import Path

import keras
import numpy as np
import pytest
from standalone import SETTINGS, environment

import nbkeras
from nbkeras import devices
from nbkeras.errors import ClusterError, NbkerasError, OptionError
from nbkeras.spark import cluster as of_spark

HERE = os.getpid()
X = np.random.default_rng(0).normal(size=(60, 3)).astype("float32")
Y = X.sum(axis=1)
#: Of each Worker; see the fixture ``cluster``.
DISCOVERED = {"5", "7", "11", "13"}

pytestmark = pytest.mark.usefixtures("any_backend", "predicts_on_spark")

#: One executor, which gives each task one of its two GPUs.
EACH = SETTINGS | {
    "spark.cores.max": "2",
    "spark.executor.resource.gpu.amount": "2",
    "spark.task.resource.gpu.amount": "1",
}
_NOTEBOOK = """
import json, os, sys, time
import cloudpickle
from nbkeras.spark import cluster
from pyspark.sql import SparkSession

master, os.environ["PYSPARK_PYTHON"], settings, here, folder, calls = sys.argv[1:]
sys.path.insert(0, here)
import test_gpus
cloudpickle.register_pickle_by_value(test_gpus)
builder = SparkSession.builder.master(master)
for key, value in json.loads(settings).items():
    builder = builder.config(key, value)
spark = builder.getOrCreate()
while cluster.slots(spark) < 2:
    time.sleep(0.1)  # executors come when they have started
found = [test_gpus.outcome(spark, folder, **call) for call in json.loads(calls)]
"""


def net(folder):
    """A model whose trainers note the GPUs that they see in a folder."""

    class Looks(keras.layers.Layer):
        def call(self, x):
            if os.getpid() != HERE:
                Path(folder, str(os.getpid())).write_text(os.environ.get("CUDA_VISIBLE_DEVICES", "all"))
            return x

    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((3,)), Looks(), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


@functools.cache
def losses_of_keras():
    return net("").fit(X, Y, shuffle=False, epochs=2, verbose=0).history["loss"]


def outcome(spark, folder, *, method="fit", **how):
    """A line of error, or whether the losses are those of Keras, and what each trainer saw."""
    for old in Path(folder).iterdir():
        old.unlink()
    model = net(str(folder))
    try:
        if method == "predict":
            nbkeras.predict(model, X, spark=spark)
            same = True
        else:
            run = nbkeras.fit(model, X, Y, shuffle=False, epochs=2, verbose=0, spark=spark, **how)
            same = bool(np.allclose(run.history["loss"], losses_of_keras(), 1e-5))
    except NbkerasError as error:
        return str(error)
    return [same, sorted(one.read_text() for one in Path(folder).iterdir())]


@pytest.mark.soak  # eight warm servers; over Connect two trainers of the same cluster see theirs
@pytest.mark.cluster
@pytest.mark.on("standalone")
def test_each_trainer_sees_the_gpus_that_it_asked_for_and_no_other(
    spark, cluster, tmp_path, wait_for, as_in_a_notebook
):
    wait_for(lambda: of_spark.slots(spark) == 4, "the executors")

    def fit(workers, gpus=None):
        return outcome(spark, tmp_path, workers=workers, gpus=gpus)

    if spark.version.startswith("3."):
        assert fit(2, 1) == (
            f"--gpus 1 (gpus=1): Spark {spark.version} gives the stages of a DataFrame no GPUs of their own: "
            "start it with spark.task.resource.gpu.amount=1, or use Spark 4"
        )
        return
    same, seen = fit(2, 2)
    of_executors = [pair.split(",") for pair in seen]
    assert same
    assert [len(DISCOVERED.intersection(pair)) for pair in of_executors] == [2, 2]
    assert fit(4, 1) == [True, sorted(itertools.chain(*of_executors))]
    assert fit(2) == [True, ["all", "all"]]
    assert fit(1, 3) == (
        "--gpus 3 (gpus=3): Spark's executors have 2 GPUs each: start Spark with "
        "spark.executor.resource.gpu.amount=3 or more and spark.executor.resource.gpu.discoveryScript"
    )
    assert fit(3, 2) == (
        f"3 workers with 2 GPUs each need 6, Spark at {cluster.url} has enough for 2: "
        "use --workers 2, or more executors"
    )


@pytest.mark.soak
@pytest.mark.cluster
def test_what_spark_gives_every_task_is_what_its_trainer_sees(cluster, notebook, tmp_path):
    python = environment(tmp_path / "executors")
    folder = tmp_path / "seen"
    folder.mkdir()
    calls = [{"workers": 2}, {"workers": 2, "gpus": 1}, {"method": "predict"}]
    here = Path(__file__).parent
    left, asked, predicted = notebook.run(
        _NOTEBOOK, cluster.url, python, json.dumps(EACH), here, folder, json.dumps(calls)
    )
    same, seen = left
    assert same
    assert len(DISCOVERED.intersection(seen)) == len(seen) == 2
    assert asked == left
    assert predicted[1]
    assert set(predicted[1]) <= set(seen)


@pytest.mark.smoke
@pytest.mark.on("connect")
def test_gpus_are_asked_for_over_connect_too(spark, tmp_path, wait_for, as_in_a_notebook):
    # To ask for slots would be a job, which gives up where no executor has come yet.
    wait_for(lambda: of_spark.link(spark)._parallelism() == 4, "the executors")
    found = outcome(spark, tmp_path, workers=2, gpus=1)
    assert found[0] is True, found
    assert len(found[1]) == 2
    assert set(found[1]) <= DISCOVERED


@pytest.mark.on("local")
def test_a_local_spark_counts_no_gpus_and_says_so(spark):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    x = np.ones((6, 3))
    with pytest.raises(ClusterError, match=r"^--gpus 1 .* counts no GPUs; omit it") as caught:
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
