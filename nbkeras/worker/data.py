"""Data: what one worker trains and validates on, of spooled rows or of batches that every worker reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from nbkeras.model.portable import datasets
from nbkeras.plan import Plan
from nbkeras.transport.messages import Shards
from nbkeras.worker.backends import Backend
from nbkeras.worker.backends.slices import Slices, length
from nbkeras.worker.collectives import Collective
from nbkeras.worker.feed import Feed
from nbkeras.worker.rows import Rows
from nbkeras.worker.schedule import Ledger, Schedule


class Order(Protocol):
    """What has another order in each epoch."""

    def permute(self, epoch: int) -> None:
        """Take the order of an epoch."""


@dataclass(frozen=True)
class Data:
    """What one worker trains and validates on.

    Attributes:
        order: of the rows, which changes with the epoch.
        batches: as Keras takes them.
        steps: this worker's part in them.
        sample: some rows as x, y and sample weights; empty where one worker is alone.
        validation, checked: likewise to validate on; None where there is nothing.
        feed: the spooled rows; None for batches.
        class_weight: of batches, which Keras weights itself.
    """

    order: Order
    batches: Any
    steps: Schedule
    sample: tuple[Any, ...]
    validation: Any = None
    checked: Schedule | None = None
    feed: Feed | None = None
    class_weight: Any = None


def of_rows(rows: Rows, shards: Shards, plan: Plan, backend: Backend) -> Data:
    """Make the data of spooled rows; all workers must come here.

    Args:
        rows: of this worker.
        shards: the rows of all workers.
        plan: of the training.
        backend: the functions of the backend.
    """
    steps, feed = rows.training(shards)
    sample = feed.rows(4)
    if not plan.validates:
        return Data(feed, backend.batches(feed), steps, sample, feed=feed)
    checked, validation = rows.validation(shards)
    return Data(feed, backend.batches(feed), steps, sample, backend.batches(validation), checked, feed)


def of_batches(given: tuple[Any, Any, Any], plan: Plan, group: Collective, model: Any) -> Data:
    """Make the data of batches.

    Args:
        given: the source, that to validate on, and some rows.
        plan: of the training.
        group: the workers.
        model: compiled.
    """
    source, validation, sample = given
    if group.size > 1 and plan.backend != "tensorflow" and not _built(model):
        # One worker's Keras looks at a batch to build the rest, which moves a source of random order.
        next(iter(source))

    def part(of: Any, seed: int | None, class_weight: Any, steps: int | None) -> tuple[Any, Ledger]:
        known = None if steps is not None else length(of)
        ledger = Ledger(group.rank, group.size, known, continues=steps is not None)
        # One worker alone takes a dataset as it is: TensorFlow reads it without Python.
        if group.size == 1 and datasets.is_dataset(of):
            return of, ledger
        batch_size = plan.validation_batch_size or plan.batch_size or 32
        return Slices(of, ledger, class_weight, batch_size, seed), ledger

    batches, steps = part(source, plan.seed, plan.class_weight, plan.steps_per_epoch)
    order = batches if isinstance(batches, Slices) else _Fixed()
    checks, checked = (None, None) if validation is None else part(validation, None, None, None)
    alone = None if isinstance(batches, Slices) else plan.class_weight
    return Data(order, batches, steps, sample, checks, checked, class_weight=alone)


def to_evaluate(given: tuple[Any, Any, Any], rank: int, plan: Plan) -> Any:
    """Make the batches of one worker's part of an evaluation, without a step that has none of its rows.

    Args:
        given: the source, and what a training has besides.
        rank: of the worker.
        plan: of the evaluation.
    """
    source, _, _ = given
    if plan.workers == 1 and datasets.is_dataset(source):
        return source
    return Slices(source, Ledger(rank, plan.workers), meets=False)


def _built(model: Any) -> bool:
    """Whether Keras has nothing to build before it trains, but an optimizer."""
    parts = (getattr(model, "_compile_loss", None), getattr(model, "_compile_metrics", None))
    layers = model._flatten_layers()  # noqa: SLF001  # public `layers` does not look into layers
    return all(one.built for one in (*layers, *parts) if one is not None)


class _Fixed:
    """The order of a dataset is its own."""

    def permute(self, epoch: int) -> None:
        """Leave it."""
