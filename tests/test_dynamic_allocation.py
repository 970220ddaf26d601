"""Trainings on a real cluster where Spark takes and gives back executors by itself."""

from __future__ import annotations

import json

import pytest
from standalone import SETTINGS, environment

#: Two executors that start and end: test_elastic.py tells what is asked of Spark in every run.
pytestmark = [pytest.mark.cluster, pytest.mark.soak]

_NOTEBOOK = """
import json, os, sys, time
import keras, numpy as np, nbkeras
from nbkeras.spark import cluster, dynamic_allocation
from pyspark.sql import SparkSession

master, os.environ["PYSPARK_PYTHON"], settings = sys.argv[1:]
builder = SparkSession.builder.master(master)
for key, value in json.loads(settings).items():
    builder = builder.config(key, value)
spark = builder.getOrCreate()
spark.sparkContext.setLogLevel("ERROR")
x = np.random.default_rng(0).normal(size=(60, 3))

def net():
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    return model

theirs = net().fit(x, x.sum(axis=1), shuffle=False, epochs=2, verbose=0).history["loss"]

def outcome(**how):
    model, before = net(), cluster.slots(spark)
    how |= {"shuffle": False, "epochs": 2, "verbose": 0, "backend": "torch"}  # as with any_backend
    try:
        run = nbkeras.fit(model, x, x.sum(axis=1), spark=spark, **how)
    except Exception as error:
        return {"before": before, "kind": type(error).__name__, "line": str(error)}
    same = np.allclose(run.history["loss"], theirs, 1e-5)
    return {"before": before, "kind": run.status, "same": bool(same), "notes": run.notes}

found = {"three": outcome(workers=3)}
# The next training has to find the executors: Spark leaves those that keep something.
kept = spark.sparkContext.parallelize(range(4), 4).cache()
kept.count()
found["auto"] = outcome()
found["too many"] = outcome(workers=5)
found["gpus"] = outcome(workers=2, gpus=1)
found["setting"] = spark.sparkContext.getConf().get("spark.dynamicAllocation.enabled")
kept.unpersist(blocking=True)
while cluster.slots(spark):
    time.sleep(0.1)  # idle executors go
"""


@pytest.fixture(scope="module")
def found(cluster, notebook, tmp_path_factory):
    """What several calls of fit in one notebook came to, after which all executors have gone."""
    settings = SETTINGS | {
        "spark.dynamicAllocation.enabled": "true",
        "spark.dynamicAllocation.shuffleTracking.enabled": "true",
        "spark.dynamicAllocation.shuffleTracking.timeout": "10s",
        # On a busy machine the first one may wait for the second one.
        "spark.dynamicAllocation.executorIdleTimeout": "20s",
        "spark.dynamicAllocation.maxExecutors": "2",
    }
    python = environment(tmp_path_factory.mktemp("executors"))
    return notebook.run(_NOTEBOOK, cluster.url, python, json.dumps(settings))


def test_executors_are_asked_for_and_train_as_keras_does(found):
    assert found["three"] == {
        "before": 0,
        "kind": "finished",
        "same": True,
        "notes": ["dynamic allocation: Spark is asked for executors with 3 task slots"],
    }


def test_left_to_itself_it_trains_on_the_executors_that_run_and_says_so(found):
    assert found["auto"]["kind"] == "finished"
    (note,) = found["auto"]["notes"]
    assert "one for each executor that runs now; --workers N" in note


def test_more_workers_than_the_executors_that_spark_may_take_are_refused(found):
    assert found["too many"]["kind"] == "ClusterError"
    assert found["too many"]["line"] == (
        "5 workers need 3 executors of 2 slots, but spark.dynamicAllocation.maxExecutors is 2: "
        "use --workers 4 or fewer, or start Spark with a higher one"
    )


def test_gpus_for_one_training_are_refused_with_what_to_start_spark_with(found):
    assert found["gpus"]["line"] == (
        "--gpus 1 (gpus=1): with dynamic allocation, start Spark with spark.executor.resource.gpu.amount=1 "
        "and spark.task.resource.gpu.amount=1"
    )


def test_the_setting_comes_back_and_idle_executors_go(found):
    assert found["setting"] == "true"
