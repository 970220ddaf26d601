"""Names of columns, as Spark and as messages take them."""

from __future__ import annotations

from collections.abc import Sequence


def quoted(name: str) -> str:
    """A column's exact name as ``df.select`` takes it: with backticks where it needs them.

    Example:
        >>> quoted("petal_width"), quoted("petal.width")
        ('petal_width', '`petal.width`')
    """
    return name if name.isidentifier() and name.isascii() else f"`{name.replace('`', '``')}`"


def first(names: Sequence[str], most: int = 8) -> str:
    """The first of many columns, and how many there are.

    Example:
        >>> first(("height", "width", "depth"), 2)
        'height, width, … (3 in all)'
    """
    more = f", … ({len(names)} in all)" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def listed(names: Sequence[str]) -> str:
    """Columns, as a message names them.

    Example:
        >>> listed(("height", "width"))
        "'height', 'width'"
    """
    return ", ".join(f"'{name}'" for name in names)
