"""Resumption: a training goes on from a checkpoint, with what it must share and what the user is told."""

from __future__ import annotations

import os
from typing import Any

from nbkeras.errors import OptionError
from nbkeras.job.checkpoint import Checkpoint
from nbkeras.job.store import Store
from nbkeras.model import settings, state
from nbkeras.plan import Plan


def newest(uri: str | os.PathLike[str] | None, *, resume: bool) -> Checkpoint | None:
    """The checkpoint to go on from.

    Raises:
        OptionError: there is one, and nobody said to go on from it.
    """
    if uri is None:
        if resume:
            raise OptionError("resume needs a place to go on from: add --checkpoint URI (checkpoint='…')")
        return None
    found = Store(os.fspath(uri)).latest()
    if found is not None and not resume:
        raise OptionError(
            f"{uri} holds a training of {found.epoch + 1} epochs: go on from it with --resume (resume=True), "
            "or name another place"
        )
    return found


def require_same(begun: Checkpoint | None, plan: Plan) -> None:
    """Make sure that a training goes on with the batches that it has begun with.

    Raises:
        OptionError: an option differs.
    """
    if begun is not None:
        begun.origin.require_same(plan)


def restored(begun: Checkpoint | None, chosen: dict[str, Any]) -> dict[str, Any]:
    """What a checkpoint sets in place of the user: a learning rate, which is a variable if it is a number."""
    before = None if begun is None else begun.chosen.get("learning_rate")
    numbers = isinstance(before, float) and isinstance(chosen.get("learning_rate"), float)
    return {"learning_rate": before} if numbers else {}


def total(begun: Checkpoint | None, epochs: int) -> int:
    """Of how many epochs a run is: a checkpoint may have more behind it than are asked for now."""
    return epochs if begun is None else max(epochs, begun.epoch + 1)


def notes(
    model: Any, plan: Plan, chosen: dict[str, Any], begun: Checkpoint | None, *, resume: bool
) -> list[str]:
    """What a user should know of a training that goes on, in sentences."""
    if begun is None:
        return [f"no checkpoint in {plan.checkpoint} yet: from the start"] if resume else []
    if begun.next_epoch(plan.epochs) == plan.epochs:
        why = "a callback had ended it" if begun.ended else f"epochs={plan.epochs}"
        return [f"the checkpoint has all epochs, up to {begun.epoch + 1} ({why}): nothing is left to train"]
    sentences = [f"going on from the checkpoint of epoch {begun.epoch + 1}"]
    if begun.origin.workers != plan.workers and plan.seed is not None:
        sentences.append(
            f"{plan.workers} workers, {begun.origin.workers} before: they put other rows into a batch"
        )
    before = begun.chosen.get("sync_every", plan.sync_every)
    if before != plan.sync_every:
        sentences.append(
            f"sync_every={plan.sync_every}, {before} before: another result than that of either alone"
        )
    return sentences + changes(model, chosen, begun)


def changes(model: Any, chosen: dict[str, Any], begun: Checkpoint) -> list[str]:
    """What a model was compiled with otherwise than the training before, in sentences."""
    return _rate_notes(model, chosen, begun) + _optimizer_notes(model, chosen, begun)


def _rate_notes(model: Any, chosen: dict[str, Any], begun: Checkpoint) -> list[str]:
    """That a model was compiled with another learning rate than the one that a training began with."""
    before, now = begun.chosen.get("learning_rate"), chosen.get("learning_rate")
    # Of an optimizer that has trained nobody knows what it was compiled with: its rate may be a callback's.
    if before is None or before == now or state.steps(model.optimizer):
        return []
    goes_on = (
        f"the checkpoint's holds; run.set_learning_rate({now}) sets another while it trains"
        if restored(begun, chosen)
        else "the new one holds"
    )
    return [f"learning_rate={now}, {before} before: {goes_on}"]


def _optimizer_notes(model: Any, chosen: dict[str, Any], begun: Checkpoint) -> list[str]:
    """Which of the optimizer's arguments, such as momentum, are others; they are no variables."""
    if not begun.chosen:
        return []  # An older version wrote it.
    pairs = {
        name: (begun.chosen.get(name, "Keras' default"), chosen.get(name, "Keras' default"))
        for name in settings.arguments(model.optimizer)
    }
    return [
        f"{name}={now}, {before} before: the new one holds"
        for name, (before, now) in pairs.items()
        if before != now
    ]
