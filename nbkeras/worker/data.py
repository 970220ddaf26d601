"""Data: what one worker trains and validates on, of spooled rows or of batches of which it takes its rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from nbkeras.model import pickling, state
from nbkeras.model.portable import datasets, seed_generators
from nbkeras.model.reader import Fed, Reader
from nbkeras.plan import Plan
from nbkeras.transport.channel import Channel
from nbkeras.transport.events import ANSWERS
from nbkeras.transport.messages import Shards
from nbkeras.worker.backends import Backend
from nbkeras.worker.backends.slices import Slices, Turns
from nbkeras.worker.collectives import Collective
from nbkeras.worker.feed import Feed
from nbkeras.worker.rows import Rows
from nbkeras.worker.schedule import Ledger, Schedule
from nbkeras.worker.shares import Own, Remote, Shares

#: Tells where the shuffles of a dataset stand, see :func:`nbkeras.model.portable.seed_generators.given`.
Shuffles = Callable[[], list[int]]


@dataclass(frozen=True)
class Data:
    """What one worker trains and validates on.

    Attributes:
        permute: puts the rows in the order of an epoch.
        batches: as Keras takes them.
        steps: this worker's part in them.
        sample: some rows as x, y and sample weights; empty where one worker is alone.
        validation, checked: likewise to validate on; None where there is nothing.
        feed: the spooled rows; None for batches.
        class_weight: of batches, which Keras weights itself.
        shares: of a dataset.
        read: the datasets of TensorFlow that it is read from, to train and to validate on; None for others.
    """

    permute: Callable[[int], None]
    batches: Any
    steps: Schedule
    sample: tuple[Any, ...]
    validation: Any = None
    checked: Schedule | None = None
    feed: Feed | None = None
    class_weight: Any = None
    shares: Shares | None = None
    read: tuple[Any, Any] = (None, None)


def made(
    rows: Rows,
    shards: Shards,
    plan: Plan,
    backend: Backend,
    group: Collective,
    model: Any,
    batches: tuple[Any, Any, Any],
    feed: Callable[[], Channel],
) -> Data:
    """Make the data of one worker; all workers must come here.

    Args:
        rows: of this worker.
        shards: the rows of all workers.
        plan: of the training.
        backend: the functions of the backend.
        group: the workers.
        model: compiled.
        batches: from :meth:`nbkeras.data.stream.Streams.for_workers`.
        feed: opens a channel to the notebook, which feeds this worker.
    """
    train, validation, sample = batches
    opened = _Opened(plan, group, feed() if any(isinstance(one, Fed) for one in batches) else None)
    data = opened.training(train, model, sample) if train is not None else _of_rows(rows, shards, backend)
    if validation is not None:
        shares, dataset = opened.read(validation, None)
        checks, checked, _ = opened.part(shares, dataset, None, None)
        return replace(data, validation=checks, checked=checked, read=(data.read[0], dataset))
    if not plan.validates:
        return data
    checked, checks = rows.validation(shards)
    return replace(data, validation=backend.batches(checks), checked=checked)


def _of_rows(rows: Rows, shards: Shards, backend: Backend) -> Data:
    steps, feed = rows.training(shards)
    return Data(feed.permute, backend.batches(feed), steps, feed.rows(4), feed=feed)


@dataclass(frozen=True)
class _Opened:
    """The datasets of a training on one worker."""

    plan: Plan
    group: Collective
    channel: Channel | None

    def training(self, sent: Any, model: Any, sample: tuple[Any, ...]) -> Data:
        plan, group = self.plan, self.group
        shares, dataset = self.read(sent, plan.seed)
        built = state.has_built_layers(model) and not any(state.unbuilt(model))
        if group.size > 1 and plan.backend != "tensorflow" and not built:
            # One worker's Keras looks at a batch to build the rest, which moves a source of random order.
            shares.begin()
            next(iter(shares.read(0)))
        batches, steps, permute = self.part(shares, dataset, plan.class_weight, plan.steps_per_epoch)
        # Keras weights itself what it reads itself.
        weights = plan.class_weight if batches is dataset else None
        return Data(
            permute, batches, steps, sample, class_weight=weights, shares=shares, read=(dataset, None)
        )

    def read(self, sent: Any, seed: int | None) -> tuple[Shares, Any]:
        """This worker's rows, and the dataset that gives them if TensorFlow reads it."""
        if isinstance(sent, Fed):
            assert self.channel is not None
            # As Keras does, TensorFlow reads ahead of the training; the others do not.
            ahead = ANSWERS if self.plan.backend == "tensorflow" else 1
            return Remote(sent, self.channel, ahead), None
        reader = _reader(sent, self.plan.validation_batch_size or self.plan.batch_size or 32, seed)
        return Own(reader, self.group.rank, self.group.size), _dataset(reader)

    def part(self, shares: Shares, dataset: Any, class_weight: Any, steps: int | None) -> Any:
        """The batches as Keras takes them, this worker's part in them, and what sets their epoch."""
        known = None if steps is not None else shares.length
        ledger = Ledger(self.group.rank, self.group.size, known, continues=steps is not None)
        # One worker alone takes a dataset as it is: TensorFlow reads it without Python.
        if self.group.size == 1 and dataset is not None:
            return dataset, ledger, _stay
        slices = Slices(shares, ledger, class_weight, dataset)
        return slices, ledger, slices.permute


def _reader(sent: Any, batch_size: int = 32, seed: int | None = None) -> Reader:
    """Read what :attr:`nbkeras.data.stream.Dataset.sent` gives."""
    return Reader(pickling.loads(sent) if isinstance(sent, bytes) else sent, batch_size, seed)


def _dataset(reader: Reader) -> Any:
    """What TensorFlow reads without Python, if it is that."""
    return reader.source if datasets.is_dataset(reader.source) else None


def to_evaluate(sent: Any, rank: int, plan: Plan) -> tuple[Any, Shuffles]:
    """Make the batches of one worker's part of an evaluation, without a step that has none of its rows.

    Args:
        sent: what gives the batches.
        rank: of the worker.
        plan: of the evaluation.

    Returns:
        The batches, and what tells, when they have been evaluated, where their shuffles stand.
    """
    reader = _reader(sent)
    dataset = _dataset(reader)
    if plan.workers == 1 and dataset is not None:
        return dataset, lambda: seed_generators.given(dataset)
    shares = Own(reader, rank, plan.workers)
    return Slices(shares, Ledger(rank, plan.workers), None, dataset, meets=False), _shuffles(reader, plan)


def _shuffles(reader: Reader, plan: Plan) -> Shuffles:
    """Tell where shuffles stand behind batches that hide their number from Keras."""

    def shuffles() -> list[int]:
        dataset = _dataset(reader)
        if plan.backend == "tensorflow" and dataset is not None and reader.length is not None:
            # Behind a known number of batches Keras makes one iterator more.
            iter(dataset)
        return seed_generators.given(dataset)

    return shuffles


def to_predict(sent: Any, rank: int, plan: Plan) -> tuple[Any, int | None, Shuffles]:
    """Make the batches that one worker predicts, and their number if they are not all there are.

    Args:
        sent: what gives the batches.
        rank: of the worker.
        plan: of the prediction; its validation steps are the number of all batches, None for all there are.

    Returns:
        The batches, None where there is none for this worker; their number; and what tells, when they have
        been predicted, where their shuffles stand.
    """
    reader, steps = _reader(sent), plan.validation_steps
    number = None if steps is None else len(range(rank, steps, plan.workers))
    turns, length = Turns(reader, rank, plan.workers), reader.length
    if length is None:
        # A look moves the shuffles of the copy that it looks at.
        lacks = next(iter(Turns(_reader(sent), rank, plan.workers)), None) is None
    else:
        lacks = length <= rank
    return (None if lacks or number == 0 else turns), number, _shuffles(reader, plan)


def _stay(epoch: int) -> None:
    """Leave the order as it is: it is the dataset's own."""
