"""Shows what a start or a job of Spark waits for: silent seconds look like a hang."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

What = Literal["java", "keras", "tensorflow", "evaluate", "predict", "report", "adapt", "read", "compare"]

#: Shows the reason of waiting during a ``with`` block. A notebook replaces it by its own function.
shown: Callable[[What], AbstractContextManager[Any]] = nullcontext
