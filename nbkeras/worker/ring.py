"""Sum vectors over all workers with a ring all-reduce over sockets.

Each worker sends to the next and receives from the one before. A vector of n
numbers is cut into as many parts as there are workers; going round twice, each
worker sends about 2 n numbers, however many workers there are (ring
all-reduce, Patarasuk and Yuan 2009). Every part is added up in one order and
then copied, so all workers get the same bits.

A connection opens with the challenge of :mod:`nbkeras.transport.wire`: a peer that
does not know the run's secret takes no part.
"""

from __future__ import annotations

import asyncio
import random
import select
import socket
import threading
import time
from contextlib import suppress
from typing import Any

import numpy as np
import numpy.typing as npt

from nbkeras.errors import ClusterError, PeerLost
from nbkeras.transport import wire
from nbkeras.transport.channel import exactly

#: Seconds in which the workers find each other, and in which one of them proves the secret.
MEET, PROVE = 60.0, 5.0
#: Connections that may be busy with their proof at once; one more, and one of them is closed.
UNAUTHENTICATED = 64
#: Seconds before the next connection is accepted where one could not be.
_BREATH = 0.1
#: Seconds that a worker which has gone has the word.
GONE = 1.0


Numbers = npt.NDArray[Any]


class Ring:
    """This worker's place in the ring.

    Args:
        port: a socket that listens for the worker before; it did so before its address was sent.
        addresses: ``host:port`` of every worker, by rank; at least two.
        rank: of this worker.
        secret: of the run.

    Attributes:
        broken: whether a neighbour has gone.

    Raises:
        ClusterError: a neighbour cannot be reached.
        PeerLost: the next one is there no more.
    """

    def __init__(self, port: socket.socket, addresses: list[str], rank: int, secret: bytes) -> None:
        self._rank, self._size, self._secret = rank, len(addresses), secret
        self.broken: bool = False
        self._admitted: list[socket.socket] = []
        # While this one knocks at the next, the one before knocks here.
        door = threading.Thread(target=self._admit, args=(port,), daemon=True)
        door.start()
        self._next = self._knock(addresses[(rank + 1) % self._size])
        door.join(MEET)
        if not self._admitted:
            self._next.close()
            raise ClusterError(
                f"worker {rank} waited {MEET:.0f} s for worker {(rank - 1) % self._size} to connect to "
                f"{addresses[rank]}: let the workers' machines through to each other"
            )
        self._before = self._admitted[0]
        for one in (self._before, self._next):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # A machine that is gone without a word is noticed.
            one.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            one.setblocking(False)

    def sum(self, vector: Numbers) -> Numbers:
        """The element-wise sum of all workers' vectors of one length and type.

        Raises:
            ConnectionError: a neighbour has gone.
        """
        total = vector.copy()
        parts = np.array_split(total, self._size)
        rank, size = self._rank, self._size
        for step in range(size - 1):
            mine = parts[(rank - step - 1) % size]
            theirs = np.empty_like(mine)
            self._pass(parts[(rank - step) % size], theirs)
            mine += theirs
        for step in range(size - 1):
            self._pass(parts[(rank - step + 1) % size], parts[(rank - step) % size])
        return total

    def close(self) -> None:
        """Leave the ring."""
        self._before.close()
        self._next.close()

    def _pass(self, give: Numbers, take: Numbers) -> None:
        """Send to the next and receive from the one before, both at once: neither may wait for the other."""
        outgoing, incoming = give.view(np.uint8).data, take.view(np.uint8).data
        try:
            while outgoing or incoming:
                readers, writers = [self._before] if incoming else [], [self._next] if outgoing else []
                readable, writable, _ = select.select(readers, writers, [])
                if writable:
                    outgoing = outgoing[self._next.send(outgoing) :]
                if readable:
                    received = self._before.recv_into(incoming)
                    if not received:
                        raise ConnectionResetError  # as when it goes while it is sent to
                    incoming = incoming[received:]
        except OSError as error:
            self.broken = True
            # Why it has gone it may tell the notebook itself, before we do.
            time.sleep(GONE)
            raise ConnectionError(f"a worker that worker {self._rank} sums with has gone") from error

    # -- meeting ---------------------------------------------------------------

    def _admit(self, port: socket.socket) -> None:
        """Take the connection of the worker before, and of nobody else."""
        with suppress(OSError, ValueError):  # nobody came in time, or the port was closed
            asyncio.run(self._listen(port))

    async def _listen(self, port: socket.socket) -> None:
        """Accept connections until one has proved the secret; each has its own time, whatever others do."""
        port.setblocking(False)
        pending: set[asyncio.Task[None]] = set()
        proved = asyncio.Event()
        try:
            async with asyncio.timeout(MEET):
                while not proved.is_set():
                    come = asyncio.create_task(asyncio.get_running_loop().sock_accept(port))
                    known = asyncio.create_task(proved.wait())
                    await asyncio.wait({come, known}, return_when=asyncio.FIRST_COMPLETED)
                    known.cancel()
                    if not come.done():
                        come.cancel()
                        continue
                    if len(pending) >= UNAUTHENTICATED:
                        random.choice([*pending]).cancel()  # noqa: S311  # no secret depends on it
                    try:
                        connection, _ = come.result()
                    except OSError:  # who came has gone, or this process has too many files for a moment
                        await asyncio.sleep(_BREATH)
                        continue
                    pending.add(task := asyncio.create_task(self._authenticate(connection, proved)))
                    task.add_done_callback(pending.discard)
        finally:
            for one in pending:
                one.cancel()
            await asyncio.gather(*pending, return_exceptions=True)

    async def _authenticate(self, connection: socket.socket, proved: asyncio.Event) -> None:
        connection.setblocking(False)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(PROVE):
                ours = wire.nonce()
                await loop.sock_sendall(connection, ours)
                said = b""
                while len(said) < wire.NONCE + wire.DIGEST:
                    if not (piece := await loop.sock_recv(connection, wire.NONCE + wire.DIGEST - len(said))):
                        return
                    said += piece
                theirs, claim = said[: wire.NONCE], said[wire.NONCE :]
                if not wire.proved(self._secret, self._name(self._rank - 1), ours, theirs, claim):
                    return
                answer = wire.proof(self._secret, self._name(self._rank), ours, theirs)
                await loop.sock_sendall(connection, answer)
            if not proved.is_set():
                self._admitted.append(connection)
                proved.set()
        except OSError:
            pass  # It is no worker, or has given up.
        finally:
            if connection not in self._admitted:
                connection.close()

    def _knock(self, address: str) -> socket.socket:
        """A connection to the next worker, which has proved the secret."""
        host, _, port = address.rpartition(":")
        try:
            connection = socket.create_connection((host, int(port)), timeout=MEET)
            try:
                theirs, ours = exactly(connection, wire.NONCE), wire.nonce()
                connection.sendall(ours + wire.proof(self._secret, self._name(self._rank), theirs, ours))
                claim = exactly(connection, wire.DIGEST)
                if not wire.proved(self._secret, self._name(self._rank + 1), theirs, ours, claim):
                    raise ConnectionError("it does not know the secret of this run")  # noqa: TRY301  # closes too
            except BaseException:
                connection.close()
                raise
        except (OSError, EOFError) as error:
            words = f"worker {self._rank} cannot reach the next one at {address}"
            why, through = str(error) or "it has hung up", "let the workers' machines through to each other"
            if isinstance(error, (ConnectionError, EOFError)):
                # It listened before its address was sent: most likely it was killed since.
                time.sleep(GONE)
                raise PeerLost(f"{words} ({why}): it has gone; if it has not, {through}") from error
            raise ClusterError(f"{words} ({why}): {through}") from error
        return connection

    def _name(self, rank: int) -> bytes:
        """What a worker proves to be."""
        return b"ring %d" % (rank % self._size)
