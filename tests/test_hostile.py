"""The event port among enemies: it lives on, workers get in, and nothing of a stranger is parsed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import socket
import ssl
import subprocess
import sys
import threading
import time

import keras
import numpy as np
import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from peers import SECRET, channel, is_closed, member, receive, stranger
from waiting import LIMIT

import nbkeras
from nbkeras.errors import ClusterError
from nbkeras.transport import events, tls, wire
from nbkeras.transport.channel import Channel
from nbkeras.transport.events import Server

pytestmark = pytest.mark.usefixtures("any_backend")

#: Comes as fast as it can, in every way that a stranger may, until it is killed.
CROWD = """
import os, random, socket, sys
host, port, secret = sys.argv[1], int(sys.argv[2]), bytes.fromhex(sys.argv[3])
held = []
replay = os.urandom(64)
print("here", flush=True)
while True:
    try:
        one = socket.create_connection((host, port), timeout=5)
        what = random.randrange(6)
        if what == 0:
            one.sendall(os.urandom(random.randrange(1, 4096)))
        elif what == 1:
            one.sendall(b"\\x00" * 63)
        elif what == 2:
            one.recv(32)
            one.sendall(replay)
        elif what == 3:
            one.sendall(b"GET / HTTP/1.1\\r\\nHost: notebook\\r\\n\\r\\n" * 100)
        elif what == 4:
            one.sendall(b"\\x16\\x03\\x01" + os.urandom(200))
        held.append(one)
        if len(held) > 200:
            held.pop(random.randrange(200)).close()
    except OSError:
        pass
"""


@contextlib.contextmanager
def crowd(address, number=2):
    """Processes that flood an address."""
    arguments = [address[0], str(address[1]), SECRET.hex()]
    with contextlib.ExitStack() as stack:
        for _ in range(number):
            process = stack.enter_context(
                subprocess.Popen([sys.executable, "-c", CROWD, *arguments], stdout=subprocess.PIPE)
            )
            stack.callback(process.kill)
            process.stdout.readline()
        yield


#: The frame, as it is read, by which a worker with nothing to say is heard.
ALIVE = {
    wire.encode({"type": "alive"})[: wire.HEADER.size],
    wire.encode({"type": "alive"})[wire.HEADER.size :],
}


@pytest.fixture
def parsed(monkeypatch):
    """Whatever is parsed: frames, and what OpenSSL is given."""
    seen = []
    decode, header, start_tls = wire.decode, wire.header, asyncio.StreamWriter.start_tls

    def watch(function):
        def call(first, *others):
            seen.append(first)
            return function(first, *others)

        return call

    monkeypatch.setattr(wire, "decode", watch(decode))
    monkeypatch.setattr(wire, "header", watch(header))
    monkeypatch.setattr(asyncio.StreamWriter, "start_tls", watch(start_tls))
    return seen


def cpu_seconds(server):
    """Of the server's thread so far."""

    async def ask():
        return time.thread_time()

    return server._call(ask())


# -- bytes ---------------------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.one_of(st.binary(max_size=300), st.binary(min_size=64, max_size=64)))
def test_no_bytes_of_a_stranger_reach_a_parser(server, heard, parsed, caplog, data):
    connection, _ = stranger(server)
    with connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
        assert is_closed(connection)
    assert parsed == []
    assert heard.events == []
    assert caplog.records == []


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_bytes_of_a_member_break_the_port(server, heard, caplog, wait_for, data):
    whole = wire.encode({"type": "number", "n": 1, "seq": data.draw(st.integers())}, b"blob")
    cut = data.draw(st.integers(0, len(whole)))
    noise = data.draw(st.binary(max_size=50))
    with member(server) as connection, contextlib.suppress(ConnectionError):
        connection.sendall(whole[:cut] + noise)
        connection.close() if server.certificate else connection.shutdown(socket.SHUT_WR)
    with channel(server, name="honest") as worker:
        heard.events.clear()
        worker.send({"type": "number", "n": 7})
        wait_for(lambda: ("honest", {"type": "number", "n": 7, "seq": 1}) in heard.events, "the event")
    server._peers.clear()
    assert caplog.records == []


def test_who_drips_is_cut_off_as_who_is_silent(server, parsed, monkeypatch):
    monkeypatch.setattr(events, "PATIENCE", 0.5)
    connection, _ = stranger(server)

    def cut_off():
        for _ in range(63):  # one byte is missing
            try:
                connection.sendall(b"x")
                # Each byte comes before the patience with the last one would end.
                if select.select([connection], [], [], 0.4)[0]:
                    return not connection.recv(1)
            except ConnectionError:
                return True
        return False

    with connection:
        assert cut_off()
    assert parsed == []


# -- crowds ----------------------------------------------------------------------------------------------


def test_a_crowd_keeps_its_size_and_lets_a_worker_in(server, heard, monkeypatch, wait_for):
    monkeypatch.setattr(events, "UNAUTHENTICATED", 3)
    monkeypatch.setattr(events, "PATIENCE", 600)
    with contextlib.ExitStack() as stack:
        crowd = [stack.enter_context(stranger(server)[0]) for _ in range(10)]
        wait_for(lambda: len(server._unauthenticated) == 3, "the crowd to have the size that is allowed")
        with channel(server) as worker:
            worker.send({"type": "number", "n": 1})
            wait_for(lambda: heard.events, "the event of a worker")
        for one in crowd:
            one.setblocking(False)
        assert sum(map(is_open, crowd)) == 2


def is_open(connection):
    try:
        return bool(connection.recv(1))
    except BlockingIOError:
        return True
    except ConnectionError:
        return False


def test_a_crowd_on_one_machine_is_in_nobodys_way_on_another(server, monkeypatch, wait_for):
    monkeypatch.setattr(events, "UNAUTHENTICATED", 3)
    monkeypatch.setattr(events, "PATIENCE", 600)
    with contextlib.ExitStack() as stack:

        def come(source):
            one = socket.create_connection(server.address, timeout=LIMIT, source_address=(source, 0))
            return stack.enter_context(one)

        alone = come("127.0.0.2")
        receive(alone, wire.NONCE)
        for _ in range(100):
            come("127.0.0.3")
        wait_for(lambda: sorted(server._unauthenticated.values())[1:] == ["127.0.0.3"] * 2, "the crowd")
        alone.setblocking(False)
        assert is_open(alone)


@pytest.mark.parametrize("server", ["clear"], indirect=True)
def test_ten_thousand_strangers_cost_little(server, heard, parsed, caplog, wait_for):
    process = psutil.Process()
    with channel(server) as worker:
        worker.send({"type": "number", "n": 0})
        wait_for(lambda: heard.events, "the worker")
        wait_for(lambda: not worker._kept, "what it hears of that")  # it parses in this process too
        memory, seconds, most = process.memory_info().rss, cpu_seconds(server), 0
        parsed.clear()
        held = []
        for number in range(10_000):
            one = socket.create_connection(server.address, timeout=LIMIT)
            with contextlib.suppress(ConnectionError):
                one.sendall(os.urandom(63) if number % 2 else bytes(1 << 16))
            held.append(one)
            most = max(most, len(asyncio.all_tasks(server._loop)), len(server._unauthenticated))
            if len(held) > 500:
                held.pop(0).close()
        # What the strangers sent lies in buffers of those who are still heard, and nowhere else.
        assert most <= events.UNAUTHENTICATED + 5 * events.BACKLOG
        assert set(parsed) <= ALIVE
        worker.send({"type": "number", "n": 1})
        wait_for(lambda: len(heard.events) == 2, "the worker, which was there before")
        assert process.memory_info().rss - memory < 200e6
        assert cpu_seconds(server) - seconds < 60
        for one in held:
            one.close()
    assert caplog.records == []


def test_workers_come_back_though_a_crowd_does_not_end(server, heard, parsed, caplog, wait_for):
    with crowd(server.address), channel(server) as worker:
        for number in range(5):
            worker.send({"type": "number", "n": number})
            wait_for(lambda number=number: number in heard.numbers(), f"event {number}")
            server.disconnect()
    assert heard.numbers() == list(range(5))
    assert {event["type"] for _, event in heard.events} == {"number"}
    assert caplog.records == []


# -- who listens and who pretends ------------------------------------------------------------------------


@contextlib.contextmanager
def between(server):
    """A machine on the way that passes everything on; gives its address and what it has seen."""
    seen = bytearray()
    stop = threading.Event()

    def pump(source, target):
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                seen.extend(data)
                target.sendall(data)

    def serve():
        while not stop.is_set():
            with contextlib.suppress(OSError):
                near, _ = listener.accept()
                far = socket.create_connection(server.address)
                opened.extend((near, far))
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=pump, args=pair, daemon=True).start()

    opened = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.1)
        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[:2], seen
        stop.set()
        thread.join()
    for one in opened:
        one.close()


def test_who_listens_on_the_way_reads_nothing_where_it_is_encrypted(server, heard, wait_for):
    with between(server) as (address, seen):
        one = Channel(address, SECRET, "worker", certificate=server.certificate)
        one.send({"type": "number", "n": 1, "loss": "0.693147"}, b"weights" * 1000)
        wait_for(lambda: heard.events, "the event")
        one.close()
    assert (b"0.693147" in seen) is not bool(server.certificate)
    assert (b"weightsweights" in seen) is not bool(server.certificate)
    assert SECRET not in seen


def test_what_a_worker_says_in_the_clear_does_not_open_the_door_inside(heard, certificate):
    def ask_worker(challenge):
        """A worker's proof, for who pretends to be its notebook."""
        connection, _ = pretended.accept()
        with connection:
            connection.sendall(challenge)
            return receive(connection, wire.NONCE + wire.DIGEST)

    blind = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    blind.check_hostname, blind.verify_mode = False, ssl.CERT_NONE
    with (
        Server("127.0.0.1", SECRET, heard, 0, tls.notebook(certificate)) as server,
        socket.create_server(("127.0.0.1", 0)) as pretended,
    ):
        one = Channel(pretended.getsockname()[:2], SECRET, "worker", certificate=certificate.pem)
        connection, theirs = stranger(server)
        connection.sendall(ask_worker(theirs))
        receive(connection, wire.DIGEST)
        with blind.wrap_socket(connection) as inside:
            inside.sendall(ask_worker(receive(inside, wire.NONCE)))
            with pytest.raises(EOFError):
                receive(inside, wire.DIGEST)
        one.close(timeout=0.1)
    assert heard.events == []


def test_a_notebook_with_another_certificate_is_told_nothing(heard):
    own, other = tls.certificate("spark.ssl.enabled"), tls.certificate("spark.ssl.enabled")
    with Server("127.0.0.1", SECRET, heard, 0, tls.notebook(other)) as server:
        one = Channel(server.address, SECRET, "worker", certificate=own.pem)
        one.send({"type": "number", "n": 1})
        with pytest.raises(ClusterError, match="cannot reach the notebook"):
            one.require(1)
        one.close(timeout=0.1)
    assert heard.events == []


def test_a_worker_that_does_not_encrypt_is_not_heard(heard, certificate):
    with Server("127.0.0.1", SECRET, heard, 0, tls.notebook(certificate)) as server:
        one = Channel(server.address, SECRET, "worker")
        one.send({"type": "number", "n": 1})
        assert not one.close(timeout=1)
    assert heard.events == []


def test_nothing_older_than_tls_1_3_is_spoken(heard, certificate):
    with Server("127.0.0.1", SECRET, heard, 0, tls.notebook(certificate)) as server:
        server.certificate = None
        with member(server) as connection:
            old = tls.worker(certificate.pem)
            old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_2
            with pytest.raises(OSError, match=r"(?i)reset|EOF|alert|closed|pipe"):
                old.wrap_socket(connection)


def test_no_key_lies_on_the_disk(certificate, tmp_path, monkeypatch):
    """But for the moment in which Python reads it, encrypted, from a folder of this user alone."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    read = []
    load = ssl.SSLContext.load_cert_chain

    def watch(context, path, **how):
        read.append((path.parent.stat().st_mode & 0o777, path.read_bytes()))
        load(context, path, **how)

    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", watch)
    before = os.umask(0)
    try:
        tls.notebook(certificate)
    finally:
        os.umask(before)
    ((mode, content),) = read
    assert mode == 0o700
    assert b"BEGIN ENCRYPTED PRIVATE KEY" in content
    assert list(tmp_path.iterdir()) == []
    assert certificate.password not in content
    assert "PRIVATE" not in repr(certificate)


# -- during a training -------------------------------------------------------------------------------------


def test_a_training_among_enemies_ends_as_it_would_alone(spark, wait_for):
    x = np.random.default_rng(0).normal(size=(64, 3)).astype("float32")
    y = x.sum(axis=1)

    def model():
        keras.utils.set_random_seed(1)
        one = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        one.compile("sgd", "mse", metrics=["mae"])
        return one

    how = {"epochs": 20, "shuffle": False, "verbose": 0}
    plain = model().fit(x, y, **how).history
    run = nbkeras.fit(model(), x, y, **how, workers=2, background=True, heartbeat=LIMIT, spark=spark)

    def port():
        """The run's, once it is there."""
        driver = getattr(run._on_stop, "__self__", None)
        return getattr(getattr(driver, "_submission", None), "_server", None)

    wait_for(port, "the event port")
    server = port()
    with crowd(server.address):
        wait_for(lambda: run.epoch_numbers or run.done.is_set(), "the first epoch")
        if not run.done.is_set():
            with contextlib.suppress(RuntimeError):  # its port has been closed in this moment
                server.disconnect()
        run.wait(LIMIT)
    assert run.epoch_numbers == list(range(20))
    for name, values in plain.items():
        np.testing.assert_allclose(run.history[name], values, rtol=1e-4)
