"""Stands for Spark: a thread that feeds a run, shown as `nbkeras.fit` shows one."""

import math
import signal
import threading
import time

from nbkeras.notebook import hosts
from nbkeras.run import Run


def feed(run, epochs, pause):
    for phase in ("slots", "reading", "starting"):
        run.enter(phase)
        run.record_rows(0, 12_345)
        time.sleep(pause * 5)
    run.enter("training")
    for epoch in range(epochs):
        for step in range(10):
            if run.stopping.is_set():
                run.end("stopped")
                return
            run.record_progress(epoch, step + 1, 10, 41_234.0)
            time.sleep(pause)
        loss = 2.2 * math.exp(-epoch / 4) + 0.06 + 0.02 * math.sin(epoch)
        logs = {"accuracy": 1 - loss / 2.6, "loss": loss}
        run.record_epoch(epoch, logs | {"val_accuracy": 0.97 - loss / 2.6, "val_loss": loss * 1.1 + 0.03})
    run.end("finished")


def show(epochs=12, pause=0.05, background=False, name="digits"):
    run = Run(name, model=None, epochs=epochs, workers=2, background=background)
    run.note(f"{name}: BatchNormalization sees the rows of its own worker only.")
    display = hosts.display(run)
    threading.Thread(target=feed, args=(run, epochs, pause), daemon=True).start()

    def wait():
        run.wait(tick=display.update)
        display.finish()

    if background:
        threading.Thread(target=wait, daemon=True).start()
        return run
    before = signal.signal(signal.SIGINT, lambda *_: run.stop())
    try:
        wait()
    finally:
        signal.signal(signal.SIGINT, before)
    return run
