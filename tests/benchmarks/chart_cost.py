"""CPU seconds of the live chart and its end, against those of a training of the same length."""

from __future__ import annotations

import os
import time

import keras
import numpy as np
import task
from IPython.core.interactiveshell import InteractiveShell

from nbkeras.run import Run

ROWS = 2_000


def main() -> None:
    for epochs in (50, 10_000):
        training = _training(min(epochs, 200)) * epochs / min(epochs, 200)
        seconds = training  # one core's worth: the wall time in which the chart would be updated
        chart = _chart(epochs, seconds)
        print(
            f"{epochs:>6} epochs: training {training:.1f} CPU s, chart {chart:.2f} CPU s, "
            f"{chart / training:.2%} of it"
        )


def _training(epochs: int) -> float:
    """CPU seconds of plain Keras on a small task: the smaller, the harder for the chart."""
    x, y = task.arrays(ROWS)
    model = task.model()
    model.fit(x, y, batch_size=task.BATCH, epochs=2, verbose=0)
    start = time.process_time()
    model.fit(x, y, batch_size=task.BATCH, epochs=epochs, verbose=0)
    return time.process_time() - start


def _chart(epochs: int, seconds: float) -> float:
    """CPU seconds of the updates, four in each second of the training, and of the picture at the end."""
    from nbkeras.notebook.hosts.jupyter import Live

    InteractiveShell.instance()
    run = Run("benchmark", model=None, epochs=epochs, workers=1)
    shown = Live(run)
    updates = max(1, int(4 * seconds))
    losses = np.exp(-np.linspace(0, 3, epochs))
    done = 0
    spent = 0.0
    for update in range(1, updates + 1):
        upto = epochs * update // updates
        for epoch in range(done, upto):
            loss = float(losses[epoch])
            run.record_epoch(
                epoch, {"accuracy": 1 - loss, "loss": loss, "val_accuracy": 1 - loss, "val_loss": loss}
            )
        done = upto
        run.record_progress(min(done, epochs - 1), 1, 8, 1e5)
        start = time.process_time()
        shown.update()
        spent += time.process_time() - start
    run.end("finished")
    start = time.process_time()
    shown.finish()
    return spent + time.process_time() - start


if __name__ == "__main__":
    os.environ.setdefault("MPLBACKEND", "agg")
    keras.utils.set_random_seed(1)
    main()
