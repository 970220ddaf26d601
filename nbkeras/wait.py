"""What a start waits for, said where somebody watches: seconds without a word look like a hang."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

What = Literal["java", "keras", "tensorflow"]

#: Shows for what is waited, as long as a ``with`` block lasts. A notebook puts its own here.
shown: Callable[[What], AbstractContextManager[Any]] = nullcontext
