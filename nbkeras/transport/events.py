"""The notebook's end of the event channel: one thread, one port, bounded memory."""

from __future__ import annotations

import asyncio
import contextlib
import random
import ssl
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any, Protocol, Self

from nbkeras.transport import wire
from nbkeras.transport.wire import Event

#: Seconds that a connection has to prove the secret.
PATIENCE = 5.0
#: Connections that may be busy with their proof at once; one more, and another is closed.
UNAUTHENTICATED = 64
#: Connections that are accepted at once, before the first of them is looked at.
BACKLOG = 100
#: Seconds that the port may take to open or close, where other threads of the notebook are at work.
_PATIENCE = 60.0


class Answer(Protocol):
    """Answers an event, from any thread."""

    def __call__(self, event: Event, blob: bytes | memoryview = b"") -> None:
        """Send an answer and the bytes that go with it."""


Handler = Callable[[str, Event, bytes, Answer], None]
#: Answers that a worker may wait for at once.
ANSWERS = 4


class Peer:
    """What the server keeps of a worker across its connections."""

    def __init__(self) -> None:
        self.seen = 0
        self.events = 0
        self.answers: dict[int, tuple[Event, bytes | memoryview]] = {}
        self.writer: asyncio.StreamWriter | None = None


class Server:
    """Listens for workers of one run and hands their events on, each once and in order.

    Args:
        host: address to listen on.
        secret: known to the run's workers alone.
        handle: called in the server's thread with the peer's name, the event,
            the bytes that came with it and a function that answers it, now or
            later from any thread. Must not block.
        blob_limit: bytes that one event may bring with it.
        port: to listen on; 0 for one that the system chooses.
        tls: encrypts what is said after the first proof, from :func:`nbkeras.transport.tls.notebook`.

    Example:
        >>> from nbkeras.transport.events import Server
        >>> with Server("127.0.0.1", b"secret", print) as server:
        ...     host, port = server.address
        >>> host
        '127.0.0.1'
    """

    def __init__(
        self,
        host: str,
        secret: bytes,
        handle: Handler,
        blob_limit: int = 0,
        tls: ssl.SSLContext | None = None,
        port: int = 0,
    ) -> None:
        self._secret, self._handle, self._blob_limit, self._tls = secret, handle, blob_limit, tls
        self._peers: dict[str, Peer] = {}
        #: What holds until another event of its type: it is sent to who connects later too.
        self._standing: dict[str, Event] = {}
        #: Their addresses.
        self._unauthenticated: dict[asyncio.Task[Any], str] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="nbkeras-events", daemon=True)
        self._thread.start()
        try:
            self._server = self._call(asyncio.start_server(self._serve, host, port, backlog=BACKLOG))
        except OSError:
            self._halt()
            raise
        self.address: tuple[str, int] = self._server.sockets[0].getsockname()[:2]

    def _call(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(_PATIENCE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the port and all connections, and end the thread."""
        self._call(self._shut())
        self._halt()

    async def _shut(self) -> None:
        self._loop.remove_reader(self._server.sockets[0].fileno())
        for _ in range(5):
            # A connection that was just accepted is closed only after it has been begun with.
            await asyncio.sleep(0)
        self._server.close()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def _halt(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_PATIENCE)
        self._loop.close()

    def control(self, event: Event, *, standing: bool = False) -> None:
        """Send an event to every connected worker, from any thread.

        Args:
            event: what to do.
            standing: tell it to those too that connect later, or again, until
                there is another event of its type.
        """
        with contextlib.suppress(RuntimeError):  # closed in this moment: there is nobody left to tell
            self._loop.call_soon_threadsafe(self._send_all, event, standing)

    def event_counts(self) -> dict[str, int]:
        """How many events each worker has sent so far, signs of life among them.

        Who has sent none is no worker: it has only looked whether the notebook is there.
        """
        return {name: peer.events for name, peer in self._peers.copy().items() if peer.events}

    def disconnect(self) -> None:
        """Drop all connections, as a network would: workers come back by themselves."""

        def drop() -> None:
            for peer in self._peers.values():
                if peer.writer is not None:
                    peer.writer.transport.abort()

        self._loop.call_soon_threadsafe(drop)

    def _send_all(self, event: Event, standing: bool) -> None:
        if standing:
            self._standing[str(event.get("type"))] = event
        for peer in self._peers.values():
            self._send(peer, {"control": event})

    def _send(self, peer: Peer, event: Event, blob: bytes | memoryview = b"") -> None:
        if peer.writer is not None and not peer.writer.is_closing():
            peer.writer.write(wire.encode(event, blob))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if await self._let_in(reader, writer):
                await self._listen(reader, writer)
        except (wire.ProtocolError, OSError, EOFError, TimeoutError, asyncio.CancelledError):
            pass  # A broken or hostile connection: the worker, if it was one, comes back.
        finally:
            writer.transport.abort()

    async def _let_in(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Whether the other side has proved the secret, in time; nothing of it is parsed before."""
        task = asyncio.current_task()
        assert task is not None
        self._make_room()
        self._unauthenticated[task] = str((writer.get_extra_info("peername") or ("",))[0])
        try:
            async with asyncio.timeout(PATIENCE):
                known = await self._greet(reader, writer)
                if known and self._tls is not None:
                    await writer.start_tls(self._tls)
                    known = await self._greet(reader, writer, wire.INSIDE)
                return known
        finally:
            self._unauthenticated.pop(task, None)

    def _make_room(self) -> None:
        """Close one of too many unauthenticated connections: any one of the address with the most.

        So a crowd from one machine is in nobody's way on another; and no crowd
        can tell how long a worker is let to prove itself.
        """
        if len(self._unauthenticated) < UNAUTHENTICATED:
            return
        ((crowded, _),) = Counter(self._unauthenticated.values()).most_common(1)
        crowd = [task for task, address in self._unauthenticated.items() if address == crowded]
        chosen = random.choice(crowd)  # noqa: S311  # no secret depends on it
        del self._unauthenticated[chosen]
        chosen.cancel()

    async def _greet(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, where: bytes = b""
    ) -> bool:
        """The challenge, over messages of fixed size."""
        ours = wire.nonce()
        writer.write(ours)
        theirs = await reader.readexactly(wire.NONCE)
        claim = await reader.readexactly(wire.DIGEST)
        if not wire.proved(self._secret, b"worker" + where, ours, theirs, claim):
            return False
        writer.write(wire.proof(self._secret, b"notebook" + where, ours, theirs))
        return True

    async def _listen(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hello, _ = await self._read(reader)
        name = str(hello.get("hello"))
        peer = self._peers.setdefault(name, Peer())
        peer.writer = writer
        self._send(peer, {"ack": peer.seen})
        for number, (answer, with_it) in peer.answers.items():
            self._send(peer, {"answer": number, "event": answer}, with_it)
        for control in self._standing.values():
            self._send(peer, {"control": control})
        while True:
            event, blob = await self._read(reader)
            peer.events += 1
            number = _number(event, "seq")
            if number:
                if number > peer.seen:
                    peer.seen = number
                    self._handle(name, event, blob, self._answerer(peer, number))
                self._send(peer, {"ack": peer.seen})
            else:
                self._handle(name, event, blob, _unasked)

    def _answerer(self, peer: Peer, number: int) -> Answer:
        def put(event: Event, blob: bytes | memoryview) -> None:
            # Until the worker asks again: the connection may drop.
            peer.answers[number] = event, blob
            while len(peer.answers) > ANSWERS:
                del peer.answers[min(peer.answers)]
            self._send(peer, {"answer": number, "event": event}, blob)

        def answer(event: Event, blob: bytes | memoryview = b"") -> None:
            if not self._loop.is_closed():
                self._loop.call_soon_threadsafe(put, event, blob)

        return answer

    async def _read(self, reader: asyncio.StreamReader) -> tuple[Event, bytes]:
        kind, length = wire.header(await reader.readexactly(wire.HEADER.size))
        if kind != b"J":
            raise wire.ProtocolError("bytes that no event announced")
        event = wire.decode(await reader.readexactly(length))
        size = _number(event, "blob")
        if not 0 <= size <= self._blob_limit:
            raise wire.ProtocolError(f"{size} bytes announced, at most {self._blob_limit} expected")
        blob = bytearray()
        while len(blob) < size:
            kind, length = wire.header(await reader.readexactly(wire.HEADER.size))
            if kind != b"B" or not length or len(blob) + length > size:
                raise wire.ProtocolError("bytes other than announced")
            blob += await reader.readexactly(length)
        return event, bytes(blob)


def _unasked(event: Event, blob: bytes | memoryview = b"") -> None:
    """Answer nobody."""


def _number(event: Event, key: str) -> int:
    """A whole number that an event may hold.

    Raises:
        ProtocolError: it holds something else there.
    """
    value = event.get(key, 0)
    if not isinstance(value, int):
        raise wire.ProtocolError(f"{key} is {type(value).__name__}, no whole number")
    return value
