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


def listed(names: Sequence[str]) -> str:
    """Columns, as a message names them.

    Example:
        >>> listed(("height", "width"))
        "'height', 'width'"
    """
    return ", ".join(f"'{name}'" for name in names)
