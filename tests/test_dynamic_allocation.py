"""Trainings on a real cluster where Spark takes and gives back executors by itself."""

from __future__ import annotations

import json

import kernel
import pytest
from standalone import SETTINGS, environment

_NOTEBOOK = """
import json, os, sys, time
import keras, numpy as np, nbkeras
from nbkeras.engine.spark import cluster, elastic
from pyspark.sql import SparkSession

master, os.environ["PYSPARK_PYTHON"], settings = sys.argv[1:]
builder = SparkSession.builder.master(master)
for key, value in json.loads(settings).items():
    builder = builder.config(key, value)
spark = builder.getOrCreate()
spark.sparkContext.setLogLevel("ERROR")
x = np.random.default_rng(0).normal(size=(60, 3))

def outcome(**how):
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    before = cluster.slots(spark)
    try:
        run = nbkeras.fit(model, x, x.sum(axis=1), shuffle=False, epochs=2, verbose=0, spark=spark, **how)
    except Exception as error:
        return {"before": before, "kind": type(error).__name__, "line": str(error)}
    keras.utils.set_random_seed(1)
    twin = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    twin.compile("sgd", "mse")
    theirs = twin.fit(x, x.sum(axis=1), shuffle=False, epochs=2, verbose=0).history["loss"]
    same = np.allclose(run.history["loss"], theirs, 1e-5)
    return {"before": before, "kind": run.status, "same": bool(same), "notes": run.notes}

found = {"three": outcome(workers=3), "auto": outcome()}
found["too many"] = outcome(workers=5)
found["setting"] = spark.sparkContext.getConf().get("spark.dynamicAllocation.enabled")
end = time.monotonic() + 120
while cluster.slots(spark) and time.monotonic() < end:
    time.sleep(0.1)
found["left"] = cluster.slots(spark)
"""


@pytest.fixture(scope="module")
def found(cluster, tmp_path_factory):
    """What several calls of fit in one notebook came to."""
    settings = SETTINGS | {
        "spark.dynamicAllocation.enabled": "true",
        "spark.dynamicAllocation.shuffleTracking.enabled": "true",
        "spark.dynamicAllocation.shuffleTracking.timeout": "10s",
        # The next training has to find them.
        "spark.dynamicAllocation.executorIdleTimeout": "10s",
        "spark.dynamicAllocation.maxExecutors": "2",
    }
    python = environment(tmp_path_factory.mktemp("executors"))
    found, _ = kernel.run(_NOTEBOOK, cluster.url, python, json.dumps(settings), timeout=800)
    return found


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


def test_the_setting_comes_back_and_idle_executors_go(found):
    assert found["setting"] == "true"
    assert found["left"] == 0
