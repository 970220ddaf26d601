"""The licences of the packages that nbkeras installs, read from those packages."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator
from email.message import Message
from typing import cast

from packaging.requirements import Requirement

#: What is for work on nbkeras alone.
_OWN = {"docs", "lint", "test"}
_CLASS = "License :: OSI Approved :: "
#: Words of a field that hold a whole licence in place of its name.
_LONG = 120


def table() -> str:
    """A table of the packages, by name: who needs it, and its licence."""
    lines = ["| Package | Needed by | Licence |", "|---|---|---|"]
    for name, extras in sorted(_needed().items()):
        needed = "nbkeras" if "" in extras else ", ".join(f"`nbkeras[{extra}]`" for extra in sorted(extras))
        lines.append(f"| {name} | {needed} | {licence(name)} |")
    return "\n".join(lines)


def licence(package: str) -> str:
    """The licence of an installed package.

    Raises:
        ValueError: the package does not say it.
    """
    about = cast("Message", importlib.metadata.metadata(package))
    for said in _said(about):
        if said and len(said) < _LONG and said != "UNKNOWN":
            return said
    raise ValueError(f"{package} does not say its licence: write it here")


def _said(about: Message) -> Iterator[str | None]:
    yield about.get("License-Expression")
    classes = [one.removeprefix(_CLASS) for one in about.get_all("Classifier", []) if one.startswith(_CLASS)]
    yield ", ".join(classes)
    yield about.get("License")


def _needed() -> dict[str, set[str]]:
    """The packages that nbkeras asks for, each with the extras that do; the empty one is nbkeras itself."""
    found: dict[str, set[str]] = {}
    declared = importlib.metadata.metadata("nbkeras").get_all("Provides-Extra") or []
    extras = ["", *(one for one in declared if one not in _OWN)]
    for requirement in map(Requirement, importlib.metadata.requires("nbkeras") or []):
        if requirement.name == "nbkeras":
            continue
        for extra in extras:
            plain = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
            if (extra == "") == plain and (plain or requirement.marker.evaluate({"extra": extra})):
                found.setdefault(requirement.name, set()).add(extra)
    return found
