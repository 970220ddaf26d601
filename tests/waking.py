"""Wakes kernels that sleep over a request.

ipykernel 7.0 to 7.3 may not notice a request that arrives while it sends a reply, until another client
connects (https://github.com/ipython/ipykernel/issues/1554). A test would wait for ever.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import zmq


@contextlib.contextmanager
def woken(files: Callable[[], Iterable[Path]]) -> Iterator[None]:
    """Within the block, connect to the kernels of these connection files now and then."""
    over = threading.Event()

    def connect() -> None:
        with zmq.Context() as context:
            while not over.wait(1):
                for file in files():
                    with contextlib.suppress(OSError, ValueError):  # a kernel that begins or ends
                        port = json.loads(file.read_text())["shell_port"]
                        with context.socket(zmq.DEALER) as client:
                            client.linger = 0
                            client.connect(f"tcp://127.0.0.1:{port}")
                            over.wait(0.1)

    thread = threading.Thread(target=connect)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
