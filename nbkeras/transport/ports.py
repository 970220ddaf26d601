"""Ports that are free: held for a server that binds them later."""

from __future__ import annotations

import socket
import sys


def reserve(host: str, *, listen: bool = False) -> socket.socket:
    """A socket bound to a free port of an address, "" for all addresses of the machine.

    Held without listening, it lets a server bind that port on Linux, which gives
    it to nobody else who asks for any free one. Elsewhere a server can bind it
    only when the socket is closed.

    Args:
        host: the address.
        listen: take connections from now on.
    """
    holder = _shared()
    holder.bind((host, 0))
    if listen:
        holder.listen()
    return holder


def is_free(holder: socket.socket) -> bool:
    """Whether nobody else listens on the port of a reservation; outside Linux this closes it."""
    port = holder.getsockname()[1]
    if sys.platform != "linux":
        holder.close()
    with _shared() as probe:
        try:
            probe.bind(("", port))
            probe.listen()
        except OSError:
            return False
        return True


def _shared() -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return made
