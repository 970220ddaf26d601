"""Names of columns, as Spark and messages need them."""

from __future__ import annotations

from collections.abc import Sequence


def quoted(name: str) -> str:
    """Quote a column's exact name for ``df.select``, with backticks where it needs them.

    Example:
        >>> quoted("petal_width"), quoted("petal.width")
        ('petal_width', '`petal.width`')
    """
    return name if name.isidentifier() and name.isascii() else f"`{name.replace('`', '``')}`"


def first(names: Sequence[str], most: int = 8) -> str:
    """List the first of many columns, and say how many there are.

    Example:
        >>> first(("height", "width", "depth"), 2)
        'height, width, … (3 in all)'
    """
    more = f", … ({len(names)} in all)" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def listed(names: Sequence[str]) -> str:
    """List columns as a message names them.

    Example:
        >>> listed(("height", "width"))
        "'height', 'width'"
    """
    return ", ".join(f"'{name}'" for name in names)


def unique(names: Sequence[str]) -> list[str]:
    """Names of which each is there once: a second one of a name gets a number.

    Example:
        >>> unique(["digits", "digits", "other"])
        ['digits', 'digits (2)', 'other']
    """
    found: dict[str, None] = {}
    for name in names:
        number, candidate = 1, name
        while candidate in found:
            number += 1
            candidate = f"{name} ({number})"
        found[candidate] = None
    return list(found)
