"""What a start or a job of Spark waits for, said where it is watched: silent seconds look like a hang."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

What = Literal["java", "keras", "tensorflow", "evaluate", "predict"]

#: Shows for what is waited, as long as a ``with`` block lasts. A notebook puts its own here.
shown: Callable[[What], AbstractContextManager[Any]] = nullcontext
