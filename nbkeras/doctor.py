"""Doctor: checks what nbkeras needs on this machine, and says what to type where a check fails."""

from __future__ import annotations

import importlib.metadata
import platform
import sys
from dataclasses import dataclass, replace

from packaging.specifiers import SpecifierSet

from nbkeras.requirements import BACKENDS, backend, bounds, installed
from nbkeras.spark import java

#: Versions of ipykernel that may miss a request that arrives while they send a reply.
_FORGETFUL = SpecifierSet(">=7.0,<7.4")


@dataclass(frozen=True)
class Check:
    """One line of the table.

    Attributes:
        name: of what was checked.
        version: the version found, or "missing".
        problem: what is wrong; empty if the check passed.
        remedy: what to type then.
        needed: whether nbkeras cannot work without it.
    """

    name: str
    version: str
    problem: str = ""
    remedy: str = ""
    needed: bool = True


def examine() -> list[Check]:
    """Check everything that nbkeras needs, without importing it.

    Example:
        >>> from nbkeras import doctor
        >>> [check.name for check in doctor.examine()][:3]
        ['Python', 'Java', 'Spark']
    """
    return [
        _python(),
        _java(),
        _package("Spark", "pyspark"),
        _package("Keras", "keras"),
        _backend(),
        _package("pandas", "pandas"),
        _kernel(),
        # Other front ends work as well; `nbkeras demo` checks for JupyterLab itself.
        replace(_package("JupyterLab", "jupyterlab"), needed=False),
    ]


def table(checks: list[Check]) -> str:
    """Format the checks as aligned lines, with what to type under those that failed.

    Example:
        >>> print(table([Check("Python", "3.11.7"), Check("Java", "missing", "not found", "brew install")]))
        Python  3.11.7   ok
        Java    missing  not found
                         type: brew install
    """
    name_width = max(len(check.name) for check in checks)
    version_width = max(len(check.version) for check in checks)
    lines = []
    for check in checks:
        left = f"{check.name:<{name_width}}  {check.version:<{version_width}}"
        lines.append(f"{left}  {check.problem or 'ok'}")
        if check.remedy:
            lines.append(f"{' ' * len(left)}  type: {check.remedy}")
    return "\n".join(lines)


def _python() -> Check:
    wanted = importlib.metadata.metadata("nbkeras")["Requires-Python"]
    version = platform.python_version()
    if version in SpecifierSet(wanted, prereleases=True):
        return Check("Python", version)
    return Check("Python", version, f"nbkeras needs Python {wanted}", "python3.12 -m venv .venv")


def _java() -> Check:
    if found := java.find():
        return Check("Java", found.version)
    seen = next(java.candidates(), None)
    if seen and seen.problem:
        return Check("Java", seen.version, seen.problem, java.INSTALL_COMMANDS)
    return Check("Java", "missing", f"Spark needs Java {java.OLDEST} or newer", java.INSTALL_COMMANDS)


def _kernel() -> Check:
    found = _package("ipykernel", "ipykernel")
    if found.problem or not _FORGETFUL.contains(found.version, prereleases=True):
        return found
    problem = "a cell may wait for ever to be run (https://github.com/ipython/ipykernel/issues/1554)"
    return replace(
        found, problem=problem, remedy=f"{sys.executable} -m pip install 'ipykernel>=7.4'", needed=False
    )


def _backend() -> Check:
    chosen = backend()
    if chosen not in BACKENDS:
        choices = ", ".join(BACKENDS)
        return Check("Backend", chosen, f"nbkeras knows {choices}", "export KERAS_BACKEND=tensorflow")
    name, distributions = BACKENDS[chosen]
    found = [d for d in distributions if installed(d) is not None]
    return _package(name, (found or distributions)[0], bounds_of=distributions[0])


def _package(name: str, distribution: str, bounds_of: str = "") -> Check:
    wanted = bounds().get(bounds_of or distribution, SpecifierSet())
    remedy = f"{sys.executable} -m pip install '{distribution}{wanted}'"
    version = installed(distribution)
    if version is None:
        return Check(name, "missing", f"{distribution} is not installed", remedy)
    if wanted.contains(version, prereleases=True):
        return Check(name, version)
    return Check(name, version, f"nbkeras needs {distribution}{wanted}", remedy)
