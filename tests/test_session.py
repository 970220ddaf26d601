from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from unittest.mock import MagicMock

import keras
import numpy as np
import pytest
from lifeline import ENDS_WITH_US
from pyspark import SparkContext

import nbkeras
from nbkeras import api
from nbkeras.errors import ClusterError
from nbkeras.run.run import Run
from nbkeras.spark import gateway
from nbkeras.spark.session import attached

pytestmark = pytest.mark.usefixtures("any_backend")


def test_another_thread_finds_the_spark_that_runs(spark, capsys):
    found = []
    thread = threading.Thread(target=lambda: found.append(attached()))
    thread.start()
    thread.join()

    assert [one.sparkContext for one in found] == [spark.sparkContext]
    assert capsys.readouterr().out == ""


def test_status_says_in_one_line_that_executors_cannot_start_python(spark, monkeypatch):
    monkeypatch.setattr(spark.sparkContext, "pythonExec", "/no/such/python")

    with pytest.raises(
        ClusterError, match=r"^the executors cannot start Python on \S+ \(.*/no/such/python.*\): set"
    ):
        nbkeras.status(spark)


@pytest.mark.on("local")
def test_a_training_for_which_another_one_leaves_too_few_slots_says_which_it_waits_for(spark, wait_for):
    """Two fits: 4 CPU seconds."""

    def begin(name, workers, epochs):
        model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        x = np.ones((8, 1), "float32")
        how = {"workers": workers, "background": True, "verbose": 0, "spark": spark}
        return nbkeras.fit(model, x, x, epochs=epochs, name=name, **how)

    first = begin("first", 2, 1_000_000)
    wait_for(lambda: first.history.get("loss"), "its first epoch")
    second = begin("second", 2, 1)
    wait_for(lambda: second.phase == "slots", "it to wait")
    (note,) = second.notes
    assert note.startswith(
        "first holds 2 of 3 task slots, this training needs 2: it begins when they are free"
    )
    assert "nbkeras.runs['first'].stop()" in note
    first.stop()
    assert second.wait().status == "finished"
    third = begin("third", 2, 1)
    assert third.wait().notes == []


#: Java starts twice, but no Keras: 20 CPU seconds.
_JAVA_ENDS = """
import nbkeras
from contextlib import nullcontext
from nbkeras.spark import gateway
from nbkeras import wait
from nbkeras.errors import ClusterError
from pyspark import SparkContext

local_spark, status = nbkeras.local_spark, nbkeras.status
wait.shown = lambda what: nullcontext(print("WAITS for", what))
spark = local_spark()
print(status(spark).splitlines()[0])
java = SparkContext._gateway.proc
java.kill()
java.wait()
for session in (None, spark):
    try:
        status(session)
    except ClusterError as error:
        print("ERROR", error)
another = local_spark()
print(another.range(3).count(), another is local_spark())
try:
    status(spark)
except ClusterError as error:
    print("ERROR", error)
"""


@pytest.mark.soak  # two Sparks for what happens rarely
@pytest.mark.process
def test_a_local_spark_says_nothing_and_where_its_java_is_killed_another_one_starts():
    done = subprocess.run(
        [*ENDS_WITH_US, sys.executable, "-c", _JAVA_ENDS], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    waited, before, *ended, again, counted, stopped = done.stdout.splitlines()
    assert waited == again == "WAITS for java"
    assert before.startswith("Spark")
    assert ended == ["ERROR " + gateway.HAS_ENDED] * 2
    assert counted == "3 True"
    assert stopped.startswith("ERROR the Spark session was stopped")


@pytest.mark.process
def test_where_spark_does_not_start_the_error_has_the_output_of_java():
    script = """
import nbkeras
try:
    nbkeras.local_spark()
except nbkeras.errors.ClusterError as error:
    print("ERROR", error)
"""
    done = subprocess.run(
        [*ENDS_WITH_US, sys.executable, "-c", script],
        env=os.environ | {"PYSPARK_SUBMIT_ARGS": "--driver-java-options -agentlib:nosuch pyspark-shell"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(
        r"ERROR Spark does not start \(.+\); Java said: .*nosuch.*: type nbkeras doctor\n", done.stdout
    )


def test_the_java_of_a_gateway_that_another_program_has_made_is_not_looked_after(monkeypatch):
    monkeypatch.setattr(SparkContext, "_gateway", MagicMock())
    assert not gateway.has_ended()


def test_of_an_interrupted_call_of_java_nothing_is_logged_and_of_others_all(spark, caplog):
    gateway.require()
    root, py4j = logging.getLogger(), logging.getLogger("py4j.clientserver")
    root.error("KeyboardInterrupt while sending command.")
    py4j.error("Exception occurred while shutting down connection")
    assert caplog.messages == []
    py4j.error("something else")
    root.error("Exception while sending command.")
    assert caplog.messages == ["something else", "Exception while sending command."]


def test_keras_methods_go_to_spark_in_their_block_and_are_keras_own_in_all_other_threads(monkeypatch):
    trained = []

    def fit(model, *_, name, **__):
        trained.append(name)
        return SimpleNamespace(model=SimpleNamespace(history="from Spark"))

    def train():
        model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        return model.fit(np.ones((2, 1)), np.ones(2), verbose=0)

    def train_in_a_block():
        with nbkeras.on_spark(name="there"):
            return train()

    monkeypatch.setattr(api, "fit", fit)
    before = keras.Model.fit
    with ThreadPoolExecutor(1) as pool:
        with nbkeras.on_spark(name="outer"):
            with nbkeras.on_spark(name="inner"):
                assert train() == "from Spark"
                assert pool.submit(train).result().epoch == [0]
                assert pool.submit(train_in_a_block).result() == "from Spark"
            assert train() == "from Spark"
        assert keras.Model.fit is before
        assert pool.submit(train_in_a_block).result() == "from Spark"
    assert keras.Model.fit is before
    assert trained == ["inner", "there", "outer", "there"]


def test_a_block_that_outlives_others_of_other_threads_still_goes_to_spark(monkeypatch):
    before, entered, ended = keras.Model.fit, threading.Event(), threading.Event()

    def stay():
        with nbkeras.on_spark():
            entered.set()
            ended.wait()
            return keras.Model.fit is not before

    with ThreadPoolExecutor(1) as pool:
        with nbkeras.on_spark():
            staying = pool.submit(stay)
            entered.wait()
        ended.set()
        assert staying.result()
    assert keras.Model.fit is before


@pytest.mark.parametrize("ended", [False, True])
def test_a_run_in_the_background_says_that_its_model_has_no_new_weights_before_its_end(monkeypatch, ended):
    run = Run("digits", model=None, epochs=1, workers=1)
    if ended:
        run.end("finished")
    monkeypatch.setattr(api, "fit", lambda *_, **__: run)
    with nbkeras.on_spark(background=True):
        assert keras.Sequential([keras.Input((1,))]).fit(np.ones((2, 1)), np.ones(2)) is run
    said = ["until this run ends the model has the weights it had: run.wait() waits for the end"]
    assert run.notes == ([] if ended else said)
