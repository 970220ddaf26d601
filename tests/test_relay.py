"""Workers that cannot reach the notebook: events come through Spark's own jobs."""

from __future__ import annotations

import threading

import keras
import numpy as np
import pytest
import waiting
from processes import is_alive, trainers
from twins import eagerly

import nbkeras
from nbkeras.driver.training.relay import Errand, fetch
from nbkeras.errors import ClusterError, DataError, OptionError, TrainingError
from nbkeras.job import failures
from nbkeras.job.job import Failure, Job
from nbkeras.job.mailbox import NOTEBOOK, Mailbox, ports
from nbkeras.plan import Plan
from nbkeras.schema import Schema
from nbkeras.spark import cluster, shared
from nbkeras.spark.shared import Inside
from nbkeras.transport import channel, wire
from nbkeras.transport.messages import Epoch

SECRET = b"secret"
EPOCH = Epoch(type="epoch", epoch=0, logs={}, measured={})
#: Nothing listens at this address of the loopback network.
NOWHERE = "127.0.0.9"
FEW, FREE, ALL = 1, 2, 3  # workers that leave two or one of three slots, or none


pytestmark = pytest.mark.usefixtures("nothing_waits", "any_backend", "as_in_a_notebook")


@pytest.fixture
def far(spark, monkeypatch):
    """The notebook announces an address that nobody can reach."""
    monkeypatch.setattr(cluster, "hosts", lambda _: ("127.0.0.1", NOWHERE))
    if cluster.slots(spark) != ALL:
        monkeypatch.setattr(cluster, "slots", lambda _: ALL)


@pytest.fixture
def arrays():
    rows = np.random.default_rng(0).normal(size=(90, 4)).astype("float32")
    return rows, rows[:, :3].argmax(axis=1)


def network(*more):
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((4,)), *more, keras.layers.Dense(3, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


class Refuses(keras.layers.Layer):
    def call(self, inputs, *, training=False):
        if training:
            raise ValueError("no training today")
        return inputs


class Weights(keras.callbacks.Callback):
    """Keeps the weights of each epoch, and stops after some."""

    def __init__(self, epochs):
        super().__init__()
        self.epochs, self.seen = epochs, []

    def on_epoch_end(self, epoch, logs=None):
        self.seen.append(self.model.get_weights()[0].copy())
        self.model.stop_training = len(self.seen) == self.epochs


def relays():
    return [one for one in threading.enumerate() if one.name.startswith("nbkeras-relay")]


@pytest.mark.parametrize(
    "workers",
    [
        pytest.param(FREE, id="one slot is free", marks=pytest.mark.smoke("local", "connect")),
        pytest.param(ALL, id="no slot is free"),
    ],
)
def test_the_same_model_is_trained_where_workers_cannot_reach_the_notebook(
    spark, far, arrays, workers, wait_for
):
    theirs, ours = network(), network()
    history = eagerly(theirs).fit(*arrays, epochs=3, shuffle=False, verbose=0, batch_size=32).history

    run = nbkeras.fit(ours, *arrays, epochs=3, shuffle=False, workers=workers, spark=spark)

    for mine, one in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(mine, one, rtol=1e-5, atol=1e-6)
    assert run.history["loss"] == pytest.approx(history["loss"], rel=1e-5)
    (note,) = run.notes
    assert note.startswith(f"the workers cannot reach this notebook at {NOWHERE}:")
    told = "epochs come through Spark jobs" if workers == FREE else "epochs come at the end, and Stop drops"
    assert told in note
    wait_for(lambda: not relays(), "the relay's thread to end")


def test_callbacks_in_the_notebook_see_each_epoch_and_may_stop(spark, far, arrays):
    callback, model = Weights(epochs=2), network()

    run = nbkeras.fit(model, *arrays, epochs=9, workers=FEW, callbacks=[callback], spark=spark)

    assert len(run.history["loss"]) == len(callback.seen) == 2
    assert not np.array_equal(*callback.seen)
    np.testing.assert_array_equal(callback.seen[-1], model.get_weights()[0])


def test_callbacks_that_would_see_nothing_are_refused(spark, far, arrays):
    with pytest.raises(ClusterError, match=r"hold all 3 slots, so callbacks .* use --workers 2$"):
        nbkeras.fit(network(), *arrays, workers=ALL, callbacks=[Weights(epochs=1)], spark=spark)


@pytest.mark.smoke("local", "connect")
def test_a_stop_keeps_what_was_trained(spark, far, arrays, wait_for):
    model = network()
    before = model.get_weights()[0].copy()
    run = nbkeras.fit(model, *arrays, epochs=100_000, workers=FEW, background=True, spark=spark)
    wait_for(lambda: run.history.get("loss") or run.done.is_set(), "an epoch")

    run.stop()
    run.wait()

    assert run.status == "stopped"
    assert 1 <= len(run.history["loss"]) < 100_000
    assert not np.array_equal(before, model.get_weights()[0])


def test_a_worker_that_hangs_is_found_though_nobody_hears_it(spark, far, arrays, wait_for):
    options = {"epochs": 100_000, "workers": FEW, "heartbeat": 5, "background": True, "spark": spark}
    run = nbkeras.fit(network(), *arrays, **options)
    wait_for(lambda: run.history.get("loss") or run.done.is_set(), "an epoch")
    hangs = trainers()[-1]
    hangs.suspend()

    wait_for(lambda: any("no sign of life for" in note for note in run.notes) or run.done.is_set(), "a word")

    (note,) = (note for note in run.notes if "no sign of life" in note)
    assert note.endswith("; going on from the start")
    wait_for(lambda: not is_alive(hangs), "the end of what hangs")
    run.stop()
    run.wait()
    assert run.status == "stopped"


def test_where_nothing_can_be_fetched_any_more_stop_still_ends_it(spark, far, arrays, wait_for, monkeypatch):
    def unable(*_):
        raise OSError("no way there")

    run = nbkeras.fit(network(), *arrays, epochs=100_000, workers=FEW, background=True, spark=spark)
    wait_for(lambda: run.history.get("loss") or run.done.is_set(), "an epoch")
    monkeypatch.setattr("nbkeras.driver.training.relay._TRIES", 2)
    monkeypatch.setattr("nbkeras.driver.training.relay.fetch", unable)
    wait_for(lambda: "Stop drops" in run.notes[-1] or run.done.is_set(), "a word")
    assert run.notes[-1].startswith("no epochs can be fetched any more: ")

    with pytest.raises(OptionError, match="cannot pause: no epochs can be fetched any more"):
        run.pause()
    run.stop()
    run.wait(waiting.LIMIT)
    assert run.status == "stopped"
    wait_for(lambda: not trainers(), "the end of the trainers")


@pytest.mark.parametrize(
    "workers",
    [
        pytest.param(FREE, id="one slot is free", marks=pytest.mark.soak),
        pytest.param(ALL, id="no slot is free"),
    ],
)
def test_an_error_on_a_worker_is_one_line_with_its_traceback(spark, far, arrays, workers):
    with pytest.raises(TrainingError, match=r"^on worker \d .*: ValueError: .*no training today") as caught:
        nbkeras.fit(network(Refuses()), *arrays, workers=workers, spark=spark)

    assert "in call" in caught.value.worker_traceback


def test_wrong_data_is_found_among_the_workers(spark, far):
    rows = spark.createDataFrame([(1.0, 1), (None, 0)] * 10, "a double, b int")
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")

    with pytest.raises(DataError, match=r"^column 'a' holds 10 nulls"):
        nbkeras.fit(model, rows, "b", workers=ALL, spark=spark)


def test_weights_too_large_for_rows_come_through_the_relay_too(spark, far, arrays, monkeypatch):
    monkeypatch.setattr(shared, "INSIDE", 100)
    theirs, ours = network(), network()
    eagerly(theirs).fit(*arrays, epochs=1, shuffle=False, verbose=0, batch_size=32)

    nbkeras.fit(ours, *arrays, epochs=1, shuffle=False, workers=FEW, spark=spark)

    np.testing.assert_allclose(ours.get_weights()[0], theirs.get_weights()[0], rtol=1e-5, atol=1e-6)


# -- the mailbox by itself -----------------------------------------------------


def opened():
    job = Job("train", Plan(Schema(), workers=1), Inside(b""), ("", 0), SECRET, weights=1 << 22)
    return Mailbox("127.0.0.1", job)


@pytest.fixture
def mailbox():
    with opened() as one:
        yield one


def errand(mailbox, begin=0, number=1, answers=(), secret=SECRET):
    """What one job brings back."""
    task = Errand((mailbox.address,), secret, number, begin, answers, ())
    rows = [row for batch in fetch(task, iter(())) for row in batch.to_pylist()]
    return b"".join(row["data"] for row in rows if row["kind"] == "log")


def events(log):
    buffer, found = bytearray(log), []
    while (taken := wire.taken(buffer)) is not None:
        found.append(taken)
    assert not buffer
    return found


def test_the_mailbox_keeps_events_until_they_are_known_to_have_arrived(mailbox):
    worker = channel.Channel(mailbox.address, SECRET, "trainer-0")
    worker.send(EPOCH)
    worker.send({"type": "weights"}, bytes(3 << 20))
    assert worker.close(waiting.LIMIT)

    first = errand(mailbox)
    again = errand(mailbox, number=1000)
    rest = errand(mailbox, begin=len(first), number=2000)

    assert first == again
    assert rest == b""
    (epoch, _), (weights, blob), _farewell = events(first)
    assert (epoch["type"], epoch["peer"]) == ("epoch", "trainer-0")
    assert (weights["type"], len(blob)) == ("weights", 3 << 20)


def test_the_mailbox_hands_on_the_notebooks_answers(mailbox):
    worker = channel.Channel(mailbox.address, SECRET, "trainer-0")
    answered = []
    asking = threading.Thread(target=lambda: answered.append(worker.ask({**EPOCH, "ask": True})))
    asking.start()
    log, number = b"", 1
    while not log:
        log, number = errand(mailbox, number=number), number + 1000
    ((event, _),) = events(log)

    errand(mailbox, begin=len(log), number=number, answers=(("trainer-0", event["seq"], {"stop": True}, ""),))
    asking.join(waiting.LIMIT)

    assert answered == [{"stop": True}]
    worker.close()


def test_a_mailbox_that_is_closed_after_the_last_word_has_answered_it():
    arrived = []
    with opened() as mailbox:
        worker = channel.Channel(mailbox.address, SECRET, "task-0")
        worker.send(failures.event(Failure("ValueError", "no scale"), rank=0))
        leaving = threading.Thread(target=lambda: arrived.append(worker.close(waiting.LIMIT)))
        leaving.start()
        assert mailbox.failure()["rank"] == 0
    leaving.join(waiting.LIMIT)

    assert arrived == [True]


def test_the_mailbox_tells_nothing_to_who_does_not_know_the_secret(mailbox):
    worker = channel.Channel(mailbox.address, SECRET, "trainer-0")
    worker.send(EPOCH)
    assert worker.close(waiting.LIMIT)

    assert errand(mailbox, secret=b"guessed") == b""
    with pytest.raises((OSError, EOFError, wire.ProtocolError)):
        channel.connect(mailbox.address, b"guessed", NOTEBOOK)


def test_a_mailbox_takes_the_next_port_where_one_is_taken(mailbox):
    with opened() as second:
        assert mailbox.address[1] != second.address[1]
        assert {mailbox.address[1], second.address[1]} <= set(ports(SECRET))


def test_events_are_put_together_from_pieces_of_any_size():
    frames = wire.encode({"type": "weights", "peer": "trainer-0"}, bytes(range(256)) * 9000)
    frames += wire.encode({"type": "farewell", "peer": "task-0"})
    buffer, found = bytearray(), []
    for start in range(0, len(frames), 99_991):
        buffer += frames[start : start + 99_991]
        while (taken := wire.taken(buffer)) is not None:
            found.append(taken)

    assert [event["type"] for event, _ in found] == ["weights", "farewell"]
    assert found[0][1] == bytes(range(256)) * 9000
