"""What ends a training from outside, in real processes: an interrupt, a second one, Spark's end, a kill."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import keras
import numpy as np
import psutil
import pytest
from lifeline import ENDS_WITH_US
from processes import family, is_alive, servers, trainers
from pyspark import SparkContext
from twins import assert_same_history, assert_same_model

import nbkeras
from nbkeras.errors import Aborted

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.process

_NOTEBOOK = """
import os, signal, sys, time
import keras, numpy as np
import nbkeras
from nbkeras.spark import java
from nbkeras.errors import Aborted
from pyspark.sql import SparkSession

HERE = os.getpid()

class Slow(keras.layers.Layer):
    "After seven epochs a step never ends."
    steps = 0
    def call(self, x):
        # Where a model is built, arrays hold nothing.
        self.steps += os.getpid() != HERE and x.device.type != "meta"
        while self.steps > 14:
            time.sleep(1)
        return x

x = np.random.default_rng(0).normal(size=(64, 2)).astype("float32")

def fit(*layers, **how):
    model = keras.Sequential([keras.Input((2,)), *layers, keras.layers.Dense(1)])
    model.compile("sgd", "mse", run_eagerly=bool(layers))
    before, handler = model.get_weights()[0], signal.getsignal(signal.SIGINT)
    try:
        nbkeras.fit(model, x, x.sum(axis=1), **how, workers=1, backend="torch")  # as with any_backend
    except Aborted as error:
        print("ABORTED", error)
    run = nbkeras.api.runs[-1]
    changed = bool((model.get_weights()[0] != before).any())
    kept = signal.getsignal(signal.SIGINT) is handler
    print("ENDED", run.status, len(run.history["loss"]), changed, kept, flush=True)

def stand(epoch, logs):
    if epoch == 3:
        print("STANDS", flush=True)
        time.sleep(3600)

def interrupted():
    fit(epochs=10_000, name="once")
    fit(Slow(), epochs=10_000, name="twice")
    fit(epochs=1, name="again")

interrupted()

sys.stdin.readline()
# As many notebooks begin: PySpark then puts a handler of its own in the way.
SparkSession.getActiveSession().stop()
signal.signal(signal.SIGINT, signal.default_int_handler)
java.ensure()
os.environ["PYSPARK_PYTHON"] = sys.executable
spark = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").getOrCreate()
assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
interrupted()
keras.utils.set_random_seed(4)
stands = keras.callbacks.LambdaCallback(on_epoch_end=stand)
how = {"epochs": 6, "seed": 7, "checkpoint": sys.argv[1], "callbacks": [stands]}
fit(keras.layers.Dropout(0.2), **how, name="killed")
"""


def until(process, start):
    """The lines up to one that begins so."""
    lines = []
    for line in process.stdout:
        lines.append(line.rstrip("\n"))
        if line.startswith(start):
            return lines
    pytest.fail(f"it ended without a line that starts with {start!r}: {lines}")


def interrupted(process):
    """What it tells of trainings that are interrupted once and twice, and of the one after them."""
    until(process, "epoch 3 of 10000")
    process.send_signal(signal.SIGINT)
    once = until(process, "ENDED")
    until(process, "epoch 7 of 10000")
    process.send_signal(signal.SIGINT)
    until(process, "Stopping after this batch")
    process.send_signal(signal.SIGINT)
    return once, until(process, "ENDED"), until(process, "ENDED")


def its_server(process):
    """Its one warm server, and where that listens."""
    (server,) = servers(process.pid)
    path = Path(server.cmdline()[-2])
    assert path.is_socket()
    return server, path


@pytest.fixture(scope="module")
def far(tmp_path_factory):
    """A folder for temporary files that is too long for a socket's address."""
    folder = tmp_path_factory.mktemp("far") / ("a-folder-of-a-job-in-a-queue-" * 4)
    folder.mkdir()
    return folder


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A folder for the checkpoints of the training with which the notebook is killed."""
    return tmp_path_factory.mktemp("kept")


@pytest.fixture(scope="module")
def told(far, kept, wait_for):
    """What a process tells that is interrupted, with a Spark that fit starts and with one of its own.

    The first Spark is stopped, and the process is killed with the second one while it trains.
    """
    with subprocess.Popen(
        [*ENDS_WITH_US, sys.executable, "-c", _NOTEBOOK, kept],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(far)},
        start_new_session=True,
    ) as process:
        try:
            told = {"of fit": interrupted(process)}
            server, path = its_server(process)
            assert len(str(path)) > 110
            print("go on", file=process.stdin, flush=True)
            wait_for(lambda: not is_alive(server), "the server to end with Spark")
            assert not path.exists()
            told["before"] = interrupted(process)
            until(process, "STANDS")
            assert its_server(process)[1].parent == path.parent
            assert len(trainers(process.pid)) == 1
            told["left"] = [*servers(process.pid), *trainers(process.pid), *family(process.pid)]
        finally:
            process.kill()
    return told


@pytest.mark.parametrize("session", ["of fit", "before"])
def test_one_interrupt_keeps_what_was_learned_and_a_second_one_drops_it(told, session):
    once, twice, again = told[session]
    _, status, epochs, changed, kept = once[-1].split()
    assert (status, changed) == ("stopped", "True")
    # Where fit starts Spark, PySpark's handler stays, as PySpark wants it.
    assert kept == str(session == "before")
    assert 3 <= int(epochs) < 10_000
    assert re.fullmatch(rf"once stopped after {int(epochs):,} of 10,000 epochs in .*; loss .*", once[-2])

    # The step that was at work never ends: nobody has waited for it.
    (aborted,) = [line for line in twice if line.startswith("ABORTED")]
    assert aborted == "ABORTED twice: the training was dropped; the model is as it was before"
    _, status, epochs, changed, kept = twice[-1].split()
    assert (status, changed, kept) == ("aborted", "False", "True")
    assert int(epochs) == 7

    assert again[-1].split()[1] == "finished"


def test_nothing_outlives_spark_nor_a_notebook_that_is_killed(told, far, wait_for):
    wait_for(lambda: not any(map(is_alive, told["left"])), "all processes to end")
    (folder,) = far.glob("nbkeras*")
    assert [*folder.iterdir()] == []


def test_a_new_kernel_goes_on_where_a_killed_one_was(told, kept, spark):
    x = np.random.default_rng(0).normal(size=(64, 2)).astype("float32")
    how = {"epochs": 6, "seed": 7, "workers": 1, "backend": "torch", "verbose": 0, "spark": spark}

    def trained(**more):
        keras.utils.set_random_seed(4)
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dropout(0.2), keras.layers.Dense(1)])
        model.compile("sgd", "mse", run_eagerly=True)
        return model, nbkeras.fit(model, x, x.sum(axis=1), **how, **more)

    (at_once, whole), (second, run) = trained(), trained(checkpoint=kept, resume=True)
    assert run.notes[-1] == "going on from the checkpoint of epoch 3"
    assert_same_history(run.history, whole.history)
    assert_same_model(second, at_once)


@pytest.mark.usefixtures("any_backend")
def test_the_second_interrupt_gives_the_cell_back_though_java_does_not_answer(spark, wait_for):
    java = psutil.Process(SparkContext._gateway.proc.pid)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    before = model.get_weights()

    def interrupt():
        run = nbkeras.runs[-1]
        wait_for(lambda: len(run.epoch_numbers) > 2, "some epochs")
        java.suspend()
        os.kill(os.getpid(), signal.SIGINT)
        wait_for(run.stopping.is_set, "the stop")
        os.kill(os.getpid(), signal.SIGINT)

    began = len(nbkeras.runs)
    interrupts = threading.Thread(
        target=lambda: (wait_for(lambda: len(nbkeras.runs) > began, "the run"), interrupt())
    )
    interrupts.start()
    x = np.ones((64, 2), "float32")
    try:
        with pytest.raises(Aborted, match="dropped, though Spark has not answered yet"):
            nbkeras.fit(model, x, x.sum(axis=1), epochs=1_000_000, workers=1, verbose=0, spark=spark)
    finally:
        interrupts.join()
        java.resume()
    assert all(map(np.array_equal, model.get_weights(), before))
    wait_for(lambda: not trainers(), "the end of the trainer")
    run = nbkeras.fit(model, x, x.sum(axis=1), epochs=1, workers=1, verbose=0, spark=spark)
    assert run.status == "finished"


_TERMINAL = """
from nbkeras.spark import java; java.ensure()
get_ipython().run_line_magic("load_ext", "nbkeras")
import numpy as np, keras
get_ipython().run_cell_magic("keras_spark", "--workers 1 --name points", '''
model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
model.compile("sgd", "mse")
history = model.fit(np.ones((64, 2)), np.ones(64), epochs=4, validation_split=0.25)
''')
print("LOSSES", len(history.history["val_loss"]))
"""


@pytest.mark.soak
def test_ipython_in_a_terminal_prints_one_line_per_epoch():
    done = subprocess.run(
        [*ENDS_WITH_US, sys.executable, "-m", "IPython", "--no-banner", "--colors=NoColor", "-c", _TERMINAL],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    lines = done.stdout.splitlines()
    epochs = [line for line in lines if line.startswith("epoch ")]
    assert [re.match(r"epoch (\d) of 4  loss \S+  val_loss \S+$", line)[1] for line in epochs] == list("1234")
    assert [line for line in lines if line.startswith("points finished 4 epochs in ")]
    assert "LOSSES 4" in lines
