"""This machine's addresses."""

from __future__ import annotations

import socket


def towards(host: str) -> str:
    """The address of this machine on the way to a host.

    Example:
        >>> from nbkeras.transport.addresses import towards
        >>> towards("127.0.0.1")
        '127.0.0.1'
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        # Connecting a datagram socket sends nothing; it only chooses the route.
        probe.connect((host, 9))
        return str(probe.getsockname()[0])


def is_own(host: str) -> bool:
    """Whether a host is this machine: one can listen at its own addresses only.

    Example:
        >>> from nbkeras.transport.addresses import is_own
        >>> is_own("localhost"), is_own("192.0.2.77")
        (True, False)
    """
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind((host, 0))
    except OSError:
        return False
    return True
