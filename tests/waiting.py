"""The only thing that a test may wait for is a condition, with one generous limit."""

from __future__ import annotations

import time
from collections.abc import Callable

#: Seconds that a condition may take to come true, however busy the machine.
LIMIT = 300.0


def wait_for(condition: Callable[[], object], what: str, limit: float = LIMIT) -> None:
    """Wait for a condition, by its name.

    Raises:
        TimeoutError: it has not come true within the limit.
    """
    end = time.monotonic() + limit
    while True:
        begun = time.thread_time()
        if condition():
            return
        if time.monotonic() > end:
            raise TimeoutError(f"waited {limit:.0f} s for {what}")
        # What is dear to look at is looked at more rarely: it takes time from what is waited for.
        time.sleep(max(0.02, 4 * (time.thread_time() - begun)))
