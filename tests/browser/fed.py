"""Stands for Spark: a thread that feeds a run, attended as `nbkeras.fit` attends one."""

import math
import threading
import time
from functools import partial
from pathlib import Path
from unittest import mock

from nbkeras.driver.training.attend import attend
from nbkeras.notebook import hosts
from nbkeras.run.run import Run
from nbkeras.spark import session

#: All runs of this kernel that were fed.
runs = []


def stand_still(run):
    """Wait as workers do that were told to pause."""
    if run.pausing.is_set():
        run.enter("paused")
        while run.pausing.is_set() and not run.stopping.is_set():
            time.sleep(0.01)
        run.enter("training")


def hold(epoch, stopping=None):
    """Wait until a test has seen the epochs so far, and has said so by a file; or until the run stops."""
    seen = Path(f"seen-{epoch}")
    while not seen.exists():
        if stopping is not None and stopping.is_set():
            return
        time.sleep(0.01)
    seen.unlink()


def obey(run, taken, epoch, step):
    """Train on with the learning rate that was asked for; of which number it is, and what."""
    number, rate = taken
    asked = run.steering.rate
    if asked is None or asked.number == number:
        return taken
    run.record_learning_rate(asked.number, rate, asked.value, epoch, step)
    return asked.number, asked.value


def feed(run, epochs, pause, holds):
    for phase in ("slots", "reading", "starting"):
        run.enter(phase)
        run.record_rows(0, 12_345)
        time.sleep(pause * 5)
    run.enter("training")
    taken = 0, 0.001
    for epoch in range(epochs):
        if epoch in holds:
            hold(epoch, run.stopping)
        for step in range(10):
            stand_still(run)
            if run.stopping.is_set():
                run.end("stopped")
                return
            taken = obey(run, taken, epoch, step)
            so_far = 2.2 * math.exp(-(epoch + step / 20) / 4) + 0.08
            run.record_progress(epoch, step + 1, 10, 41_234.0, taken[1], so_far)
            time.sleep(pause)
        loss = 2.2 * math.exp(-epoch / 4) + 0.06 + 0.02 * math.sin(epoch)
        logs = {"accuracy": 1 - loss / 2.6, "loss": loss}
        run.record_epoch(epoch, logs | {"val_accuracy": 0.97 - loss / 2.6, "val_loss": loss * 1.1 + 0.03})
    run.end("finished")


def plain_thread(_spark, work, name):
    return threading.Thread(target=work, name=name, daemon=True)


def show(epochs=12, pause=0.05, background=False, name="digits", holds=()):
    run = Run(name, model=None, epochs=epochs, workers=2, background=background)
    run.note(f"{name}: BatchNormalization sees the rows of its own worker only.")
    runs.append(run)
    train = partial(feed, run, epochs, pause, holds)
    # Spark's own thread looks for a Spark.
    with mock.patch.object(session, "thread", plain_thread):
        return attend(run, lambda: train, mock.Mock(), hosts, 0, None)
