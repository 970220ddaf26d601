"""Registry: the runs of this process, and the run and schema of a model."""

from __future__ import annotations

from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from nbkeras.run.kept import Kept
from nbkeras.run.run import Run
from nbkeras.schema import Schema


class Entry(NamedTuple):
    """What is kept.

    Attributes:
        one: a report or a comparison.
        nbytes: that it takes.
        alone: whether it is of no run.
    """

    one: Kept
    nbytes: int
    alone: bool


#: All runs of this process, the newest last.
runs: list[Run] = []
#: Reports and comparisons, of these runs and of none, the newest last.
kept: list[Entry] = []
#: So many are kept, and the newest in any case; of more the oldest go.
MOST_KEPT, MOST_BYTES = 100, 200_000_000
#: What models of files were trained on.
_loaded: WeakKeyDictionary[Any, Schema] = WeakKeyDictionary()


def at_work() -> list[Run]:
    """Return the runs that have not ended."""
    return [run for run in list(runs) if not run.done.is_set()]


def training(model: Any) -> Run | None:
    """Return the run that trains a model now, or None."""
    return next((run for run in at_work() if run.model is model), None)


def latest(model: Any) -> Run | None:
    """Return the newest run of a model, whether it trains it now or did before, or None."""
    return next((run for run in reversed(runs) if run.model is model), None)


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


def origin(model: Any) -> Run | None:
    """Return the run whose weights a model has: that which has trained it last, or was loaded into it.

    Example:
        >>> import keras
        >>> from nbkeras.run import registry
        >>> registry.origin(keras.Sequential()) is None
        True
    """
    # Those that have failed or were aborted have left the model as it was.
    known = [run for run in runs if run.status not in ("failed", "aborted") and run.knows(model)]
    return max(reversed(known), key=lambda run: run.since(model), default=None)


def keep(one: Kept, *of: Run) -> None:
    """Keep a report or a comparison, with the runs that it is of.

    Args:
        one: what is kept.
        of: runs of this process; none for what is of no run.
    """
    kept.append(Entry(one, int(getattr(one, "nbytes", 0)), not of))
    for run in of:
        run.keep([*run.reports, one])
    while len(kept) > 1 and (len(kept) > MOST_KEPT or sum(entry.nbytes for entry in kept) > MOST_BYTES):
        drop(kept[0].one)


def drop(one: Kept) -> None:
    """Keep a report or a comparison no more."""
    kept[:] = [entry for entry in kept if entry.one is not one]
    for run in runs:
        if any(other is one for other in run.reports):
            run.keep(other for other in run.reports if other is not one)


def remember(model: Any, schema: Schema) -> None:
    """Remember what a model was trained on elsewhere."""
    _loaded[model] = schema
