from __future__ import annotations

import contextlib
import socket
import struct
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from waiting import LIMIT

from nbkeras.errors import ClusterError, NbkerasError, PeerLost
from nbkeras.transport import wire
from nbkeras.transport.channel import exactly
from nbkeras.transport.ports import reserve
from nbkeras.worker import ring
from nbkeras.worker.ring import Ring

SECRET = b"s" * 32


@pytest.fixture
def listening():
    """Give so many listening sockets and their addresses."""
    with contextlib.ExitStack() as stack:

        def listening(number):
            ports = [stack.enter_context(reserve("127.0.0.1", listen=True)) for _ in range(number)]
            return ports, [f"127.0.0.1:{port.getsockname()[1]}" for port in ports]

        yield listening


@pytest.fixture
def on_all(listening):
    """Give what the work of each worker gives, all at once, with a ring of so many."""

    def on_all(number, work):
        ports, addresses = listening(number)
        done = threading.Barrier(number)

        def worker(rank):
            with contextlib.closing(Ring(ports[rank], addresses, rank, SECRET)) as one:
                result = work(one, rank)
                done.wait(LIMIT)
                return result

        with ThreadPoolExecutor(number) as pool:
            return [*pool.map(worker, range(number))]

    return on_all


@pytest.mark.parametrize("workers", [2, 3, 5])
@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_all_workers_get_the_same_bits_of_the_sum_whatever_its_length(workers, kind, on_all):
    lengths = [1, workers - 1, workers, 1001, 3_000_000 // workers]  # the last overflows what sockets hold
    random = np.random.default_rng(workers)
    vectors = [[random.normal(size=length).astype(kind) for length in lengths] for _ in range(workers)]

    sums = on_all(workers, lambda one, rank: [one.sum(vector) for vector in vectors[rank]])

    for column in range(len(lengths)):
        first, *others = [mine[column] for mine in sums]
        assert first.dtype == kind
        np.testing.assert_allclose(first, sum(mine[column] for mine in vectors), 1e-5, 1e-5)
        for other in others:
            np.testing.assert_array_equal(other, first)


def test_what_is_summed_is_left_as_it_is(on_all):
    vectors = [np.ones(7), np.full(7, 2.0)]

    on_all(2, lambda one, rank: one.sum(vectors[rank]))

    assert vectors[0].tolist() == [1] * 7
    assert vectors[1].tolist() == [2] * 7


def test_a_peer_without_the_secret_is_refused_and_delays_no_worker(monkeypatch, listening):
    monkeypatch.setattr(ring, "PROVE", 0.5)
    monkeypatch.setattr(ring, "MEET", LIMIT)
    ports, addresses = listening(2)
    host, _, number = addresses[0].rpartition(":")
    silent = socket.create_connection((host, int(number)), timeout=LIMIT)
    liar = socket.create_connection((host, int(number)), timeout=LIMIT)
    liar.sendall(bytes(wire.NONCE + wire.DIGEST))

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(Ring, ports[0], addresses, 0, SECRET)
        for stranger in (silent, liar):
            assert len(exactly(stranger, wire.NONCE)) == wire.NONCE
            assert stranger.recv(1000) == b""
            stranger.close()
        monkeypatch.setattr(ring, "PROVE", LIMIT)  # who can prove it may be slow on a busy machine
        made = [one.result() for one in (first, pool.submit(Ring, ports[1], addresses, 1, SECRET))]
        sums = [pool.submit(one.sum, np.ones(3)) for one in made]

    assert [one.result().tolist() for one in sums] == [[2, 2, 2]] * 2
    for one in made:
        one.close()


def test_workers_meet_while_a_crowd_of_strangers_has_the_word(monkeypatch, listening):
    """With more time for each than all have together, nobody can have waited for another."""
    monkeypatch.setattr(ring, "PROVE", 10 * LIMIT)
    monkeypatch.setattr(ring, "MEET", LIMIT)
    ports, addresses = listening(2)
    host, _, number = addresses[0].rpartition(":")
    crowd = [
        socket.create_connection((host, int(number)), timeout=LIMIT) for _ in range(ring.UNAUTHENTICATED + 9)
    ]

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(Ring, ports[0], addresses, 0, SECRET)
        for stranger in crowd:
            with contextlib.suppress(OSError):  # those that were too many were sent away
                stranger.sendall(b"x")
        second = pool.submit(Ring, ports[1], addresses, 1, SECRET)
        made = [one.result() for one in (first, second)]
        sums = [pool.submit(one.sum, np.ones(3)) for one in made]

    assert [one.result().tolist() for one in sums] == [[2, 2, 2]] * 2
    for one in [*crowd, *made]:
        one.close()


def test_a_worker_of_another_run_is_not_believed(monkeypatch, listening):
    monkeypatch.setattr(ring, "MEET", 1)
    ports, addresses = listening(2)

    with ThreadPoolExecutor(2) as pool:
        secrets = (SECRET, b"t" * 32)
        rings = [pool.submit(Ring, ports[rank], addresses, rank, secrets[rank]) for rank in range(2)]

    for one in rings:
        with pytest.raises(NbkerasError, match=r"^worker \d "):
            one.result()


def test_a_worker_that_cannot_be_reached_or_never_connects_is_reported_in_one_line(monkeypatch, listening):
    monkeypatch.setattr(ring, "MEET", 0.5)
    (port, _), addresses = listening(2)
    with pytest.raises(ClusterError, match=r"cannot reach the next one at 127\.0\.0\.1:\d+ \("):
        Ring(port, addresses, 0, SECRET)  # the other one listens and says nothing
    (port, _), addresses = listening(2)
    monkeypatch.setattr(Ring, "_knock", lambda *_: socket.socket())  # the next one is there
    with pytest.raises(ClusterError, match=r"waited 0 s for worker 1 .* let the workers' machines through"):
        Ring(port, addresses, 0, SECRET)


@pytest.mark.parametrize("when", ["before it is called", "when it is called", "while it proves the secret"])
def test_a_worker_that_is_killed_while_they_meet_is_lost_and_no_fault_of_the_network(
    monkeypatch, listening, when
):
    monkeypatch.setattr(ring, "GONE", 0)
    (port, other), addresses = listening(2)

    def go():
        connection, _ = other.accept()
        if when == "while it proves the secret":
            connection.sendall(b"n" * wire.NONCE)
            connection.recv(1)
        # As the end of a process does that has not read all.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()

    with ThreadPoolExecutor(1) as pool:
        if when == "before it is called":
            other.close()
        else:
            pool.submit(go)
        with pytest.raises(
            PeerLost, match=r"cannot reach the next one at .*: it has gone; if it has not, let"
        ):
            Ring(port, addresses, 0, SECRET)


def test_a_worker_that_goes_is_noticed_at_once(on_all):
    def work(one, rank):
        if rank == 1:
            one.close()
            return
        with pytest.raises(ConnectionError):
            one.sum(np.ones(9_000_000))
        one.close()  # as the end of its process does

    on_all(3, work)


def test_neighbours_that_are_slow_are_waited_for(on_all):
    others = threading.Semaphore(0)

    def work(one, rank):
        if rank == 0:
            for _ in range(2):
                others.acquire()
        else:
            others.release()
        return one.sum(np.full(10, float(rank)))[0]

    assert on_all(3, work) == [3.0] * 3
