"""Registry: the runs of this process, and the run and schema of a model."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

from nbkeras.run.run import Run
from nbkeras.schema import Schema

#: All runs of this process, the newest last.
runs: list[Run] = []
#: What models of files were trained on.
_loaded: WeakKeyDictionary[Any, Schema] = WeakKeyDictionary()


def at_work() -> list[Run]:
    """Return the runs that have not ended."""
    return [run for run in list(runs) if not run.done.is_set()]


def training(model: Any) -> Run | None:
    """Return the run that trains a model now, or None."""
    return next((run for run in at_work() if run.model is model), None)


def schema(model: Any) -> Schema | None:
    """Return the schema of the newest run on named columns that trained a model, or gave it weights.

    Before any run, that of the file that it was loaded from.

    Example:
        >>> import keras
        >>> from nbkeras.run import registry
        >>> registry.schema(keras.Sequential()) is None
        True
    """
    found = (run.schema for run in reversed(runs) if run.schema is not None and run.knows(model))
    return next(found, None) or _loaded.get(model)


def remember(model: Any, schema: Schema) -> None:
    """Remember what a model was trained on elsewhere."""
    _loaded[model] = schema
