"""Listeners: what they hear of a run, in which thread, and that they harm nobody."""

from __future__ import annotations

import threading

import keras
import numpy as np
import pytest

import nbkeras
from nbkeras.errors import OptionError
from nbkeras.run import calls, listeners
from nbkeras.run.listeners import Listener
from nbkeras.run.run import Run


class Diary(Listener):
    """Remembers all that it has heard, and by which threads."""

    def __init__(self):
        self.heard, self.threads = [], set()

    def _write(self, *words):
        self.heard.append(words)
        self.threads.add(threading.current_thread().name)

    def begun(self, run):
        self._write("begun", run.name)

    def phase(self, run, phase):
        self._write("phase", phase)

    def epoch(self, run, epoch, logs):
        self._write("epoch", epoch, logs)

    def note(self, run, sentence):
        self._write("note", sentence)

    def ended(self, run):
        self._write("ended", run.status)


def digits(*those):
    run = Run("digits", model=None, epochs=2, workers=1)
    run.listen(list(those))
    return run


def test_a_listener_hears_in_order_of_all_that_happens_to_a_run_by_one_thread():
    diary = Diary()
    run = digits(diary)
    run.enter("training")
    run.enter("training")
    run.record_epoch(0, {"loss": 0.5})
    run.record_epoch(0, {"loss": 0.5})
    run.note("twice")
    run.note("twice")
    run.restart("a worker was lost")
    run.end("finished")
    run.end("failed")

    assert calls.finish(run)
    assert diary.heard == [
        ("begun", "digits"),
        ("phase", "training"),
        ("epoch", 0, {"loss": 0.5}),
        ("note", "twice"),
        ("note", "a worker was lost"),
        ("phase", "slots"),
        ("ended", "finished"),
    ]
    assert diary.threads == {"nbkeras-listeners"}


def test_a_run_does_not_wait_for_a_listener_and_who_waits_is_told(monkeypatch, capsys):
    monkeypatch.setattr(calls, "_QUIET", 0.01)
    free, begun = threading.Event(), threading.Event()

    class Slow(Diary):
        def epoch(self, run, epoch, logs):
            begun.set()
            free.wait()
            super().epoch(run, epoch, logs)

    slow, other = Slow(), Diary()
    run, another = digits(slow), digits(other)
    run.record_epoch(0, {"loss": 0.5})
    begun.wait()
    run.record_epoch(1, {"loss": 0.4})
    another.end("finished")
    run.end("finished")

    assert run.wait() is run
    assert not calls.finish(run, 0.02)
    assert capsys.readouterr().out == "Listeners are still at work: waiting up to 0.01 s for them.\n"
    free.set()
    assert calls.finish(run)
    assert calls.finish(another)
    assert [words[0] for words in slow.heard] == ["begun", "epoch", "epoch", "ended"]
    assert [words[0] for words in other.heard] == ["begun", "ended"]


def test_progress_that_waits_behind_a_slow_listener_comes_once():
    free, begun = threading.Event(), threading.Event()

    class Slow(Diary):
        def epoch(self, run, epoch, logs):
            begun.set()
            free.wait()

        def progress(self, run):
            self._write("progress", run.place)

    slow = Slow()
    run = digits(slow)
    run.record_epoch(0, {"loss": 0.5})
    begun.wait()
    for step in range(1, 6):
        run.record_progress(1, step, 5, 100.0)
    free.set()
    run.pause()
    run.end("stopped")

    assert calls.finish(run)
    heard = [words for words in slow.heard if words[0] == "progress"]
    assert heard[0] == ("progress", (2, 5))
    assert len(heard) <= 2


@pytest.mark.parametrize("error", [ValueError("no server\nat all"), KeyboardInterrupt(), SystemExit(3)])
def test_what_a_listener_raises_is_noted_once_and_all_are_called_on(error):
    class Broken(Diary):
        def _write(self, *words):
            super()._write(*words)
            if words[0] in ("epoch", "note"):
                raise error

    broken, diary = Broken(), Diary()
    run = digits(broken, diary)
    run.record_epoch(0, {"loss": 0.5})
    run.record_epoch(1, {"loss": 0.4})
    run.end("finished")

    assert calls.finish(run)
    (note,) = run.notes
    assert note.startswith(f"listener Broken.epoch has failed: {type(error).__name__}")
    assert "\n" not in note
    assert [words[0] for words in broken.heard if words[0] != "note"] == ["begun", "epoch", "epoch", "ended"]
    assert [words for words in diary.heard if words[0] == "note"] == [("note", note)]


def test_what_a_listener_waits_for_is_never_itself():
    class Curious(Diary):
        def ended(self, run):
            self._write("ended", calls.finish(run))

    curious = Curious()
    run = digits(curious)
    run.end("finished")
    assert calls.finish(run)
    assert curious.heard[-1] == ("ended", False)


def test_no_thread_is_left_where_there_is_nothing_to_tell():
    run = digits(Diary())
    run.end("finished")
    assert calls.finish(run)
    assert [one for one in threading.enumerate() if one.name == "nbkeras-listeners" and one.is_alive()] == []


@pytest.mark.parametrize(("wrong", "named"), [(Diary, "the class Diary"), (print, "a builtin_function")])
def test_an_object_that_is_not_a_listener_is_refused_before_anything_begins(wrong, named):
    before = len(nbkeras.runs)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    with pytest.raises(OptionError, match=f"listeners holds {named}"):
        listeners.hearing([wrong])
    assert len(nbkeras.runs) == before


@pytest.mark.usefixtures("any_backend")
def test_those_of_one_training_and_those_of_all_hear_what_keras_callbacks_hear(spark, monkeypatch):
    mine, all_runs, both = Diary(), Diary(), Diary()
    monkeypatch.setattr(listeners, "listeners", [all_runs, both])
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    x = np.ones((8, 2), dtype="float32")

    with nbkeras.on_spark(1, spark=spark, listeners=[mine, both]):
        history = model.fit(x, x[:, 0], epochs=2, verbose=0).history

    assert [words[1:] for words in mine.heard if words[0] == "epoch"] == [
        (epoch, {"loss": loss}) for epoch, loss in enumerate(history["loss"])
    ]
    assert mine.heard[0] == ("begun", nbkeras.runs[-1].name)
    assert mine.heard[-1] == ("ended", "finished")
    assert ("phase", "training") in mine.heard
    assert mine.heard == all_runs.heard == both.heard
