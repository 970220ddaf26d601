"""Spark Connect: what only its sessions do. They live in processes of their own."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest
from connectserver import ConnectServer
from lifeline import ENDS_WITH_US
from waiting import wait_for

from nbkeras.spark import connect

_NOTEBOOK = """
import collections, sys, threading, time
import keras, nbkeras, numpy as np
from pyspark.sql import SparkSession
from pyspark.sql.connect.client import retries

URL = sys.argv[1]
waited = collections.Counter()  # milliseconds for the server, by the call that waits
next_attempt = retries.RetryPolicyState.next_attempt

def counted(self, *error):
    wait = next_attempt(self, *error)
    waited[self] += wait or 0
    return wait

retries.RetryPolicyState.next_attempt = counted

def tell(word, thing=""):
    print("TOLD", word, thing, flush=True)

def error_of(action):
    waited.clear()
    try:
        action()
    except Exception as error:
        lines = error._render_traceback_() if hasattr(error, "_render_traceback_") else ["a traceback"]
        longest = max(waited.values(), default=0)
        tell(" ".join(lines), f"lines={len(lines)} waited={longest // 1000}")

spark = SparkSession.builder.remote(URL).getOrCreate()
x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
y = x.sum(axis=1)
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
model.compile("sgd", "mse")
how = {"backend": "torch", "verbose": 0}  # as with any_backend

tell("status", nbkeras.status().splitlines()[0])
run = nbkeras.fit(model, x, y, epochs=2, validation_split=0.25, **how)
tell("fitted", f"{run.status} {run.workers} {sorted(run.history)}")
with nbkeras.on_spark(backend="torch"):
    predicted = model.predict(np.tile(x, (17, 1)))[:64, 0]  # more rows than are predicted here
    tell("evaluated", abs(model.evaluate(x, y) - float(np.mean((predicted - y) ** 2))) < 1e-4)

run = nbkeras.fit(model, x, y, epochs=100_000, workers=2, background=True, **how)
while not run.history.get("loss"):
    time.sleep(0.05)
run.stop()
tell("stopped", run.wait().status)

run = nbkeras.fit(model, x, y, epochs=100_000, workers=2, background=True, **how)
while not run.history.get("loss"):
    time.sleep(0.05)
run.abort()
error_of(run.wait)
tell("next", nbkeras.fit(model, x, y, **how).status)
error_of(lambda: nbkeras.fit(model, x, y, workers=9, **how))

spark.stop()
error_of(lambda: nbkeras.fit(model, x, y, spark=spark, **how))
tell("threads", [one.name for one in threading.enumerate() if "nbkeras" in one.name])

spark = SparkSession.builder.remote(URL).getOrCreate()
run = nbkeras.fit(model, x, y, epochs=100_000, background=True, **how)
while not run.history.get("loss"):
    time.sleep(0.05)
tell("trains")
error_of(run.wait)
error_of(lambda: nbkeras.fit(model, x, y, spark=spark, **how))
tell("over")
"""


@pytest.fixture(scope="module")
def connect_server(tmp_path_factory):
    with ConnectServer(tmp_path_factory.mktemp("server"), "local[3]", sys.executable) as running:
        yield running


@pytest.fixture(scope="module")
def told(connect_server, tmp_path_factory):
    """What a notebook has told of a server's life and death, once it is over."""
    log = tmp_path_factory.mktemp("notebook") / "log"

    def told():
        text = log.read_text()
        if "Traceback (most recent call last)" in text:
            pytest.fail(text)
        return re.findall(r"^TOLD (.*?) *$", text, re.MULTILINE)

    with log.open("w") as file:
        code = [*ENDS_WITH_US, sys.executable, "-c", _NOTEBOOK, connect_server.url]
        process = subprocess.Popen(code, stdout=file, stderr=file)
    try:
        wait_for(lambda: "trains" in told(), "the last training")
        connect_server.kill()
        wait_for(lambda: "over" in told(), "two errors")
        yield told()
    finally:
        process.kill()
        process.wait()


def test_a_training_lives_over_connect_as_over_a_session_of_this_process(connect_server, told):
    status, fitted, evaluated, stopped, aborted, after, slots, ended, threads, *_ = told
    assert re.fullmatch(
        rf"status Spark [\d.]+ at local\[3\] behind the Connect server {connect_server.url}, 3 slots", status
    )
    assert fitted == "fitted finished 1 ['loss', 'val_loss']"
    assert evaluated == "evaluated True"
    assert stopped == "stopped stopped"
    assert re.match(r"Aborted: .* was dropped; the model is as it was before lines=1", aborted)
    assert after == "next finished"
    assert re.match(
        r"ClusterError: 9 workers need 9 task slots, Spark at local\[3\] .* has 3: .* lines=1", slots
    )
    assert re.match("ClusterError: the Spark session was stopped: .* lines=1", ended)
    assert threads == "threads []"


def test_a_server_that_dies_is_one_line_and_no_wait(told):
    *_, trains, during, after, over = told
    assert (trains, over) == ("trains", "over")
    assert re.match("ClusterError: the Spark Connect server does not answer .* lines=1 ", during)
    assert re.match("ClusterError: the Spark Connect server at .* does not answer .* lines=1 ", after)
    # Connect's own policy would wait for ten minutes.
    assert all(int(re.search(r"waited=(\d+)$", one)[1]) < 20 for one in (during, after))


def test_slots_are_the_tasks_that_ran_at_once_on_each_executor():
    def span(executor, begun, ended):
        return {"executor": executor, "begun": begun, "ended": ended}

    rows = [span("a", 0, 2), span("a", 1, 3), span("a", 2, 4), span("b", 100, 101), span("b", 100.5, 101)]

    assert connect._most(rows) == (4, 2)


def test_the_servers_address_is_read_from_the_session():
    session = SimpleNamespace(client=SimpleNamespace(_builder=SimpleNamespace(endpoint="[::1]:15002")))

    assert connect.server(session) == ("::1", 15002)


def test_slots_are_counted_once_where_two_threads_ask():
    counts, counting, go_on = [], threading.Event(), threading.Event()
    link = connect.Connect(SimpleNamespace(conf={"spark.default.parallelism": "4"}))
    link._parallelism = lambda: 4

    def count(cores):
        counts.append(cores)
        counting.set()
        go_on.wait(60)
        return 3, 1

    link._count = count
    threads = [threading.Thread(target=link.slots) for _ in range(2)]
    threads[0].start()
    counting.wait(60)
    threads[1].start()
    threads[1].join(0.3)  # it would have counted by then
    go_on.set()
    for one in threads:
        one.join()

    assert counts == [4]
    assert (link.slots(), link.executors()) == (3, 1)
