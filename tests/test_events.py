"""The event channel: everything arrives once and in order, and nothing is read from strangers."""

from __future__ import annotations

import contextlib
import math
import socket
import struct
import threading
import time
from functools import partial

import keras
import numpy as np
import psutil
import pytest
from peers import SECRET, channel, is_closed, member, receive, stranger
from waiting import LIMIT

import nbkeras
from nbkeras.errors import ClusterError
from nbkeras.transport import channel as channels
from nbkeras.transport import events, tls, wire
from nbkeras.transport.channel import Channel
from nbkeras.transport.events import Server

# -- what arrives ------------------------------------------------------------------------------------


def test_events_arrive_once_and_in_order_though_connections_drop(server, heard, wait_for):
    number = 4000
    with channel(server) as worker:
        for n in range(number):
            worker.send({"type": "number", "n": n})
            if n % 200 == 100:
                wait_for(lambda: heard.events, "the first events")
                server.disconnect()
        wait_for(lambda: len(heard.events) >= number, "all events")
    assert heard.numbers() == list(range(number))


def test_an_event_that_is_sent_again_is_heard_once(server, heard, wait_for):
    for last in (3, 5):
        with member(server) as connection:
            for n in range(1, last + 1):
                connection.sendall(wire.encode({"type": "number", "n": n, "seq": n}))
            wait_for(lambda last=last: last in heard.numbers(), "the last event")
    assert heard.numbers() == [1, 2, 3, 4, 5]


def test_bytes_arrive_whole_though_connections_drop(server, heard, wait_for):
    blobs = [bytes([n]) * ((1 << 20) * 3 + n) for n in range(8)]
    with channel(server) as worker:
        for n, blob in enumerate(blobs):
            worker.send({"type": "number", "n": n}, blob)
            server.disconnect()
        wait_for(lambda: len(heard.events) >= len(blobs), "all events")
    assert heard.numbers() == list(range(len(blobs)))
    assert heard.blobs == blobs


def test_workers_do_not_share_numbers(server, heard, wait_for):
    with channel(server, "a") as one, channel(server, "b") as two:
        for n in range(50):
            one.send({"type": "number", "n": n})
            two.send({"type": "number", "n": -n})
        wait_for(lambda: len(heard.events) >= 100, "all events")
    for name, sign in (("a", 1), ("b", -1)):
        assert [event["n"] for peer, event in heard.events if peer == name] == [sign * n for n in range(50)]


def test_an_answer_comes_back_after_a_reconnection(server, heard, wait_for):
    answers = []
    with channel(server) as worker:
        asking = threading.Thread(target=lambda: answers.append(worker.ask({"type": "question", "n": 21})))
        asking.start()
        wait_for(lambda: heard.questions, "the question")
        server.disconnect()
        event, answer = heard.questions[0]
        answer({"double": 2 * event["n"]})
        asking.join(LIMIT)
    assert answers == [{"double": 42}]
    assert len(heard.questions) == 1


def test_each_question_gets_its_own_answer(server, heard, wait_for):
    stop = threading.Event()

    def answer_all():
        while not stop.is_set():
            while heard.questions:
                event, answer = heard.questions.pop(0)
                answer({"double": 2 * event["n"]})
            time.sleep(0.001)

    answering = threading.Thread(target=answer_all)
    answering.start()
    try:
        with channel(server) as worker:
            for n in range(20):
                if n % 5 == 2:
                    server.disconnect()
                assert worker.ask({"type": "question", "n": n}) == {"double": 2 * n}
    finally:
        stop.set()
        answering.join()


def test_control_reaches_every_worker(server, wait_for):
    told = {"a": [], "b": []}
    with channel(server, "a", on_control=told["a"].append), channel(server, "b", on_control=told["b"].append):
        wait_for(lambda: len(server._peers) == 2, "both workers")
        server.control({"type": "stop"})
        wait_for(lambda: told["a"] and told["b"], "the control event")
    assert told == {"a": [{"type": "stop"}], "b": [{"type": "stop"}]}


def test_what_stands_is_told_to_who_connects_later_or_again_and_only_the_last_of_its_type(server, wait_for):
    early, late = [], []
    with channel(server, "early", on_control=early.append):
        wait_for(lambda: server._peers, "the first worker")
        server.control({"type": "pause", "pausing": True}, standing=True)
        server.control({"type": "pause", "pausing": False}, standing=True)
        server.control({"type": "once"})
        wait_for(lambda: len(early) == 3, "the control events")
        with channel(server, "late", on_control=late.append):
            wait_for(lambda: late, "what stands")
            server.disconnect()
            wait_for(lambda: len(late) == 2 and len(early) == 4, "what stands, again")
    assert late == [{"type": "pause", "pausing": False}] * 2
    assert early[-1] == {"type": "pause", "pausing": False}


def test_what_is_said_before_a_connection_ends_is_obeyed():
    told, ended = [], threading.Event()

    def on_control(event):
        told.append(event)
        ended.wait(LIMIT)  # So the last words and the end are there when it looks again.

    with socket.create_server(("127.0.0.1", 0)) as door:
        one = Channel(door.getsockname()[:2], SECRET, "worker", on_control)
        one.send({"type": "number", "n": 1})
        with door.accept()[0] as connection:
            connection.settimeout(LIMIT)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # so the last words leave first
            connection.sendall(ours := wire.nonce())
            theirs, _ = receive(connection, wire.NONCE), receive(connection, wire.DIGEST)
            connection.sendall(wire.proof(SECRET, b"notebook", ours, theirs))
            connection.sendall(wire.encode({"control": {"type": "stop"}}))
            receive(connection, 1)
            connection.sendall(wire.encode({"control": {"type": "leave"}}))
            # What nobody has read makes the end a reset, as when a process is killed.
    ended.set()

    one.close(timeout=1)
    assert told == [{"type": "stop"}, {"type": "leave"}]


@pytest.fixture
def told_to_leave(monkeypatch, wait_for):
    """Whether a worker is told to leave, by what becomes of the notebook's port."""

    def told(after):
        monkeypatch.setattr(channels, "OVER", 1.0)
        told, tried = threading.Event(), []
        connect = channels.connect
        monkeypatch.setattr(channels, "connect", lambda *one, **how: tried.append(1) or connect(*one, **how))
        with socket.create_server(("127.0.0.1", 0)) as door:
            address = door.getsockname()[:2]
            one = Channel(address, SECRET, "worker", lambda event: event == {"type": "leave"} and told.set())
            door.accept()[0].close()
            after(door)
            wait_for(lambda: told.is_set() or len(tried) > 20, "attempts")
            left = told.is_set()
        one.close(timeout=0.1)
        return left

    return told


def test_a_worker_leaves_when_the_notebook_has_closed_its_port(told_to_leave):
    assert told_to_leave(socket.socket.close)


def test_a_worker_leaves_when_another_program_has_taken_the_port(told_to_leave):
    def hang_up(door):
        def answer():
            with contextlib.suppress(OSError):  # until it is closed
                while True:
                    door.accept()[0].close()

        threading.Thread(target=answer, daemon=True).start()

    assert told_to_leave(hang_up)


@pytest.mark.parametrize("patience", [0.5, 3600.0])
def test_a_worker_leaves_whoever_listens_and_never_says_a_word_but_only_late(
    told_to_leave, monkeypatch, patience
):
    monkeypatch.setattr(channels, "MUTE", patience)
    monkeypatch.setattr(channels, "connect", partial(channels.connect, timeout=0.05))
    # The system takes connections for a program that does not.
    assert told_to_leave(lambda _: None) == (patience < 1)


def test_a_worker_stays_while_the_notebook_cannot_be_reached(told_to_leave, monkeypatch):
    def out_of_reach(*_, **__):
        raise TimeoutError

    assert not told_to_leave(lambda _: monkeypatch.setattr(socket, "create_connection", out_of_reach))


def test_progress_is_replaced_not_queued(server, heard, monkeypatch, wait_for):
    with channel(server) as worker:
        worker.send({"type": "number", "n": 0})
        wait_for(heard.numbers, "the connection")
        monkeypatch.setattr(channels, "PULSE", 1e6)  # from here on it is not the time to tell
        for n in range(5000):
            worker.progress({"type": "progress", "n": n})
        monkeypatch.setattr(channels, "PULSE", 0.25)
        worker.send({"type": "number", "n": 1})  # has it look at the time again
        wait_for(lambda: 4999 in heard.numbers("progress"), "the last progress")
    told = heard.numbers("progress")
    assert len(told) <= 2  # it may have been about to tell one
    assert told == sorted(told)


def test_numbers_that_are_none_pass(server, heard, wait_for):
    with channel(server) as worker:
        worker.send({"type": "epoch", "logs": {"loss": math.nan, "best": math.inf, "worst": -math.inf}})
        wait_for(lambda: heard.events, "the event")
    logs = heard.events[0][1]["logs"]
    assert math.isnan(logs["loss"])
    assert (logs["best"], logs["worst"]) == (math.inf, -math.inf)


def test_a_worker_with_nothing_to_say_is_heard(server, wait_for):
    with channel(server, "quiet"):
        wait_for(lambda: server.event_counts().get("quiet", 0) > 2, "signs of life")


def test_who_only_looks_whether_the_notebook_is_there_is_not_missed_afterwards(server, wait_for):
    trusted = None if server.certificate is None else tls.worker(server.certificate)
    channels.connect(server.address, SECRET, "scout", tls=trusted).close()
    wait_for(lambda: "scout" in server._peers, "the scout")
    assert server.event_counts() == {}


def test_sending_does_not_wait_for_a_notebook_that_is_away(monkeypatch):
    connecting, away = threading.Event(), threading.Event()

    def connect(*_, **__):
        connecting.set()
        away.wait()
        raise ConnectionRefusedError

    monkeypatch.setattr(channels, "connect", connect)
    one = Channel(("127.0.0.1", 1), SECRET, "worker")
    connecting.wait()
    for n in range(1000):
        one.send({"type": "number", "n": n})
    assert [*one._kept] == [*range(1, 1001)]
    away.set()
    one.close(timeout=0.1)


@pytest.fixture
def nobody():
    """A port at which nobody listens, and that nobody else can take."""
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # so a server may listen there yet
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


def test_what_was_sent_while_the_notebook_was_away_arrives_when_it_is_back(heard, nobody, wait_for):
    one = Channel(("127.0.0.1", nobody), SECRET, "worker")
    for n in range(100):
        one.send({"type": "number", "n": n})
    server = Server("127.0.0.1", SECRET, heard, port=nobody)
    try:
        wait_for(lambda: len(heard.events) >= 100, "all events")
    finally:
        one.close()
        server.close()
    assert heard.numbers() == list(range(100))


def test_a_notebook_that_cannot_be_reached_is_told_in_one_line(nobody):
    one = Channel(("127.0.0.1", nobody), SECRET, "worker")
    with pytest.raises(ClusterError, match=rf"cannot reach the notebook at 127.0.0.1:{nobody}.*driver.host"):
        one.require(0.5)
    one.close(timeout=0.1)


# -- what is not let in --------------------------------------------------------------------------------


@pytest.fixture
def parsed(monkeypatch):
    """Whatever the server parses."""
    seen = []
    decode, header = wire.decode, wire.header

    def watch(function):
        def call(data):
            seen.append(bytes(data))
            return function(data)

        return call

    monkeypatch.setattr(wire, "decode", watch(decode))
    monkeypatch.setattr(wire, "header", watch(header))
    return seen


def test_who_does_not_know_the_secret_never_reaches_the_parser(server, heard, parsed):
    connection, theirs = stranger(server)
    with connection:
        ours = wire.nonce()
        claim = wire.proof(b"another secret", b"worker", theirs, ours)
        connection.sendall(ours + claim + wire.encode({"hello": "worker"}) + wire.encode({"type": "number"}))
        assert is_closed(connection)
    assert parsed == []
    assert heard.events == []


def test_a_proof_cannot_be_used_again(server, heard, parsed):
    connection, theirs = stranger(server)
    ours = wire.nonce()
    proof = ours + wire.proof(SECRET, b"worker", theirs, ours)
    with connection:
        connection.sendall(proof)
        receive(connection, wire.DIGEST)
    again, _ = stranger(server)
    with again:
        again.sendall(proof + wire.encode({"hello": "worker"}))
        assert is_closed(again)
    assert parsed == []


def test_the_servers_own_proof_does_not_open_the_door(server, parsed):
    connection, theirs = stranger(server)
    with connection:
        ours = wire.nonce()
        connection.sendall(ours + wire.proof(SECRET, b"notebook", theirs, ours))
        assert is_closed(connection)
    assert parsed == []


def test_a_worker_does_not_talk_to_who_does_not_know_the_secret():
    with socket.create_server(("127.0.0.1", 0)) as impostor:
        one = Channel(impostor.getsockname()[:2], SECRET, "worker")
        one.send({"type": "number", "n": 1})
        connection, _ = impostor.accept()
        with connection:
            connection.settimeout(LIMIT)
            connection.sendall(bytes(wire.NONCE))
            receive(connection, wire.NONCE + wire.DIGEST)
            connection.sendall(bytes(wire.DIGEST))
            assert connection.recv(1) == b""
    one.close(timeout=0.1)


@pytest.mark.parametrize(
    "frame",
    [
        struct.pack(">cI", b"J", wire.LIMIT + 1),
        struct.pack(">cI", b"J", 2**32 - 1),
        struct.pack(">cI", b"P", 4) + b"\x80\x05N.",
        struct.pack(">cI", b"J", 4) + b"\x80\x05N.",
        struct.pack(">cI", b"J", 6) + b"{loss}",
        struct.pack(">cI", b"J", 2) + b"[]",
        struct.pack(">cI", b"J", 200_000) + b"[" * 200_000,
        struct.pack(">cI", b"B", 4) + b"data",
        wire.encode({"type": "number", "seq": "one"}),
        wire.encode({"type": "number", "seq": 1, "blob": "many"}),
        wire.encode({"type": "number", "seq": 1, "blob": -1}),
        wire.encode({"type": "number", "seq": 1, "blob": (1 << 22) + 1}),
        wire.encode({"type": "number", "seq": 1, "blob": 4}) + wire.encode({"type": "number"}),
        wire.encode({"type": "number", "seq": 1, "blob": 4}) + struct.pack(">cI", b"B", 5) + b"12345",
        wire.encode({"type": "number", "seq": 1, "blob": 4}) + struct.pack(">cI", b"B", 0),
    ],
    ids=[
        "longer than a frame",
        "four gigabytes",
        "of an unknown kind",
        "pickle",
        "no JSON",
        "no object",
        "deeply nested",
        "bytes that nothing announced",
        "a number that is text",
        "a size that is text",
        "a negative size",
        "more bytes than allowed",
        "an event in place of bytes",
        "more bytes than announced",
        "no bytes where some were announced",
    ],
)
def test_a_frame_that_breaks_the_protocol_closes_its_connection_only(server, heard, wait_for, caplog, frame):
    with channel(server) as worker:
        connection = member(server)
        with connection:
            connection.sendall(frame)
            assert is_closed(connection)
        assert heard.events == []
        worker.send({"type": "number", "n": 7})
        wait_for(lambda: heard.events, "the event of the honest worker")
    assert heard.numbers() == [7]
    assert caplog.records == []


def test_the_result_of_a_large_metric_arrives_whole(server, heard, wait_for):
    with channel(server) as worker:
        worker.send({"type": "number", "n": 1, "logs": [1 / 3] * 90_000})
        wait_for(lambda: heard.events, "the event")
    assert heard.events[0][1]["logs"] == [1 / 3] * 90_000


def test_an_event_too_large_for_a_frame_is_refused_where_it_is_sent(server):
    with channel(server) as worker, pytest.raises(wire.ProtocolError, match="at most 16777216"):
        worker.send({"type": "number", "text": "x" * wire.LIMIT})


def test_who_is_too_slow_to_prove_the_secret_is_cut_off(server, monkeypatch):
    monkeypatch.setattr(events, "PATIENCE", 0.3)
    connection, _ = stranger(server)
    with connection:
        connection.sendall(b"x")
        assert is_closed(connection)  # and waits no longer for it than for anything else


# -- what is left ----------------------------------------------------------------------------------------


def ports():
    return {one.laddr.port for one in psutil.Process().net_connections() if one.status == psutil.CONN_LISTEN}


def test_a_closed_server_leaves_no_thread_and_no_port(heard, wait_for):
    threads, listening = set(threading.enumerate()), ports()
    server = Server("127.0.0.1", SECRET, heard)
    server.certificate = None
    port = server.address[1]
    assert port in ports()
    with channel(server) as worker, member(server), stranger(server)[0]:
        worker.send({"type": "number", "n": 1})
        wait_for(lambda: heard.events, "the event")
        server.close()
    wait_for(lambda: set(threading.enumerate()) <= threads, "the threads to end")
    assert ports() == listening
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port), timeout=LIMIT)


def test_a_port_that_cannot_be_had_leaves_no_thread(heard):
    threads = set(threading.enumerate())
    with pytest.raises(OSError, match="assign"):
        Server("192.0.2.1", SECRET, heard)
    assert set(threading.enumerate()) <= threads


def test_a_closed_channel_leaves_no_thread_and_no_connection(server, heard, wait_for):
    threads, descriptors = set(threading.enumerate()), psutil.Process().num_fds()
    with channel(server) as worker:
        worker.send({"type": "number", "n": 1})
        wait_for(heard.numbers, "the number")
    assert heard.numbers() == [1]
    wait_for(lambda: set(threading.enumerate()) <= threads, "the threads to end")
    wait_for(lambda: psutil.Process().num_fds() <= descriptors, "the connection to be gone")


# -- end to end ------------------------------------------------------------------------------------------


def test_a_history_is_complete_and_exact_though_connections_drop(spark, wait_for):
    x = np.random.default_rng(0).normal(size=(64, 3)).astype("float32")
    y = x.sum(axis=1)
    epochs, cuts = 40, 0

    def model():
        keras.utils.set_random_seed(1)
        one = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        one.compile("sgd", "mse", metrics=["mae"])
        return one

    how = {"epochs": epochs, "shuffle": False, "verbose": 0}
    plain = model().fit(x, y, **how).history
    run = nbkeras.fit(model(), x, y, **how, workers=1, background=True, heartbeat=LIMIT, spark=spark)
    for seen in range(1, epochs, 4):
        wait_for(lambda seen=seen: len(run.epoch_numbers) >= seen or run.done.is_set(), f"epoch {seen}")
        if not run.done.is_set():
            with contextlib.suppress(RuntimeError):  # its port has been closed in this moment
                run._on_stop.__self__._submission._server.disconnect()
            cuts += 1
    run.wait(LIMIT)
    assert cuts
    assert run.epoch_numbers == list(range(epochs))
    assert list(run.history) == list(plain)
    for name, values in plain.items():
        np.testing.assert_allclose(run.history[name], values, rtol=1e-5)


def test_a_channel_that_closes_can_still_wake_its_thread(monkeypatch):
    monkeypatch.setattr(channels, "RETRY", 0.01)
    one = Channel(("127.0.0.1", 1), SECRET, "worker")
    wake = one._nudge

    def wake_late():
        if one._closing:
            one._thread.join(0.5)  # as far as it comes
        wake()

    monkeypatch.setattr(one, "_nudge", wake_late)

    assert not one.close(timeout=0.1)
