"""Requirements: the versions of packages that nbkeras needs, by its metadata, and those installed."""

from __future__ import annotations

import importlib.metadata

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

#: Backend of Keras to its display name and the distributions that provide it.
BACKENDS = {
    "tensorflow": ("TensorFlow", ("tensorflow", "tensorflow-cpu", "tensorflow-macos", "tensorflow-intel")),
    "torch": ("PyTorch", ("torch",)),
    "jax": ("JAX", ("jax",)),
}
#: Import name of a package to the distributions that provide it, where they have another name.
DISTRIBUTIONS = {"PIL": ("pillow",)}


def installed(distribution: str) -> str | None:
    """Return the version of a distribution in this environment, or None if it is not installed.

    Example:
        >>> installed("no-such-distribution") is None
        True
    """
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def bounds() -> dict[str, SpecifierSet]:
    """Return the versions that nbkeras needs, by distribution."""
    # Read the metadata, so that the bounds are declared in one place.
    requirements = map(Requirement, importlib.metadata.requires("nbkeras") or [])
    found: dict[str, SpecifierSet] = {}
    for requirement in requirements:
        extras = ("", "demo", "torch", "jax")
        if requirement.marker is None or any(requirement.marker.evaluate({"extra": e}) for e in extras):
            found[requirement.name] = requirement.specifier
    return found
