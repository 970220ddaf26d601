"""Mailbox: where workers meet, in rank 0's task, when none of them can reach the notebook.

What they say is kept until a short Spark job fetches it (:mod:`nbkeras.driver.training.relay`),
in the frames of the event protocol; answers and control events come the same way.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import threading
import time
from typing import Self

from nbkeras.errors import NbkerasError
from nbkeras.job import failures
from nbkeras.job.job import Job
from nbkeras.job.rendezvous import Rendezvous
from nbkeras.transport import messages, wire
from nbkeras.transport.checking import checked
from nbkeras.transport.events import Answer, Server
from nbkeras.transport.wire import Event

#: The name of who fetches; workers have others.
NOTEBOOK = "notebook"
#: Seconds that rank 0 waits for the other tasks' last words.
_LAST_WORDS = 10.0
#: Bytes that go into one answer, as text in JSON.
_PIECE = 700 << 10


def ports(secret: bytes) -> list[int]:
    """The ports at which a mailbox may be, as who knows the secret can tell.

    They lie below those that systems give away.

    Example:
        >>> from nbkeras.job.mailbox import ports
        >>> len(ports(b"secret")), ports(b"secret") == ports(b"secret")
        (8, True)
    """
    digest = hmac.new(secret, b"mailbox", hashlib.sha256).digest()
    return [20000 + int.from_bytes(digest[start : start + 4]) % 10000 for start in range(0, 32, 4)]


class Mailbox:
    """Takes what workers say, and answers itself what they only ask each other.

    Args:
        host: address to listen on.
        job: of the training.

    Attributes:
        address: host and port.

    Raises:
        OSError: none of its ports is free.
    """

    def __init__(self, host: str, job: Job) -> None:
        self._workers, self._mute = job.plan.workers, job.mute
        self._rendezvous = Rendezvous(job.plan, job.origin)
        self._changed = threading.Condition()
        self._log, self._begin = bytearray(), 0
        self._progress: dict[str, Event] = {}
        self._spoke: dict[str, float] = {}
        self._asked: dict[tuple[str, int], Answer] = {}
        self._failure: messages.Failure | None = None
        self._gone = 0
        self._server = self._open(host, job)
        self.address: tuple[str, int] = self._server.address

    def _open(self, host: str, job: Job) -> Server:
        *most, last = ports(job.secret)
        for port in most:
            try:
                return Server(host, job.secret, self._hear, job.weights, port=port)
            except OSError:
                continue  # taken
        return Server(host, job.secret, self._hear, job.weights, port=last)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.close()

    def failure(self) -> messages.Failure | None:
        """What went wrong first, when all tasks have said their last words."""
        with self._changed:
            self._changed.wait_for(lambda: self._gone >= self._workers, _LAST_WORDS)
            return self._failure

    # -- in the server's thread ------------------------------------------------

    def _hear(self, peer: str, event: Event, blob: bytes, answer: Answer) -> None:
        if peer == NOTEBOOK:
            answer(self._fetched(checked(event, messages.Fetch)))
            return
        self._spoke[peer] = time.monotonic()
        if event.get("type") == "alive":
            pass  # It has said so.
        elif "seq" not in event:
            self._progress[peer] = event
        else:
            if event.get("type") == "farewell":
                del self._spoke[peer]
            if not self._mute:
                self._log += wire.encode({**event, "peer": peer}, blob)
            self._act(peer, event, answer)

    def _act(self, peer: str, event: Event, answer: Answer) -> None:
        message = messages.event(event)
        if message is None:
            return
        try:
            if self._rendezvous.take(peer, message, answer):
                return
        except NbkerasError as error:
            self._fail(failures.event(failures.describe(error), rank=0))
            return
        if message["type"] == "failure":
            self._fail(message)
        elif message["type"] == "farewell":
            if peer.startswith("task-"):
                with self._changed:
                    self._gone += 1
                    self._changed.notify_all()
        else:
            # Only the notebook knows; most events ask nothing.
            self._asked[peer, int(event["seq"])] = answer

    def _fail(self, event: messages.Failure) -> None:
        if self._failure is None:
            self._failure = event
            self._server.control(messages.Leave(type="leave"))

    def _fetched(self, event: messages.Fetch) -> messages.Fetched:
        """What has been said since the last time, after doing what the notebook says, and who is silent."""
        for peer, number, reply, data in event["answers"]:
            answer = self._asked.pop((peer, number), None)
            if answer is not None:
                answer(reply, base64.b64decode(data))
        for control in event["controls"]:
            self._server.control(control, standing=True)
        if len(self._log) > event["from"] - self._begin or event["last"]:
            for peer, latest in self._progress.items():
                self._log += wire.encode({**latest, "peer": peer})
            self._progress.clear()
        # What a job has been given may be lost with the job: only the next one says that it has arrived.
        del self._log[: event["known"] - self._begin]
        self._begin = event["known"]
        start = event["from"] - self._begin
        now = time.monotonic()
        return messages.Fetched(
            data=base64.b64encode(self._log[start : start + _PIECE]).decode(),
            silent={peer: now - spoke for peer, spoke in self._spoke.items()},
        )
