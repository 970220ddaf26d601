"""Attending a run without Spark: its thread, its display, and what an interrupt does."""

from __future__ import annotations

import signal
import threading

import pytest

from nbkeras.driver.training import attend
from nbkeras.errors import Aborted, DataError, TrainingError
from nbkeras.run.run import Run


class Shown:
    """A host and a display that remember what they were asked, and in which thread."""

    def __init__(self):
        self.asked = []
        self.threads = set()

    def display(self, run):
        self.asked.append("display")
        return self

    def update(self):
        self.asked.append("update")
        self.threads.add(threading.current_thread())

    def finish(self):
        self.asked.append("finish")


class Callbacks:
    """The user's callbacks, which remember their calls."""

    def __init__(self):
        self.calls = []

    def begin(self, epoch):
        self.calls.append(("begin", epoch))

    def end(self, logs):
        self.calls.append(("end", logs))


@pytest.fixture(autouse=True)
def threads(monkeypatch):
    """Plain threads in place of Spark's; gives their names."""
    names = []

    def thread(spark, work, name):
        names.append((spark, name))
        return threading.Thread(target=work, daemon=True)

    monkeypatch.setattr(attend.session, "thread", thread)
    return names


@pytest.fixture
def shown():
    return Shown()


@pytest.fixture
def callbacks():
    return Callbacks()


@pytest.fixture
def attended(shown, callbacks):
    """Attend a run whose training is a function, and give the run."""

    def attended(train, *, prepare=None, background=False):
        run = Run("digits", None, epochs=3, workers=1, background=background)
        ready = prepare or (lambda: lambda: train(run))
        return attend.attend(run, ready, callbacks, shown, 1, "the session")

    return attended


def test_a_training_has_a_thread_of_its_own_which_spark_knows(attended, threads, shown):
    trained = []

    def train(run):
        trained.append(threading.current_thread())
        run.end("finished")

    assert attended(train).status == "finished"
    assert threads == [("the session", "nbkeras digits")]
    assert trained != [threading.current_thread()]
    assert shown.asked[0] == "display"
    assert shown.asked[-1] == "finish"


def test_the_display_is_updated_in_the_thread_that_waits(attended, shown, wait_for):
    def train(run):
        wait_for(lambda: "update" in shown.asked, "an update")
        run.end("finished")

    attended(train)
    assert shown.threads == {threading.current_thread()}


def test_callbacks_begin_with_the_first_epoch_and_end_with_the_last_values(attended, callbacks):
    def train(run):
        run.record_epoch(1, {"loss": 0.5, "mae": 3.0})
        run.record_epoch(2, {"loss": 0.25})
        run.end("finished")

    attended(train)
    assert callbacks.calls == [("begin", 1), ("end", {"loss": 0.25, "mae": 3.0})]


def test_what_ends_a_training_is_raised_and_its_callbacks_do_not_end(attended, callbacks, shown):
    def train(run):
        run.end("failed", TrainingError("on worker 0: no"))

    with pytest.raises(TrainingError, match=r"^on worker 0: no$"):
        attended(train)
    assert callbacks.calls == [("begin", 1)]
    assert shown.asked[-1] == "finish"


@pytest.mark.parametrize(
    ("error", "status"), [(DataError("no rows"), "failed"), (KeyboardInterrupt(), "aborted")]
)
def test_what_cannot_be_prepared_has_ended_and_is_shown_so(shown, callbacks, error, status):
    run = Run("digits", None, epochs=1, workers=1)

    def prepare():
        raise error

    with pytest.raises(type(error)) as caught:
        attend.attend(run, prepare, callbacks, shown, 0, None)
    assert caught.value is error
    assert (run.status, run.error) == (status, error)
    assert shown.asked == ["display", "finish"]
    assert callbacks.calls == []


def test_a_run_whose_place_cannot_show_it_has_ended_too(callbacks):
    run = Run("digits", None, epochs=1, workers=1)

    class Broken(attend.Silent):
        def display(self, run):
            raise RuntimeError("no page")

    with pytest.raises(RuntimeError, match="no page"):
        attend.attend(run, lambda: run.done.set, callbacks, Broken(), 0, None)
    assert run.status == "failed"


def test_a_run_in_the_background_is_given_back_while_it_trains(attended, callbacks, shown, wait_for):
    go_on = threading.Event()

    def train(run):
        go_on.wait()
        run.end("finished")

    run = attended(train, background=True)
    assert run.status == "running"
    assert callbacks.calls == [("begin", 1)]
    go_on.set()
    wait_for(lambda: shown.asked[-1] == "finish", "the end of the display")
    assert callbacks.calls[-1] == ("end", {})


def test_what_ends_a_run_in_the_background_is_raised_where_it_is_waited_for(attended, shown, wait_for):
    run = attended(lambda run: run.end("failed", DataError("no rows")), background=True)
    wait_for(lambda: shown.asked[-1] == "finish", "the end of the display")
    with pytest.raises(DataError, match="no rows"):
        run.wait()


def test_the_first_interrupt_stops_and_the_second_aborts(attended, wait_for):
    heard = []

    def train(run):
        run.connect(stop=lambda: heard.append("stop"), abort=lambda: heard.append("abort"))
        signal.raise_signal(signal.SIGINT)
        wait_for(lambda: heard == ["stop"], "the stop")
        signal.raise_signal(signal.SIGINT)
        wait_for(lambda: heard == ["stop", "abort"], "the abort")
        run.end("aborted", Aborted("dropped"))

    with pytest.raises(Aborted):
        attended(train)
    assert heard == ["stop", "abort"]


def test_an_interrupt_waits_for_no_lock_that_it_has_cut_into(attended, shown, wait_for):
    """The handler runs between any two steps of the main thread, which may hold what a stop takes."""
    held, stopped = threading.Lock(), threading.Event()

    def stop():
        with held:
            stopped.set()

    def update():
        if "interrupted" not in shown.asked:
            with held:
                signal.raise_signal(signal.SIGINT)
                shown.asked.append("interrupted")

    def train(run):
        run.connect(stop=stop, abort=stop)
        wait_for(stopped.is_set, "the stop")
        run.end("stopped")

    shown.update = update
    assert attended(train).status == "stopped"


def test_afterwards_interrupts_are_as_before(attended):
    before = signal.getsignal(signal.SIGINT)
    during = []

    def train(run):
        during.append(signal.getsignal(signal.SIGINT))
        run.end("failed", DataError("no rows"))

    with pytest.raises(DataError):
        attended(train)
    assert during != [before]
    assert signal.getsignal(signal.SIGINT) is before


def test_in_another_thread_interrupts_are_left_alone(attended):
    before, during = signal.getsignal(signal.SIGINT), []

    def train(run):
        during.append(signal.getsignal(signal.SIGINT))
        run.end("finished")

    one = threading.Thread(target=attended, args=(train,))
    one.start()
    one.join()
    assert during == [before]


def test_a_silent_host_shows_nothing_and_loses_nothing():
    silent = attend.Silent()
    assert silent.display(None) is silent
    assert (silent.headless(), silent.code(), silent.update(), silent.finish()) == (False, None, None, None)


def test_an_exception_that_ends_the_wait_drops_the_training(attended, shown):
    def late():
        raise TimeoutError("the cell took too long")

    runs, shown.update = [], late
    shown.display = lambda run: runs.append(run) or shown

    def train(run):
        run.connect(stop=lambda: None, abort=lambda: run.end("aborted", Aborted("dropped")))

    with pytest.raises(TimeoutError, match="too long"):
        attended(train)

    with pytest.raises(Aborted, match="dropped"):
        runs[0].wait()
