"""Spark's tasks without Spark: rows go to a trainer, here a thread, and what it says comes back as rows."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import re
import signal
import socket
import threading
from dataclasses import replace
from itertools import islice
from multiprocessing import Pipe
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import waiting as waits
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from nbkeras.data.shards import nulls_message
from nbkeras.errors import ClusterError, DataError, WorkerLost
from nbkeras.job import failures, outcome
from nbkeras.job.job import Failure, Job
from nbkeras.job.outcome import Outcome
from nbkeras.plan import Plan
from nbkeras.schema import ORDER, PREFIX, Field, ImageOptions, Schema
from nbkeras.spark.shared import Inside
from nbkeras.worker import predict, predictor, process, stream, task
from nbkeras.worker.predictor import Predictor
from nbkeras.worker.slots import Slot

FIELDS = (
    Field("x0", ("a",), "model input 'x'", "float32", (1,)),
    Field("y0", ("label",), "label 'label'", "int64"),
)
PLAN = Plan(Schema(FIELDS), workers=2)


def job(kind="train", **how):
    return Job(kind, PLAN, Inside(b"the model"), **{"address": ("notebook", 1), "secret": b"secret", **how})


def rows(*xs, **others):
    """A batch as Spark sends it: a row for each of these numbers."""
    numbers = np.arange(len(xs))
    columns = {ORDER: numbers, "x0": pa.array(xs, pa.float64()), "y0": numbers, **others}
    return pa.RecordBatch.from_pydict({name: pa.array(one) for name, one in columns.items()})


def read(batches):
    """The rows that a task gives back: kind, rank and data."""
    return [tuple(row.values()) for batch in batches for row in batch.to_pylist()]


class Hired:
    """Stands for the warm server: a thread for each trainer, which does some work."""

    def __init__(self, work):
        self.work, self.got, self.threads, self.asked = work, [], [], []
        self.once = False

    def __call__(self, backend, files, log):
        self.files = [os.dup(one) for one in files]
        ours, self.pipe = Pipe()
        life, self.line = socket.socketpair()
        self.log = log

        def trainer(one):
            with one.pipe, one.line, contextlib.suppress(EOFError, ConnectionError):
                one.receive()
                one.work(one)
            for file in one.files:
                os.close(file)

        self.threads.append(threading.Thread(target=trainer, args=[copy.copy(self)], daemon=True))
        self.threads[-1].start()
        return ours, life

    def receive(self):
        self.got.append(self.pipe.recv())
        return self.got[-1]

    def send(self, thing):
        self.pipe.send(thing)

    def left(self):
        """Wait for the end of its life line, which is the end of the trainer's process."""
        return self.line.recv(1) == b""

    def received(self):
        """What its trainers have received in all, when they have ended."""
        for one in self.threads:
            one.join()
        return self.got


@pytest.fixture
def hire(monkeypatch):
    """Say what trainers do, which is told with themselves."""
    monkeypatch.delenv("SPARK_LOCAL_DIRS", raising=False)
    everyone = []

    def hire(work):
        everyone.append(Hired(work))
        monkeypatch.setattr(process.fork_server, "hire", everyone[-1])
        return everyone[-1]

    yield hire
    for one in everyone:
        one.received()


@pytest.fixture
def ended(hire):
    """Where trainers say that they have done as soon as they have their rows: give those that they got."""

    def ended(batches, one, channel=None):
        hired = hire(says(("end", None)))
        with process.TrainerProcess(one, 0) as trainer:
            trainer.spool(iter(batches), channel)
            assert [*trainer.messages()] == []
        return hired.received()

    return ended


def says(*messages):
    """A trainer that takes its rows and says this."""

    def work(trainer):
        trainer.receive()
        for one in messages:
            trainer.send(one)

    return work


class Told:
    """Stands for the event channel, and remembers what the notebook is told."""

    def __init__(self, monkeypatch, *, arrives=True):
        self.sent, self.latest, self.closed = [], [], False
        self.arrives = arrives
        monkeypatch.setattr(task, "Channel", self.open)

    def open(self, address, secret, name, obey, certificate=None):
        self.obey, self.name = obey, name
        return self

    def require(self, timeout):
        pass

    def send(self, event):
        self.sent.append(event)

    def progress(self, event):
        self.latest.append(event)

    def close(self, timeout=0.0):
        self.closed = True
        return self.arrives


@pytest.fixture
def told(monkeypatch):
    return Told(monkeypatch)


# -- outputs and results as rows -----------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(3,), (3, 1), (0,)])
def test_an_output_of_one_value_a_row_is_a_column_of_numbers(shape):
    values = np.arange(np.prod(shape), dtype="float64").reshape(shape) / 4
    column = Outcome(0, dtype="float32", rank=outcome.rank(shape[1:])).column(values)
    assert column.type == pa.float32()
    assert column.to_pylist() == values.reshape(-1).tolist()


@given(arrays.arrays("float32", arrays.array_shapes(min_dims=2, max_dims=5, max_side=4), elements=st.just(0)))
def test_an_output_of_any_shape_is_a_column_of_lists_as_deep_as_it(shaped):
    values = np.arange(shaped.size, dtype="float32").reshape(shaped.shape)
    column = Outcome(0, dtype="float32", rank=outcome.rank(shaped.shape[1:])).column(values)
    assert np.array_equal(column.to_pylist(), values[:, 0] if shaped.shape[1:] == (1,) else values)
    column.validate(full=True)


@pytest.mark.parametrize("kind", ["float32", "int64", "bool"])
def test_outputs_have_the_type_that_spark_was_given(kind):
    assert Outcome(0, dtype=kind, rank=1).column(np.array([[1, 0], [0, 1]])).type == pa.list_(
        pa.from_numpy_dtype(kind)
    )


def test_a_report_is_one_row_and_bytes_come_in_pieces(monkeypatch):
    monkeypatch.setattr(task, "PIECE", 4)
    said = [("result", {"epochs": [1]}), ("bytes", b"0123456789"), ("bytes", b"")]
    batches = [*task.rows(iter(said), 3)]
    assert read(batches) == [
        ("report", 3, b'{"epochs": [1]}'),
        ("bytes", 3, b"0123"),
        ("bytes", 3, b"4567"),
        ("bytes", 3, b"89"),
        ("bytes", 3, b""),
    ]
    assert {one.schema for one in batches} == {task._RESULT}


def test_the_schema_that_spark_is_told_is_that_of_the_rows():
    kinds = {pa.string(): "string", pa.int32(): "int", pa.binary(): "binary"}
    assert ", ".join(f"{one.name} {kinds[one.type]}" for one in task._RESULT) == task.RESULT


def test_a_failure_says_whose_it_is_and_a_trainers_keeps_its_own_words():
    here = socket.gethostname()
    own = task.failure(DataError("no rows"), 1)
    assert own == {
        "type": "failure",
        "rank": 1,
        "host": here,
        "kind": "DataError",
        "message": "no rows",
        "frames": [],
        "own": True,
    }
    failure = Failure("KeyError", "'a'", (("cell", 3, "call"),))
    theirs = task.failure(process.TrainerFailed(failure), 0)
    assert failures.from_event(theirs) == failure
    assert str(process.TrainerFailed(failure)) == "KeyError: 'a'"


# -- rows on their way to the trainer ------------------------------------------------------------------


def test_flagged_rows_are_to_validate_on_and_all_others_to_train(ended):
    batches = [rows(1.0, 2.0, 3.0, validation=[False, True, False]), rows(4.0, validation=[True])]
    _, spooled = ended(batches, job())
    assert (spooled.train.rows, spooled.validation.rows, spooled.nulls) == (2, 2, {})
    assert spooled.train.layout["x0"] == ("<f4", (1,))


@pytest.mark.parametrize(("kind", "train", "validation"), [("train", 3, 0), ("evaluate", 0, 3)])
def test_without_flags_the_kind_of_job_says_what_rows_are_for(ended, kind, train, validation):
    _, spooled = ended([rows(1.0, 2.0), rows(3.0)], job(kind))
    assert (spooled.train.rows, spooled.validation.rows) == (train, validation)


@pytest.mark.parametrize("validation", [[False] * 3, [True, False, True], [True] * 3])
def test_the_checksum_is_that_of_all_rows_wherever_they_lie(ended, validation):
    _, spooled = ended([rows(1.0, 2.0, 3.0, validation=validation)], job())
    assert spooled.checksum == 0 + 1 + 2


def test_nulls_of_rows_to_validate_on_are_counted_apart(ended):
    _, spooled = ended([rows(None, None, None, 1.0, validation=[True, False, True, False])], job())
    assert spooled.nulls == {"a": 1, "a (validation)": 2}
    assert nulls_message(spooled.nulls) == (
        "column 'a' holds 1 null: drop these rows (dropna, drop_nulls) or fill them (fillna, fill_null); "
        "column 'a' of the validation rows holds 2 nulls: "
        "drop these rows (dropna, drop_nulls) or fill them (fillna, fill_null)"
    )


def test_the_notebook_hears_how_many_rows_have_come_and_when_all_have(ended, told):
    batches = [rows(1.0, 2.0, validation=[True, False]), rows(3.0, validation=[False])]
    ended(batches, job(), told)
    assert [one["rows"] for one in told.latest] == [2, 3]
    assert told.sent == [{"type": "rows", "rank": 0, "rows": 3, "all": True}]


def test_a_trainer_gets_the_model_itself_and_its_place(ended):
    assignment, spooled = ended([], job("evaluate", resume=Inside(b"a checkpoint")))
    assert (assignment.rank, assignment.neighbours) == (0, 2)
    assert (assignment.job.payload.read(), assignment.job.resume.read()) == (b"the model", b"a checkpoint")
    assert spooled.train.rows == 0


# -- what becomes of a trainer -------------------------------------------------------------------------


@contextlib.contextmanager
def fails(kind, message):
    """A trainer that is hired in this block fails like this."""
    with pytest.raises(kind, match=message) as caught, process.TrainerProcess(job(), 0) as trainer:
        yield trainer, caught


def test_an_exception_of_a_trainer_is_raised_with_its_words(hire):
    failure = Failure("ValueError", "no scale", (("cell", 3, "call"),))
    hire(says(("failure", failure)))
    with fails(process.TrainerFailed, "^ValueError: no scale$") as (trainer, caught):
        trainer.spool(iter([]), None)
        list(trainer.messages())
    assert caught.value.failure == failure


def test_a_trainer_that_has_ended_is_heard_where_it_is_written_to(hire):
    """It may have failed while its rows were still on their way."""
    hired = hire(lambda trainer: trainer.send(("failure", Failure("OSError", "disk full"))))
    with fails(process.TrainerFailed, "^OSError: disk full$") as (trainer, _):
        hired.received()
        trainer.spool(iter([rows(1.0)]), None)


@pytest.mark.parametrize(
    ("printed", "last"),
    [
        ("", "out of memory?"),
        ("loading\n\n  terminate called  \n\n", "terminate called"),
        (
            "Check failed: size\n*** Check failure stack trace: ***\n    @  0x7f  abort\n",
            "Check failed: size",
        ),
        ("x" * 9000, "x" * 300),
    ],
    ids=["nothing", "a line", "a stack", "much"],
)
def test_a_trainer_that_ends_without_a_word_is_told_by_its_last_line(hire, printed, last):
    hire(lambda trainer: os.write(trainer.log, printed.encode()))
    said = f"^the trainer process ended without a result: {re.escape(last)}$"
    with fails(WorkerLost, said) as (trainer, _):
        list(trainer.messages())


@pytest.mark.parametrize(
    ("status", "printed", "said"),
    [
        (
            signal.SIGBUS,
            "Could not find cuda",
            f"was killed by signal {signal.SIGBUS:d} (SIGBUS): no room left",
        ),
        (signal.SIGKILL, "", "was killed by signal 9 (SIGKILL): out of memory?"),
        (signal.SIGSEGV, "", "was killed by signal 11 (SIGSEGV): a fault in compiled code"),
        (62, "", "was killed by signal 62 (of real time)"),
        (3 << 8, "", "ended by itself, with exit status 3"),
        (0, "bye", "ended by itself, with exit status 0; it last printed: bye"),
    ],
)
def test_a_trainer_that_ends_is_told_by_its_signal_or_status(hire, status, printed, said):
    def work(trainer):
        os.write(trainer.log, printed.encode())
        trainer.line.send(process.fork_server._STATUS.pack(status))

    hire(work)
    with fails(WorkerLost, f"^the trainer process {re.escape(said)}") as (trainer, _):
        list(trainer.messages())


def test_the_end_of_the_block_ends_the_trainer_whatever_it_does(hire):
    """Its life line is closed, and the kernel kills it then."""
    ended = []
    hired = hire(lambda trainer: ended.append(trainer.left()))
    with fails(KeyboardInterrupt, "^now$") as (trainer, _):
        files = [one for spool in (trainer._train, trainer._validation) for one in spool.files.values()]
        raise KeyboardInterrupt("now")
    hired.received()
    assert ended == [True]
    assert [one.closed for one in files] == [True] * 6


def test_what_the_python_of_an_executor_lacks_is_told_with_what_to_type_there(monkeypatch):
    monkeypatch.setattr(process.importlib.util, "find_spec", lambda name: None if name == "keras" else name)
    with pytest.raises(ClusterError, match=r" has no keras: install it there \(.* -m pip install keras\)"):
        process.require(job())
    monkeypatch.setattr(process.importlib.util, "find_spec", lambda name: None if name == "PIL" else name)
    process.require(job())
    image = Field("x0", ("a",), "a", "float32", (2, 2, 3), "images", image=ImageOptions())
    with pytest.raises(ClusterError, match=r" has no pillow: install it there \(.* -m pip install pillow\)"):
        process.require(replace(job(), plan=replace(PLAN, schema=Schema((image,)))))


# -- training ------------------------------------------------------------------------------------------


def test_a_trained_model_comes_back_as_rows_and_the_channel_is_closed(hire, told):
    hire(says(("result", {"epochs": []}), ("bytes", b"abc"), ("end", None)))
    assert read(task._trained(job(), 1, iter([rows(1.0)]))) == [
        ("report", 1, b'{"epochs": []}'),
        ("bytes", 1, b"abc"),
    ]
    assert (told.name, told.closed) == ("task-1", True)
    assert [one["type"] for one in told.sent] == ["rows"]


def test_what_fails_is_told_to_the_notebook_and_not_to_spark_again(hire, told):
    hire(says(("failure", Failure("ValueError", "no scale"))))
    assert read(task._trained(job(), 1, iter([rows(1.0)]))) == []
    (*_, failure) = told.sent
    assert (failure["type"], failure["rank"], failure["message"]) == ("failure", 1, "no scale")


def test_what_fails_where_the_notebook_does_not_hear_it_is_left_to_spark(hire, monkeypatch):
    Told(monkeypatch, arrives=False)
    hire(says(("failure", Failure("ValueError", "no scale"))))
    with pytest.raises(process.TrainerFailed, match="no scale"):
        [*task._trained(job(), 0, iter([]))]


def test_who_is_told_to_leave_ends_its_trainer_and_says_nothing_to_spark(hire, monkeypatch):
    told = Told(monkeypatch, arrives=False)

    def work(trainer):
        trainer.receive()
        told.obey({"type": "leave"})
        left.append(trainer.left())

    hired, left = hire(work), []
    assert read(task._trained(job(), 0, iter([]))) == []
    hired.received()
    assert left == [True]


def test_rows_that_spark_could_not_go_on_with_are_left_to_spark(hire, told):
    def broken():
        yield rows(1.0)
        raise OSError("the executor is gone")

    hire(says(("end", None)))
    with pytest.raises(stream.RowsEnded, match="the rows came to an early end: the executor is gone"):
        [*task._trained(job(), 0, broken())]
    assert "failure" not in [one["type"] for one in told.sent]
    assert told.closed


def test_workers_that_cannot_reach_the_notebook_meet_where_rank_0_says():
    context = SimpleNamespace(partitionId=lambda: 1, allGather=lambda said: ['["rank0", 7]', said])
    with task._with_mailbox(job(address=("", 0)), context) as (here, mailbox):
        assert (here.address, mailbox) == (("rank0", 7), None)
    with task._with_mailbox(job(), None) as (here, mailbox):
        assert (here.address, mailbox) == (("notebook", 1), None)


def test_rank_0_opens_the_mailbox_and_tells_the_others_where_it_is():
    gathered = []
    context = SimpleNamespace(
        partitionId=lambda: 0, allGather=lambda said: gathered.append(said) or [said, ""]
    )
    with task._with_mailbox(job(address=("", 0)), context) as (here, mailbox):
        assert here.address == mailbox.address == tuple(json.loads(gathered[0]))
        socket.create_connection(here.address).close()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(here.address)


# -- evaluation and prediction -------------------------------------------------------------------------


def test_an_evaluation_gives_its_states_and_its_nulls(hire):
    hire(says(("bytes", b"abc"), ("end", None)))
    assert read(task.infer(job("evaluate"), iter([rows(1.0, 2.0)]))) == [("bytes", 0, b"abc")]
    hire(says(("bytes", b"abc"), ("end", None)))
    assert read(task.infer(job("evaluate"), iter([rows(1.0, None)])))[1:] == [("nulls", 0, b'{"a": 1}')]


def test_an_evaluation_that_fails_says_so_in_a_row(hire):
    hire(says(("failure", Failure("ValueError", "no scale"))))
    ((kind, rank, data),) = read(task.infer(job("evaluate"), iter([rows(1.0)])))
    assert (kind, rank, json.loads(data)["message"]) == ("failure", 0, "no scale")


PREDICTS = Plan(Schema(FIELDS[:1]))


def lies_still(trainer):
    """A trainer whose process is stopped: it takes nothing more, and only the kernel ends it."""
    trainer.left()


@pytest.fixture
def impatient(monkeypatch):
    """Have a trainer missed after a moment."""
    monkeypatch.setattr("nbkeras.plan.LEAST_HEARTBEAT", 0.0)
    return replace(PREDICTS, heartbeat=0.2)


def test_a_trainer_without_a_sign_of_life_is_missed_where_no_notebook_listens(hire, impatient):
    hire(lies_still)
    with pytest.raises(
        WorkerLost, match=r"^the trainer process has given no sign of life for 0\.2 s: where "
    ):
        predicted(beside(1.0), plan=impatient)


def test_each_sign_of_life_is_waited_for_anew(hire, monkeypatch):
    watches = []

    class Watch:
        def __init__(self, seconds, _):
            self.seconds, self.over = seconds, False
            watches.append(self)

        def start(self):
            assert all(one.over for one in watches[:-1])

        def cancel(self):
            self.over = True

    monkeypatch.setattr(process.threading, "Timer", Watch)
    alive = [("alive", None)] * 3
    hired = hire(says(*alive, ("outputs", [np.ones(1)])))
    with Predictor(PREDICTION) as trainer:
        part = iter([([np.ones(1)], "beside")])
        assert [(one[0].tolist(), rest) for one, rest in islice(trainer.through(part), 1)] == [
            ([1.0], "beside")
        ]
    hired.received()
    # The model and the inputs were taken; three signs and the outputs were heard.
    assert [(one.seconds, one.over) for one in watches] == [(60.0, True)] * 6


def doubles(trainer):
    """A trainer that predicts the double of its only input, for task after task."""
    slots = [Slot(one) for one in trainer.files]
    while True:
        while (asked := trainer.receive()) is not None:
            (inputs,) = slots[asked[0]].read(asked[1])
            trainer.asked.append(inputs.tolist())
            trainer.send(("outputs", [2 * inputs]))
        if trainer.once:
            return


PREDICTION = Job("predict", PREDICTS, Inside(b"the model"), ("", 0), b"")


def predicted(*batches, plan=PREDICTS, **how):
    one = replace(PREDICTION, plan=plan, **how)
    return [*predict.beside(one, [Outcome(0, dtype="float32")], ["a.b", "name", "prediction"], iter(batches))]


def beside(*xs):
    return pa.RecordBatch.from_pydict(
        {"kept0": [*range(len(xs))], "kept1": ["n"] * len(xs), PREFIX + "x0": pa.array(xs, pa.float64())}
    )


def test_predictions_stand_beside_the_columns_that_were_there(hire):
    hired = hire(doubles)
    first, second = predicted(beside(1.0, 2.0), beside(3.0))
    assert first.to_pydict() == {"a.b": [0, 1], "name": ["n", "n"], "prediction": [2.0, 4.0]}
    assert second.to_pydict() == {"a.b": [0], "name": ["n"], "prediction": [6.0]}
    assert hired.received()[-1] is None
    assert hired.asked == [[[1.0], [2.0]], [[3.0]]]


def test_without_a_row_there_is_no_trainer(hire):
    hired = hire(doubles)
    assert predicted(beside()) == []
    assert hired.threads == []


@pytest.fixture
def waiting(monkeypatch):
    """No trainer waits yet for a further task; in the end all go."""
    made = predictor._Waiting()
    monkeypatch.setattr(predictor, "_waiting", made)
    yield made
    while made._kept:
        made._end(*next((key, one) for key, (one, _) in made._kept.items()))


def test_a_trainer_stays_for_the_next_tasks_with_its_model_and_for_no_others(hire, waiting):
    hired = hire(doubles)
    for key in ("a", "b", "a", "b", "a"):
        (found,) = predicted(beside(1.0, 2.0), key=key)
        assert found["prediction"].to_pylist() == [2.0, 4.0]
    assert len(hired.threads) == 2
    predicted(beside(1.0), key="c")
    # The one that has waited longest has gone, the other is there still.
    predicted(beside(1.0), key="a")
    assert len(hired.threads) == 3
    predicted(beside(1.0), key="b")
    assert len(hired.threads) == 4


@pytest.mark.parametrize("end", ["the row", "the trainer", "time"])
def test_a_trainer_does_not_stay_behind_what_went_wrong_nor_for_long(hire, waiting, monkeypatch, end):
    monkeypatch.setattr(predictor, "_IDLE_SECONDS", 0.0 if end == "time" else 60.0)
    monkeypatch.setattr(predictor.devices, "may_have_gpus", lambda: False)
    hired = hire(doubles)
    hired.once = end == "the trainer"
    predicted(beside(1.0), key="a")
    if end == "the row":
        with pytest.raises(DataError):
            predicted(beside(1.0), beside(None), key="a")
    hired.threads[0].join(waits.LIMIT)
    assert not hired.threads[0].is_alive()
    (found,) = predicted(beside(3.0), key="a")
    assert found["prediction"].to_pylist() == [6.0]


def test_a_row_that_is_wanted_no_more_ends_its_trainer(hire, waiting):
    hired = hire(doubles)
    batches = predict.beside(
        replace(PREDICTION, key="a"),
        [Outcome(0, dtype="float32")],
        ["a.b", "name", "prediction"],
        iter([beside(1.0)] * 9),
    )
    next(batches)
    batches.close()
    hired.received()
    assert not waiting._kept


@given(st.lists(st.integers(0, 9), max_size=6), st.integers(1, 4))
def test_rows_and_what_stands_beside_them_keep_their_order_whatever_the_batches(sizes, rows):
    plan, found = replace(PREDICTS, batch_size=rows), []
    numbers = iter(range(99))
    batches = [beside(*(float(next(numbers)) for _ in range(size))) for size in sizes]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(predict, "_SENT", 0)
        hired = Hired(doubles)
        patch.setattr(process.fork_server, "hire", hired)
        found = [row for batch in predicted(*batches, plan=plan) for row in batch.to_pylist()]
    hired.received()
    assert [row["prediction"] for row in found] == [2.0 * at for at in range(sum(sizes))]
    assert [row["a.b"] for row in found] == [at for size in sizes for at in range(size)]
    assert all(len(one) <= rows for one in hired.asked)


def test_nulls_among_what_is_predicted_from_are_counted(hire):
    hire(doubles)
    with pytest.raises(DataError, match="column 'a' holds 2 nulls"):
        predicted(beside(None, 1.0, None))
