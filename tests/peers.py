"""Who talks to the event port: workers, and strangers with bytes of their own."""

from __future__ import annotations

import contextlib
import socket

import waiting

from nbkeras.transport import tls, wire
from nbkeras.transport.channel import Channel

SECRET = b"of this run"


class Heard:
    """A handler that keeps what it hears and answers every question with its double."""

    def __init__(self):
        self.events = []
        self.blobs = []
        self.questions = []

    def __call__(self, peer, event, blob, answer):
        if event.get("type") in ("alive", "farewell"):
            return  # said by every channel
        self.events.append((peer, event))
        self.blobs.append(blob)
        if event.get("type") == "question":
            self.questions.append((event, answer))

    def numbers(self, kind="number"):
        return [event["n"] for _, event in self.events if event["type"] == kind]


@contextlib.contextmanager
def channel(server, name="worker", secret=SECRET, **how):
    one = Channel(server.address, secret, name, **{"certificate": server.certificate, **how})
    try:
        yield one
    finally:
        one.close(timeout=1)


def stranger(server):
    """A connection that has read the server's challenge."""
    connection = socket.create_connection(server.address, timeout=waiting.LIMIT)
    return connection, receive(connection, wire.NONCE)


def receive(connection, size):
    data = b""
    while len(data) < size:
        piece = connection.recv(size - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data


def prove(connection, theirs, where=b""):
    ours = wire.nonce()
    connection.sendall(ours + wire.proof(SECRET, b"worker" + where, theirs, ours))
    assert wire.proved(SECRET, b"notebook" + where, theirs, ours, receive(connection, wire.DIGEST))


def member(server, name="raw"):
    """A connection that has proved the secret and said its name."""
    connection, theirs = stranger(server)
    prove(connection, theirs)
    if server.certificate:
        connection = tls.worker(server.certificate).wrap_socket(connection)
        prove(connection, receive(connection, wire.NONCE), wire.INSIDE)
    connection.sendall(wire.encode({"hello": name}))
    return connection


def is_closed(connection):
    """Whether the other side hangs up; what it still had to say is read first."""
    try:
        while connection.recv(4096):
            pass
    except ConnectionError:
        return True
    return True
