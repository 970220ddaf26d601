"""The event protocol: how notebook and workers prove a secret and frame what they say.

A connection opens with a mutual HMAC-SHA256 challenge over fixed-size binary
messages, so nothing is parsed before the secret is proved::

    notebook -> worker   32 random bytes N
    worker -> notebook   32 random bytes W, HMAC(secret, "worker" N W)
    notebook -> worker   HMAC(secret, "notebook" N W)

Where Spark encrypts the network, TLS 1.3 follows, with a certificate that the
workers know from their Spark task, and in it the challenge once more, with
" over TLS" behind both roles: the first one keeps strangers away from TLS, the
second one ties the secret to this very session. Who sits between can pass on
what a worker says in the clear, but a worker answers the second challenge only
to the notebook. After that both sides send frames: one byte for the kind, four bytes for the
length (big-endian), the payload. Kind ``J`` is a JSON object of at most 16 MiB;
kind ``B`` is a piece of at most 1 MiB of the bytes that the JSON object before
it announced with ``"blob": SIZE``. Nothing is ever unpickled.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import struct
from collections.abc import Mapping
from typing import Any

#: What tells the challenge inside TLS from the one before it.
INSIDE = b" over TLS"
NONCE = 32
DIGEST = hashlib.sha256().digest_size
#: Bytes of an event, and of a piece of the bytes that go with one.
LIMIT, PIECE = 16 << 20, 1 << 20
HEADER = struct.Struct(">cI")

#: A message as a JSON object; :mod:`nbkeras.transport.messages` says which there are.
Event = Mapping[str, Any]


class ProtocolError(Exception):
    """The other side broke the protocol; the connection is closed."""


def nonce() -> bytes:
    """Random bytes that make a proof usable once."""
    return secrets.token_bytes(NONCE)


def proof(secret: bytes, role: bytes, ours: bytes, theirs: bytes) -> bytes:
    """HMAC-SHA256 of a role and both nonces (RFC 2104).

    Example:
        >>> from nbkeras.transport.wire import proof
        >>> len(proof(b"secret", b"worker", bytes(32), bytes(32)))
        32
    """
    return hmac.new(secret, role + ours + theirs, hashlib.sha256).digest()


def proved(secret: bytes, role: bytes, ours: bytes, theirs: bytes, claim: bytes) -> bool:
    """Whether a claim is the proof, compared in constant time."""
    return hmac.compare_digest(proof(secret, role, ours, theirs), claim)


def encode(event: Event, blob: bytes | memoryview = b"") -> bytes:
    r"""The frames of an event and of the bytes that go with it.

    Raises:
        ProtocolError: the event is larger than a frame may be.

    Example:
        >>> from nbkeras.transport.wire import encode
        >>> encode({"a": 1})
        b'J\x00\x00\x00\x07{"a":1}'
    """
    if blob:
        event = {**event, "blob": len(blob)}
    payload = json.dumps(event, separators=(",", ":")).encode()
    if len(payload) > LIMIT:
        raise ProtocolError(f"event of {len(payload)} bytes, at most {LIMIT} fit a frame")
    frames: list[bytes | memoryview] = [HEADER.pack(b"J", len(payload)), payload]
    view = memoryview(blob)  # a gigabyte is copied once, not twice
    for start in range(0, len(view), PIECE):
        piece = view[start : start + PIECE]
        frames += [HEADER.pack(b"B", len(piece)), piece]
    return b"".join(frames)


def header(data: bytes) -> tuple[bytes, int]:
    """Kind and length of the frame that a header announces.

    Raises:
        ProtocolError: unknown kind, or longer than a frame may be.
    """
    kind, length = HEADER.unpack(data)
    if length > {b"J": LIMIT, b"B": PIECE}.get(kind, -1):
        raise ProtocolError(f"frame of kind {kind!r} and length {length}")
    return kind, length


def decode(payload: bytes) -> Event:
    """The event in a frame of kind ``J``.

    Raises:
        ProtocolError: not a JSON object.
    """
    try:
        event = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise ProtocolError("a frame that is no JSON") from error
    if not isinstance(event, dict):
        raise ProtocolError("a frame that is no JSON object")
    return event


def taken(buffer: bytearray) -> tuple[Event, bytes] | None:
    """Take the first event and its bytes out of a buffer, when all of them are there."""
    view, position = memoryview(buffer), 0
    pieces: list[bytes] = []
    event: Event | None = None
    missing = 0
    try:
        while event is None or missing > 0:
            if len(view) < position + HEADER.size:
                return None
            _, length = header(bytes(view[position : position + HEADER.size]))
            position += HEADER.size
            if len(view) < position + length:
                return None
            data = bytes(view[position : position + length])
            position += length
            if event is None:
                event = decode(data)
                missing = int(event.get("blob", 0))
            else:
                pieces.append(data)
                missing -= length
    finally:
        view.release()
    del buffer[:position]
    return event, b"".join(pieces)
