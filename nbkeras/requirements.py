"""Requirements: the versions of packages that nbkeras needs, by its metadata, and those installed."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

#: Backend of Keras to its display name and the distributions that provide it.
BACKENDS: dict[str, tuple[str, tuple[str, ...]]] = {
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


def backend() -> str:
    """Return the backend that Keras is to work with.

    It is that of ``KERAS_BACKEND``; else that of Keras' settings file, which Keras writes itself, else
    TensorFlow; and if this one is not installed, another one that is.
    """
    if named := os.environ.get("KERAS_BACKEND"):
        return named
    settings = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser() / "keras.json"
    try:
        usual = str(json.loads(settings.read_text(encoding="utf-8"))["backend"])
    except (OSError, ValueError, KeyError, TypeError):
        usual = "tensorflow"
    if usual not in BACKENDS or is_there(usual):
        return usual
    return next(filter(is_there, BACKENDS), usual)


def is_there(module: str) -> bool:
    """Whether a module can be imported, as far as it is known without doing it.

    Example:
        >>> is_there("keras"), is_there("no_such_module")
        (True, False)
    """
    return importlib.util.find_spec(module) is not None


def bounds() -> dict[str, SpecifierSet]:
    """Return the versions that nbkeras needs, by distribution."""
    # Read the metadata, so that the bounds are declared in one place.
    requirements = map(Requirement, importlib.metadata.requires("nbkeras") or [])
    found: dict[str, SpecifierSet] = {}
    for requirement in requirements:
        extras = ("", "demo", *BACKENDS)
        if requirement.marker is None or any(requirement.marker.evaluate({"extra": e}) for e in extras):
            found[requirement.name] = requirement.specifier
    return found
