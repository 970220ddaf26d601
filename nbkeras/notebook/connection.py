"""Connects what trains to the displays, of which it imports none."""

from __future__ import annotations

from nbkeras import api, wait
from nbkeras.notebook import hosts


def connect() -> None:
    """Show runs and waits in this environment, from now on."""
    api.host = hosts
    wait.shown = hosts.waiting
