"""How often to show something: rarely enough that it costs the training next to nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


class Pace:
    """Spaces out what is done again and again, the more it costs the wider.

    Args:
        fastest, slowest: seconds between two times.
        share: of one core, that doing it may take.

    Example:
        >>> pace = Pace(fastest=10.0, slowest=60.0, share=0.5)
        >>> pace.spend(lambda: "drawn"), pace.due()
        ('drawn', False)
    """

    def __init__(self, fastest: float, slowest: float, share: float) -> None:
        self._fastest, self._slowest, self._share = fastest, slowest, share
        self._wait = fastest
        self._last = time.monotonic()

    def age(self) -> float:
        """Seconds since it was done."""
        return time.monotonic() - self._last

    def due(self) -> bool:
        """Whether it may be done again."""
        return self.age() >= self._wait

    def spend(self, do: Callable[[], Result]) -> Result:
        """Do it, and learn from what it cost."""
        before = time.thread_time()
        try:
            return do()
        finally:
            cost = time.thread_time() - before
            self._wait = min(self._slowest, max(self._fastest, cost / self._share))
            self._last = time.monotonic()
