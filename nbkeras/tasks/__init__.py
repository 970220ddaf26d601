"""Tasks: a training with its data, model and results, declared as a Python object or as YAML."""

from __future__ import annotations

try:
    from nbkeras.tasks.task import Task
except ModuleNotFoundError as error:
    from nbkeras.tasks.absent import PACKAGES
    from nbkeras.tasks.absent import Task as Absent

    if str(error.name).partition(".")[0] not in PACKAGES:
        raise
    # The name is there all the same, and says what to type when it is used.
    Task = Absent  # type: ignore[assignment,misc]

__all__ = ["Task"]
