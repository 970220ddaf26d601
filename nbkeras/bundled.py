"""The notebooks that come with the package."""

from __future__ import annotations

from pathlib import Path


def notebook(name: str) -> Path:
    """Return the path of a notebook, in an installed package or in a checkout.

    Args:
        name: its path in the folder of notebooks.

    Example:
        >>> notebook("zeppelin/quickstart.zpln").exists()
        True
    """
    package = Path(__file__).parent
    places = (root / "notebooks" / name for root in (package, package.parent))
    return next(place for place in places if place.exists())
