"""Suggest: which known word was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Sequence


def suggest(word: str, known: Sequence[str]) -> str:
    """Say which known word was probably meant, or list them all.

    Example:
        >>> suggest("--wrokers", ["--workers", "--name"])
        'did you mean --workers?'
        >>> suggest("x", ["status", "stop"])
        'type one of: status, stop'
    """
    near = difflib.get_close_matches(word, known, n=1)
    if near:
        return f"did you mean {near[0]}?"
    return f"type one of: {', '.join(known)}" if known else "there is none"
