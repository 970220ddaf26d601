"""A worker's end of the event channel: never slows training, never loses an epoch."""

from __future__ import annotations

import contextlib
import math
import select
import socket
import ssl
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from nbkeras.errors import ClusterError
from nbkeras.transport import tls, wire
from nbkeras.transport.messages import Alive, Farewell, Leave
from nbkeras.transport.wire import Event

#: Seconds between two attempts to connect, and between two progress events.
RETRY, PULSE = 0.2, 0.25
#: Seconds of silence after which a sign of life is sent.
BEAT = 1.0
#: Seconds in which nobody listens at the notebook's port, or somebody else, after which the run is over.
#: Where it only cannot be reached, it may come back.
OVER = 30.0
#: Seconds in which who listens there says nothing, after which it is over too: a notebook that was stopped
#: may go on, another program that has taken the port will say no more.
MUTE = 3600.0
#: Bytes that are sent at once.
_PIECE = 1 << 20


class _Mute(TimeoutError):
    """Who listens there says nothing."""


class Channel:
    """Sends events to the notebook from a thread of its own and receives its control events.

    Events are numbered and kept until the notebook has acknowledged them, so a
    connection that drops loses none. Progress is not kept: only the latest
    counts.

    Args:
        address: host and port of the notebook.
        secret: of the run.
        name: of this worker, the same after a reconnection.
        certificate: of the notebook, as PEM, where the channel is encrypted.
        on_control: called in the channel's thread with control events; with ``leave`` also
            where the notebook has closed its port, and so has done with this run.
    """

    def __init__(
        self,
        address: tuple[str, int],
        secret: bytes,
        name: str,
        on_control: Callable[[Event], None] = lambda _: None,
        certificate: str | None = None,
    ) -> None:
        self._address, self._secret, self._name, self._on_control = address, secret, name, on_control
        self._tls = None if certificate is None else tls.worker(certificate)
        self._lock = threading.Condition()
        self._number = 0
        self._kept: OrderedDict[int, bytes] = OrderedDict()
        self._sent = 0
        self._progress: bytes | None = None
        self._answers: dict[int, tuple[Event, bytes]] = {}
        self._closing = self._reached = False
        self._wake, self._woken = socket.socketpair()
        self._wake.setblocking(False)
        self._thread = threading.Thread(target=self._pump, name="nbkeras-channel", daemon=True)
        self._thread.start()

    def require(self, timeout: float) -> None:
        """Wait for the first connection.

        Raises:
            ClusterError: there is none after so many seconds.
        """
        with self._lock:
            if not self._lock.wait_for(lambda: self._reached, timeout):
                raise ClusterError(
                    f"{socket.gethostname()} cannot reach the notebook at "
                    f"{self._address[0]}:{self._address[1]}: let workers through to that machine, "
                    "or set spark.driver.host to an address that they can reach"
                )

    def send(self, event: Event, blob: bytes | memoryview = b"") -> int:
        """Queue an event that must arrive; returns its number."""
        with self._lock:
            self._number += 1
            self._kept[self._number] = wire.encode({**event, "seq": self._number}, blob)
            self._nudge()
            return self._number

    def progress(self, event: Event) -> None:
        """Say where we are; replaces what was said before and not yet sent."""
        self._progress = wire.encode(event)

    def ask(self, event: Event, blob: bytes | memoryview = b"") -> Event:
        """Send an event and wait for its answer, as long as the notebook lets us live."""
        return self.answer(self.send(event, blob))[0]

    def answer(self, number: int) -> tuple[Event, bytes]:
        """Wait for the answer to an event, and return it with the bytes that come with it."""
        with self._lock:
            self._lock.wait_for(lambda: number in self._answers)
            return self._answers.pop(number)

    def close(self, timeout: float = 5.0) -> bool:
        """Say farewell, wait until all kept events have arrived, for so many seconds at most, and end.

        Returns:
            Whether they have.
        """
        self.send(Farewell(type="farewell"))
        with self._lock:
            arrived = self._lock.wait_for(lambda: not self._kept, timeout)
            self._closing = True
            self._nudge()
        self._thread.join(timeout)
        return arrived

    def _nudge(self) -> None:
        # A full pipe means that the thread has been woken often enough.
        with contextlib.suppress(BlockingIOError):
            self._wake.send(b"x")

    # -- the thread ----------------------------------------------------------

    def _pump(self) -> None:
        there = spoke = time.monotonic()
        while not self._closing:
            over = False
            try:
                connection = self._connect()
            except _Mute:
                there = time.monotonic()
                over = there > spoke + MUTE
            except (ConnectionRefusedError, ConnectionResetError, EOFError, wire.ProtocolError):
                # Nobody listens there, or another program does, which knows no secret of ours.
                over = time.monotonic() > there + OVER
            except OSError:
                there = spoke = time.monotonic()
            else:
                with connection, contextlib.suppress(OSError, EOFError, wire.ProtocolError):
                    buffer = bytearray()
                    try:
                        self._talk(connection, buffer)
                    except OSError:
                        # Sending fails first, and what was said before the end has yet to be read.
                        self._read(connection, buffer)
                there = spoke = time.monotonic()
            if over:
                self._on_control(Leave(type="leave"))
                there = spoke = math.inf  # said once
            if not self._closing:
                time.sleep(RETRY)
        with self._lock:  # who closes the channel wakes this thread for the last time
            self._wake.close()
            self._woken.close()

    def _connect(self) -> socket.socket:
        connection = connect(self._address, self._secret, self._name, tls=self._tls)
        self._sent = 0
        with self._lock:
            self._reached = True
            self._lock.notify_all()
        return connection

    def _talk(self, connection: socket.socket, buffer: bytearray) -> None:
        pulse = said = time.monotonic()
        while not self._closing:
            wait = max(0.0, pulse + PULSE - time.monotonic())
            readable, _, _ = select.select([connection, self._woken], [], [], wait)
            if self._woken in readable:
                self._woken.recv(4096)
            if connection in readable:
                self._read(connection, buffer)
            for frames in self._unsent():
                # The time limit is for each call: a gigabyte takes longer on a slow network.
                for start in range(0, len(frames), _PIECE):
                    connection.sendall(memoryview(frames)[start : start + _PIECE])
                said = time.monotonic()
            if time.monotonic() >= pulse + PULSE:
                pulse = time.monotonic()
                latest, self._progress = self._progress, None
                if latest is None and pulse > said + BEAT:
                    latest = wire.encode(Alive(type="alive"))
                if latest is not None:
                    connection.sendall(latest)
                    said = pulse

    def _unsent(self) -> list[bytes]:
        with self._lock:
            waiting = [(number, frames) for number, frames in self._kept.items() if number > self._sent]
        if waiting:
            self._sent = waiting[-1][0]
        return [frames for _, frames in waiting]

    def _read(self, connection: socket.socket, buffer: bytearray) -> None:
        """Take in what has arrived, also where the other side has closed the connection behind it."""
        try:
            while data := _available(connection):
                buffer += data
        finally:
            self._receive(buffer)

    def _receive(self, buffer: bytearray) -> None:
        while (taken := wire.taken(buffer)) is not None:
            event, blob = taken
            with self._lock:
                if "ack" in event:
                    for number in [one for one in self._kept if one <= event["ack"]]:
                        del self._kept[number]
                elif "answer" in event:
                    self._answers[event["answer"]] = event["event"], blob
                self._lock.notify_all()
            if "control" in event:
                self._on_control(event["control"])


def connect(
    address: tuple[str, int], secret: bytes, name: str, timeout: float = 10, tls: ssl.SSLContext | None = None
) -> socket.socket:
    """A connection on which both sides have proved the secret.

    Args:
        address: host and port of the notebook.
        secret: of the run.
        name: of this worker.
        timeout: seconds that each step may take.
        tls: encrypts what is said after the first proof.

    Raises:
        OSError: nobody answers there, EOFError where it hangs up.
        ProtocolError: who answers does not know the secret.
    """
    connection = socket.create_connection(address, timeout=timeout)
    try:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _greet(connection, secret)
        if tls is not None:
            connection = tls.wrap_socket(connection)
            _greet(connection, secret, wire.INSIDE)
        connection.sendall(wire.encode({"hello": name}))
    except TimeoutError as error:
        connection.close()
        raise _Mute(*error.args) from error
    except BaseException:
        connection.close()
        raise
    return connection


def _greet(connection: socket.socket, secret: bytes, where: bytes = b"") -> None:
    theirs = exactly(connection, wire.NONCE)
    ours = wire.nonce()
    connection.sendall(ours + wire.proof(secret, b"worker" + where, theirs, ours))
    answer = exactly(connection, wire.DIGEST)
    if not wire.proved(secret, b"notebook" + where, theirs, ours, answer):
        raise wire.ProtocolError("the notebook does not know the secret")


def received(connection: socket.socket) -> Event:
    """The next event on a connection."""
    _, length = wire.header(exactly(connection, wire.HEADER.size))
    return wire.decode(exactly(connection, length))


def _available(connection: socket.socket) -> bytes:
    """What can be read without waiting; TLS may hold some that the socket does not show.

    Raises:
        EOFError: the other side has closed the connection.
    """
    limit = connection.gettimeout()
    connection.settimeout(0)
    try:
        data = connection.recv(_PIECE)
    except (BlockingIOError, ssl.SSLWantReadError):
        return b""
    finally:
        connection.settimeout(limit)
    if not data:
        raise EOFError
    return data


def exactly(connection: socket.socket, size: int) -> bytes:
    """So many bytes.

    Raises:
        EOFError: the connection ended before.
    """
    data = bytearray()
    while len(data) < size:
        piece = connection.recv(size - len(data))
        if not piece:
            raise EOFError
        data += piece
    return bytes(data)
