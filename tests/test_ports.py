"""The ports of TensorFlow's own runtime: what happens when another program takes one.

It sums between GPUs, here between processors. Other ports listen before anybody is told of them.
"""

from __future__ import annotations

import contextlib
import re
import socket

import keras
import numpy as np
import pytest
from processes import trainers

import nbkeras
from nbkeras.driver.training.inbox import Inbox
from nbkeras.errors import ClusterError
from nbkeras.job import rendezvous
from nbkeras.spark import gpus
from nbkeras.transport import ports

pytestmark = pytest.mark.usefixtures("as_with_gpus")
X = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
Y = X.sum(axis=1)


@pytest.fixture(scope="module")
def as_with_gpus():
    """Have workers use TensorFlow's runtime, as those with GPUs of their own do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gpus, "own", lambda *_: True)
        yield


def fit(spark, workers=2):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    return nbkeras.fit(model, X, Y, workers=workers, shuffle=False, verbose=0, spark=spark)


@pytest.fixture(scope="module")
def plain(as_with_gpus, spark):
    """The losses where nobody takes a port."""
    return fit(spark).history["loss"]


class Taker:
    """Another program on this machine, which listens on a port that a worker has reserved.

    It does so when both workers have told of a moment, but before they hear that of each other.
    """

    def __init__(self, moment, times):
        self.moment, self.times = moment, times
        self.reserved, self.ports, self.told = [], [], 0

    def __call__(self, peer, event, blob, answer):
        if event.get("type") == "hello":
            self.reserved.append(event["port"])
        if event.get("type") == self.moment:
            self.told += 1
            if self.told % 2 == 0 and len(self.ports) < self.times:
                self.take(self.reserved[-1])

    def take(self, port):
        taken = socket.socket()
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("", port))
        taken.listen()
        self.ports.append(taken)


@pytest.fixture
def taking(monkeypatch):
    """Let a taker act on an event before the notebook does."""
    with contextlib.ExitStack() as stack:

        def use(taker):
            take = Inbox.take

            def first(self, *event):
                taker(*event)
                take(self, *event)

            monkeypatch.setattr(Inbox, "take", first)
            stack.callback(lambda: [one.close() for one in taker.ports])
            return taker

        yield use


def test_workers_choose_other_ports_when_one_was_taken(spark, plain, taking):
    taker = taking(Taker("hello", times=2))
    run = fit(spark)
    assert run.status == "finished"
    assert run.history["loss"] == pytest.approx(plain)
    assert len(taker.ports) == 2
    assert len(taker.reserved) == 6  # two workers, three times


def test_ports_that_are_always_taken_end_in_one_line(spark, taking, wait_for):
    taker = taking(Taker("hello", times=100))
    with pytest.raises(
        ClusterError, match=r"taken by other programs 5 times: run it again, or use"
    ) as caught:
        fit(spark)
    assert isinstance(caught.value, ClusterError)
    assert len(taker.ports) == rendezvous.PORTS
    wait_for(lambda: not trainers(), "the trainers to end")


def test_a_port_taken_under_the_backends_hands_costs_one_attempt(spark, plain, taking, wait_for):
    taking(Taker("port", times=1))
    run = fit(spark)
    assert run.history["loss"] == pytest.approx(plain)
    (note,) = run.notes
    assert re.search(r"127\.0\.0\.1:\d+, where worker \d had to listen, was taken", note)
    # The other one waited for this worker, inside TensorFlow, and would have done so forever.
    wait_for(lambda: not trainers(), "the trainers to end")


def test_a_reserved_port_is_given_to_nobody_who_asks_for_any():
    with ports.reserve("") as holder, contextlib.ExitStack() as stack:
        port = holder.getsockname()[1]
        assert ports.is_free(holder)
        for _ in range(2000):
            other = stack.enter_context(socket.socket())
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            other.bind(("", 0))
            assert other.getsockname()[1] != port


def test_a_port_on_which_another_listens_is_not_free():
    with ports.reserve("") as holder, contextlib.closing(socket.socket()) as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", holder.getsockname()[1]))
        assert ports.is_free(holder)
        other.listen()
        assert not ports.is_free(holder)
