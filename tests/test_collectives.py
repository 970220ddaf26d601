"""Two workers' optimizers over a real ring of sockets, a thread each."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest

from nbkeras.transport.ports import reserve
from nbkeras.worker.backends.tensorflow import Sockets
from nbkeras.worker.collectives import Flag
from nbkeras.worker.schedule import Steps

#: Rows of each worker in two steps.
ROWS = np.array([[1, 3], [0, 2]])


class Own(keras.Sequential):
    """Has a training step of its own: its gradients are those of its rows' mean."""

    def train_step(self, data):
        raise NotImplementedError


def model():
    made = Own([keras.Input((2,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")])
    made.compile(keras.optimizers.SGD(1.0), "mse")
    made.optimizer.build(made.trainable_variables)
    return made


@pytest.fixture
def together():
    """Do something on two workers at once."""
    ports = [reserve("127.0.0.1", listen=True) for _ in range(2)]
    addresses = [f"127.0.0.1:{port.getsockname()[1]}" for port in ports]
    models = [model(), model()]
    with ThreadPoolExecutor(2) as pool:
        made = [pool.submit(Sockets, port, addresses, rank, b"s" * 32) for rank, port in enumerate(ports)]
        groups = [one.result() for one in made]
        for rank, (group, one) in enumerate(zip(groups, models, strict=True)):
            group.synchronise(one, Steps(ROWS, rank, dealt=False), None)

        def together(work):
            return [*pool.map(work, groups, models)]

        yield together
    for group in groups:
        group._ring.close()
    for port in ports:
        port.close()


def step(group, model, gradient):
    """What a step with some gradient of this worker's adds to the weights."""
    before = model.get_weights()[0].ravel()
    group.begin((), training=True)
    model.optimizer.apply([keras.ops.convert_to_tensor(np.reshape(gradient, (2, 1)).astype("float32"))])
    return (before - model.get_weights()[0].ravel()).tolist()


def test_gradients_are_weighted_by_each_steps_share_and_a_filler_may_be_no_number(together):
    def steps(group, model):
        first = [4.0, 8.0] if group.rank == 0 else [1.0, 1.0]
        second = [np.nan, np.nan] if group.rank == 0 else [5.0, 5.0]
        return [step(group, model, one) for one in (first, second, first)]

    assert together(steps) == [[[1.75, 2.75], [5, 5], [1.75, 2.75]]] * 2


def test_a_stop_of_one_worker_is_seen_by_all_after_the_same_step(together):
    def seen(group, model):
        found = []
        for number in range(3):
            if number == 1 and group.rank == 1:
                group.request(Flag.STOP)
            step(group, model, [1.0, 1.0])
            found.append(group.seen(Flag.STOP))
        return found, group.requested(Flag.STOP), group.agree([1.0, group.rank])

    assert together(seen) == [([False, True, True], False, [2, 1]), ([False, True, True], True, [2, 1])]


def test_a_request_to_meet_is_seen_by_all_after_the_same_step_and_once(together):
    def seen(group, model):
        found = []
        for number in range(3):
            if number == 1 and group.rank == 0:
                group.request(Flag.STEER)
            step(group, model, [1.0, 1.0])
            found.append(group.seen(Flag.STEER))
            if found[-1]:
                group.clear(Flag.STEER)
                assert not group.seen(Flag.STEER)
        return found, group.seen(Flag.STOP)

    assert together(seen) == [([False, True, False], False)] * 2


def test_what_ends_training_by_itself_is_no_wish_of_the_user(together):
    def ended(group, model):
        group.request(Flag.END)
        step(group, model, [1.0, 1.0])
        return group.seen(Flag.END), group.seen(Flag.STOP), group.requested(Flag.STOP)

    assert together(ended) == [(True, False, False)] * 2
