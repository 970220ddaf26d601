"""CPU seconds of the live chart and its end, against those of a training of the same length."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import task
from jupyter_client.manager import start_new_kernel

from nbkeras.run.run import Run

WATCHED = 20.0


def main() -> None:
    """Measure in a real kernel, with a front end that takes input, as people have it."""
    manager, client = start_new_kernel()
    try:
        folder = str(Path(__file__).parent)
        code = f"import sys; sys.path.insert(0, {folder!r})\nimport chart_cost\nchart_cost.measure()"
        reply = client.execute_interactive(
            code, allow_stdin=True, output_hook=_relay, stdin_hook=lambda _: None
        )
        if reply["content"]["status"] != "ok":
            sys.exit("\n".join(reply["content"]["traceback"]))
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def _relay(message) -> None:
    if message["msg_type"] == "stream" and message["content"]["name"] == "stdout":
        print(message["content"]["text"], end="", flush=True)


def measure() -> None:
    """Print the ratios; runs in the kernel."""
    _chart(10, 1.0)  # imports matplotlib and the widgets, once in the life of a kernel
    for rows, epochs in ((60_000, 5), (2_000, 10_000)):
        tried = min(epochs, 200)
        cpu, wall = (spent * epochs / tried for spent in _training(rows, tried))
        live, end = _chart(epochs, wall)
        print(
            f"{rows:>6} rows, {epochs:>6} epochs: training {cpu:.1f} CPU s; chart while it lives "
            f"{live:.3f} CPU s, {live / cpu:.2%} of it; picture at the end {end:.3f} CPU s, {end / cpu:.2%}"
        )


def _training(rows: int, epochs: int) -> tuple[float, float]:
    """CPU and wall seconds of plain Keras."""
    x, y = task.arrays(rows)
    model = task.model()
    model.fit(x, y, batch_size=task.BATCH, epochs=1, verbose=0)
    cpu, wall = time.process_time(), time.perf_counter()
    model.fit(x, y, batch_size=task.BATCH, epochs=epochs, verbose=0)
    return time.process_time() - cpu, time.perf_counter() - wall


def _chart(epochs: int, seconds: float) -> tuple[float, float]:
    """CPU seconds of the live chart over so many seconds of training, and of the picture at its end.

    Watched in real time, four updates a second, for twenty seconds at most; the rest is reckoned.
    """
    from nbkeras.notebook.hosts.jupyter import Live

    run = Run("benchmark", model=None, epochs=epochs, workers=1)
    shown = Live(run)
    watched = min(seconds, WATCHED)
    updates = max(1, int(4 * watched))
    losses = np.exp(-np.linspace(0, 3, epochs))
    done, spent = 0, 0.0
    for update in range(1, updates + 1):
        for epoch in range(done, epochs * update // updates):
            loss = float(losses[epoch])
            logs = {"accuracy": 1 - loss, "loss": loss, "val_accuracy": 1 - loss, "val_loss": loss}
            run.record_epoch(epoch, logs)
        done = epochs * update // updates
        run.record_progress(min(done, epochs - 1), 1, 8, 1e5)
        start = time.process_time()
        shown.update()
        spent += time.process_time() - start
        time.sleep(0.25)
    run.end("finished")
    start = time.process_time()
    shown.finish()
    return spent * seconds / watched, time.process_time() - start


if __name__ == "__main__":
    main()
