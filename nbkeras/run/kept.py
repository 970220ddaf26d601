"""What is kept with runs: reports on their models, and comparisons."""

from __future__ import annotations

import os
from typing import Any, Protocol


class Kept(Protocol):
    """A report or a comparison, which shows and saves itself; it never changes.

    One that has ``nbytes``, the bytes that it takes, is counted with them.
    """

    @property
    def title(self) -> str:
        """What it is about, in a few words."""

    def bundle(self) -> dict[str, str]:
        """Render it for a notebook's output, by media type: at least ``text/html`` and ``text/plain``."""

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it to a file, in the form that the end of its name says."""

    def live(self) -> dict[str, Any]:
        """What the panel of runs draws of it, besides its picture."""
