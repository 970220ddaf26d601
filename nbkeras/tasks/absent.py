"""Absent: what stands for a task where the packages that read one are not installed."""

from __future__ import annotations

import importlib.util
import sys
from typing import Any, Never

from nbkeras.errors import OptionError

#: By the names of their modules.
PACKAGES = {"pydantic": "pydantic", "ruamel": "ruamel.yaml"}


def require() -> None:
    """Make sure that the packages are installed.

    Raises:
        OptionError: one is not.

    Example:
        >>> require()
    """
    missing = [package for module, package in PACKAGES.items() if _lacks(module)]
    if missing:
        raise OptionError(
            f"tasks need {' and '.join(missing)}, which this Python lacks: {sys.executable} -m pip install "
            "'nbkeras[tasks]'"
        )


def _lacks(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is None
    except ValueError:  # an import of it was refused
        return True


class Task:
    """Stands for :class:`nbkeras.tasks.task.Task`, and says what to install."""

    def __init__(self, *_: Any, **__: Any) -> None:
        require()

    @classmethod
    def read(cls, *_: Any) -> Never:
        """Say what to install.

        Raises:
            OptionError: always.
        """
        require()
        raise OptionError("pydantic and ruamel.yaml are there now: restart Python, then read the task")
