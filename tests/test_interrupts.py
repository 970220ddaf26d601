"""One interrupt ends a training and keeps what it learned, a second one drops it: in real processes."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

_NOTEBOOK = """
import os, signal, sys, time
import keras, numpy as np
{session}
import nbkeras
from nbkeras.errors import Aborted

HERE = os.getpid()

class Slow(keras.layers.Layer):
    "After seven epochs a step takes a minute."
    steps = 0
    def call(self, x):
        self.steps += os.getpid() != HERE
        if self.steps > 14:
            time.sleep(60)
        return x

x = np.random.default_rng(0).normal(size=(64, 2)).astype("float32")

def fit(*layers, **how):
    model = keras.Sequential([keras.Input((2,)), *layers, keras.layers.Dense(1)])
    model.compile("sgd", "mse", run_eagerly=bool(layers))
    before, handler = model.get_weights()[0], signal.getsignal(signal.SIGINT)
    try:
        nbkeras.fit(model, x, x.sum(axis=1), **how, workers=1)
    except Aborted as error:
        print("ABORTED", error)
    run = nbkeras.api.runs[-1]
    changed = bool((model.get_weights()[0] != before).any())
    kept = signal.getsignal(signal.SIGINT) is handler
    print("ENDED", run.status, len(run.history["loss"]), changed, kept, flush=True)

fit(epochs=10_000, name="once")
fit(Slow(), epochs=10_000, name="twice")
fit(epochs=1, name="again")
"""
#: As many notebooks begin: PySpark then puts a handler of its own in the way.
_OWN_SESSION = """
from nbkeras import java
java.ensure()
os.environ["PYSPARK_PYTHON"] = sys.executable
from pyspark.sql import SparkSession
spark = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").getOrCreate()
assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
"""


def until(process, start):
    """The lines up to one that begins so."""
    lines = []
    for line in process.stdout:
        lines.append(line.rstrip("\n"))
        if line.startswith(start):
            return lines
    pytest.fail(f"it ended without a line that starts with {start!r}: {lines}")


@pytest.mark.parametrize(
    "session",
    [pytest.param("", id="Spark started by fit"), pytest.param(_OWN_SESSION, id="Spark started before")],
)
def test_one_interrupt_keeps_what_was_learned_and_a_second_one_drops_it(session):
    with subprocess.Popen(
        [sys.executable, "-c", _NOTEBOOK.format(session=session)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=ROOT,
        start_new_session=True,
    ) as process:
        try:
            until(process, "epoch 3 of 10000")
            process.send_signal(signal.SIGINT)
            once = until(process, "ENDED")
            until(process, "epoch 7 of 10000")
            process.send_signal(signal.SIGINT)
            until(process, "Stopping after this batch")
            begun = time.monotonic()
            process.send_signal(signal.SIGINT)
            twice = until(process, "ENDED")
            took = time.monotonic() - begun
            again = until(process, "ENDED")
            assert process.wait(180) == 0
        finally:
            process.kill()
    _, status, epochs, changed, kept = once[-1].split()
    assert (status, changed) == ("stopped", "True")
    # Where fit starts Spark, PySpark's handler stays, as PySpark wants it.
    assert kept == str(bool(session))
    assert 3 <= int(epochs) < 10_000
    assert re.fullmatch(rf"once stopped after {int(epochs):,} of 10,000 epochs in .*; loss .*", once[-2])

    (aborted,) = [line for line in twice if line.startswith("ABORTED")]
    assert aborted == "ABORTED twice: the training was dropped; the model is as it was before"
    _, status, epochs, changed, kept = twice[-1].split()
    assert (status, changed, kept) == ("aborted", "False", "True")
    assert int(epochs) == 7
    assert took < 45  # the step takes a minute

    assert again[-1].split()[1] == "finished"


_TERMINAL = """
from nbkeras import java; java.ensure()
get_ipython().run_line_magic("load_ext", "nbkeras")
import numpy as np, keras
get_ipython().run_cell_magic("keras_spark", "--workers 1 --name points", '''
model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
model.compile("sgd", "mse")
history = model.fit(np.ones((64, 2)), np.ones(64), epochs=4, validation_split=0.25)
''')
print("LOSSES", len(history.history["val_loss"]))
"""


def test_ipython_in_a_terminal_prints_one_line_per_epoch():
    done = subprocess.run(
        [sys.executable, "-m", "IPython", "--no-banner", "--colors=NoColor", "-c", _TERMINAL],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    lines = done.stdout.splitlines()
    epochs = [line for line in lines if line.startswith("epoch ")]
    assert [re.match(r"epoch (\d) of 4  loss \S+  val_loss \S+$", line)[1] for line in epochs] == list("1234")
    assert [line for line in lines if line.startswith("points finished 4 epochs in ")]
    assert "LOSSES 4" in lines
