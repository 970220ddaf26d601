"""Run a training in a thread, update its display, and turn interrupts into stop and abort."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

from nbkeras.errors import NbkerasError
from nbkeras.run import calls
from nbkeras.run.display import Display, Host, Silent
from nbkeras.run.run import Run
from nbkeras.spark import session

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


class Callbacks(Protocol):
    """The user's callbacks that run in the notebook."""

    def begin(self, epoch: int) -> None:
        """Before the first epoch."""

    def end(self, logs: dict[str, Any]) -> None:
        """After the last, when the weights have landed."""


def attend(
    run: Run,
    prepare: Callable[[], Callable[[], None]],
    callbacks: Callbacks,
    host: Host,
    initial_epoch: int,
    spark: SparkSession,
) -> Run:
    """Train in a thread, show it, and return the run: ended, unless it is in the background.

    Args:
        run: the run.
        prepare: called in this thread, since Keras' settings belong to it; what it
            returns trains, and ends the run.
        callbacks: of the user, called in the thread that waits.
        host: shows it.
        initial_epoch: from 0.
        spark: whose thread-local settings hold for the training too.

    Raises:
        NbkerasError: what ended a run in the foreground.
    """
    display: Display = Silent()
    try:
        display = host.display(run)
        train = prepare()
        callbacks.begin(initial_epoch)
    except BaseException as error:
        # Whatever it was, nobody may wait for this run for ever.
        run.end("aborted" if isinstance(error, KeyboardInterrupt) else "failed", error)
        display.finish()
        raise
    training = session.thread(spark, train, f"nbkeras {run.name}")
    if run.background:
        training.start()
        threading.Thread(target=_watch, args=(run, callbacks, display), daemon=True).start()
        return run
    with _interrupts(run):
        training.start()
        try:
            _watch(run, callbacks, display)
        except BaseException:
            # Such as a time limit of a test or of a cell: the workers hold the slots of what comes next.
            run.abort()
            raise
    calls.finish(run)
    return run.wait()


def _watch(run: Run, callbacks: Callbacks, display: Display) -> None:
    try:
        with contextlib.suppress(NbkerasError):
            run.wait(tick=display.update)
            last = {key: values[-1] for key, values in run.history.items()}
            callbacks.end(last)
    finally:
        display.finish()


@contextlib.contextmanager
def _interrupts(run: Run) -> Iterator[None]:
    """The first interrupt stops after the batch, the second aborts.

    PySpark's own handler would cancel the job at the first, and with it lose
    what was trained.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    seen = False

    def interrupted(*_: Any) -> None:
        nonlocal seen
        action, seen = (run.abort if seen else run.stop), True
        # Not in the handler: it may have cut into anything, even a held lock.
        threading.Thread(target=action, daemon=True).start()

    before = signal.signal(signal.SIGINT, interrupted)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
