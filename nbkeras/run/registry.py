"""Registry: the runs of this process, and what is known of a model by them."""

from __future__ import annotations

from typing import Any

from nbkeras.run.run import Run
from nbkeras.schema import Schema

#: All runs of this process, the newest last.
runs: list[Run] = []


def at_work() -> list[Run]:
    """The runs that have not ended."""
    return [run for run in list(runs) if not run.done.is_set()]


def training(model: Any) -> Run | None:
    """The run that trains a model now, None where none does."""
    return next((run for run in at_work() if run.model is model), None)


def schema(model: Any) -> Schema | None:
    """The schema of the newest run that trained a model on named columns, or whose weights it was given.

    Example:
        >>> from nbkeras.run import registry
        >>> registry.schema(object()) is None
        True
    """
    found = (run.schema for run in reversed(runs) if run.schema is not None and run.knows(model))
    return next(found, None)
