"""One stage of a training without Spark: what workers say, what ends it, and where nobody is heard."""

from __future__ import annotations

import json
import threading
from types import SimpleNamespace

import pytest
from waiting import wait_for

from nbkeras.driver.training import submission, watchdog
from nbkeras.driver.training.submission import Cancelled, Submission
from nbkeras.errors import ClusterError, NbkerasError, OptionError, PeerLost, TrainingError, WorkerLost
from nbkeras.job import failures
from nbkeras.job.job import Failure, Job
from nbkeras.plan import Plan
from nbkeras.run.run import Run
from nbkeras.schema import Schema
from nbkeras.spark.shared import INSIDE, Inside

JOB = Job("train", Plan(Schema(), workers=2), Inside(b""), ("notebook", 9), b"")
RAISED = {**failures.event(Failure("ValueError", "no scale", ()), rank=1), "host": "there"}


class Stage:
    """Stands for an action of Spark: remembers that it was cancelled."""

    def __init__(self):
        self.cancelled = threading.Event()
        self.cancel = self.cancelled.set


@pytest.fixture
def submit(monkeypatch):
    """Make a stage of two workers, or as a plan says."""
    monkeypatch.setattr(submission.cluster, "task", lambda *_: Stage())

    def submit(*, size=0, **how):
        plan = Plan(Schema(), **{"workers": 2, **how})
        run = Run("digits", None, epochs=1, workers=plan.workers)
        made = Submission(None, plan, None, run, Inside(b""), None, None, None, {}, size, again=False)
        made._ended.set()  # nobody is waited for
        return made

    return submit


def ends(one, monkeypatch, *, rows=(), error=None):
    """What a stage comes to that gives these rows, or this error."""

    def run(_):
        if error is not None:
            raise error
        return list(rows)

    monkeypatch.setattr(one, "_run_stage", run)
    return one.collect()


def failure(**more):
    return {"kind": "failure", "data": json.dumps(RAISED | more).encode()}


def test_an_event_that_cannot_be_handled_ends_the_stage_and_is_named(submit, monkeypatch):
    one = submit()
    one._inbox.take("trainer-0", {"type": "nothing that is known"}, b"", None)
    assert one._failure is None
    one._inbox.take("trainer-0", {"type": "rows"}, b"", None)
    wait_for(one._stage.cancelled.is_set, "the end of the stage")
    with pytest.raises(NbkerasError, match=r"^an event of trainer-0 could not .*'rows: rank is missing'"):
        ends(one, monkeypatch)


def test_what_other_workers_notice_gives_way_to_its_cause_and_the_cause_to_nothing(submit):
    one = submit()
    for error in (PeerLost("the sum broke off"), TrainingError("its cause"), ClusterError("Spark has ended")):
        one.fail(error)
    assert str(one._failure) == "its cause"
    wait_for(one._stage.cancelled.is_set, "the end of the stage")


def test_the_failure_that_comes_as_a_row_is_that_of_its_worker(submit, monkeypatch):
    with pytest.raises(TrainingError, match=r"^on worker 1 \(there\): ValueError: no scale$"):
        ends(submit(), monkeypatch, rows=[failure()])


def test_a_stage_that_ends_as_it_is_aborted_gives_nothing(submit, monkeypatch):
    one = submit()
    one.abort()
    with pytest.raises(Cancelled):
        ends(one, monkeypatch, rows=[failure()])


def test_a_job_that_a_stop_has_cancelled_before_it_was_there_has_not_failed(submit, monkeypatch):
    one = submit()
    with pytest.raises(ClusterError):
        ends(one, monkeypatch, error=ClusterError("the job was cancelled"))
    one._run.stopping.set()
    with pytest.raises(Cancelled):
        ends(one, monkeypatch, error=ClusterError("the job was cancelled"))


def test_who_is_silent_for_longer_than_a_heartbeat_is_lost_unless_it_has_taken_its_leave(submit):
    one = submit(heartbeat=5)
    one._inbox.take("task-1", {"type": "farewell"}, b"", None)
    one._watchdog.require_alive({"task-1": 9, "trainer-0": 5})
    assert one._failure is None
    one._watchdog.require_alive({"trainer-0": 6.0})
    assert type(one._failure) is WorkerLost
    assert str(one._failure).startswith("the trainer 0 has given no sign of life for 6 s: where a step ")


def test_where_no_worker_begins_that_is_said_once_with_what_may_be_and_what_to_do(submit, monkeypatch):
    one = submit()
    one._run.enter("slots")
    one._watchdog.submitted, one._stage.computes = True, lambda: True
    monkeypatch.setattr(submission.cluster, "slots", lambda _: 2)
    monkeypatch.setattr(watchdog.dynamic_allocation, "is_on", lambda _: False)
    seconds = iter([False] * 400 + [True])
    one._ended = SimpleNamespace(wait=lambda _: next(seconds))

    one._watchdog.watch(SimpleNamespace(event_counts=dict), one._ended)

    assert one._run.phase == "computing"
    assert one._failure is None
    (note,) = one._run.notes
    assert note.startswith("no worker has begun for 180 s: Spark computes the rows, or ")
    assert note.endswith("; Spark's own page shows its tasks, and a stop ends them")


# -- workers that cannot reach the notebook ------------------------------------------------------------------


@pytest.fixture
def slots(monkeypatch):
    monkeypatch.setattr(submission.cluster, "slots", lambda _: 2)


def test_without_a_way_nor_a_slot_epochs_come_at_the_end_and_that_is_said(submit, slots):
    one = submit()
    job = one._by_relay(None, JOB, [])
    assert (job.address, job.mute, one._run.phase) == (("", 0), True, "starting")
    (note,) = one._run.notes
    assert note == (
        "the workers cannot reach this notebook at notebook:9 and hold all 2 slots: epochs come at the end, "
        "and Stop drops what was trained; use --workers 1 to see them as they end"
    )
    with pytest.raises(OptionError, match="cannot pause: the workers cannot reach this notebook"):
        one._run.pause()
    one.stop()
    assert one._stage.cancelled.is_set()


@pytest.mark.parametrize(("workers", "todo"), [(2, "use --workers 1"), (1, "give Spark more cores")])
def test_callbacks_that_would_see_no_epoch_are_refused(submit, monkeypatch, workers, todo):
    monkeypatch.setattr(submission.cluster, "slots", lambda _: workers)
    one = submit(workers=workers, asks=True)
    with pytest.raises(ClusterError, match=f"callbacks in the notebook would see no epoch: {todo}$"):
        one._by_relay(None, JOB, [])


def test_the_way_around_is_not_taken_where_spark_encrypts_the_network(submit, slots):
    one = submit(workers=1)
    job = Job("train", JOB.plan, Inside(b""), ("notebook", 9), b"", certificate="PEM")
    with pytest.raises(ClusterError, match=r"Spark encrypts the network: let them through to that address$"):
        one._by_relay(None, job, [])


@pytest.mark.parametrize("how", [{"asks": True}, {"size": INSIDE + 1}], ids=["callbacks", "large weights"])
def test_a_way_around_that_is_lost_ends_a_training_that_waits_for_an_answer(submit, how):
    one = submit(**how)
    one._lost_relay(ClusterError("no slot is left"))
    assert str(one._failure) == "no slot is left"
    wait_for(one._stage.cancelled.is_set, "the end of the stage")


def test_a_way_around_that_is_lost_costs_any_other_training_its_epochs_until_the_end(submit):
    one = submit()
    one._lost_relay(ClusterError("no slot is left"))
    (note,) = one._run.notes
    assert note.startswith("no epochs can be fetched any more: no slot is left; they come at the end")
    assert not one._stage.cancelled.is_set()
    one._run.stopping.set()
    one._lost_relay(ClusterError("no slot is left"))
    assert one._stage.cancelled.is_set()
