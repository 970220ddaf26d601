"""Receive messages of the page on a comm that is never published on: a busy kernel handles them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets


class QuietLine(ipywidgets.Widget):  # type: ignore[misc]  # ipywidgets ships no types
    """Receives messages of the page; it shows nothing.

    JupyterLab sends what widgets say to a thread of the kernel beside the one
    that runs cells (a subshell, from ipykernel 7.0 on). ipykernel 7.4 sends it
    back to the cells' thread as soon as that has published on the same comm: a
    view that is fed from a busy cell is deaf until the cell ends. So this one
    is never published on, and what made it is forgotten.

    Args:
        receive: called with each message, from any thread: it may not print,
            display or send anything.

    Attributes:
        model_id: by which the page finds it.
    """

    def __init__(self, receive: Callable[[Any], None]) -> None:
        super().__init__()
        # Other versions remember nothing of the kind.
        getattr(self.comm, "__dict__", {}).pop("_reply_subshell_id", None)
        self.on_msg(lambda _widget, message, _buffers: receive(message))
