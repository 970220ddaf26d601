"""Data: what one worker trains and validates on, of spooled rows or of batches of which it takes its rows."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from nbkeras.model import pickling, state
from nbkeras.model.portable import datasets, loaders, seed_generators, sharding
from nbkeras.model.reader import Fed, Reader
from nbkeras.plan import Plan
from nbkeras.transport.channel import Channel
from nbkeras.transport.events import ANSWERS
from nbkeras.transport.messages import Shards
from nbkeras.worker.backends import Backend
from nbkeras.worker.backends.slices import InTurn, Slices
from nbkeras.worker.collectives import Collective
from nbkeras.worker.feed import Feed
from nbkeras.worker.rows import Rows
from nbkeras.worker.schedule import Ledger, Schedule
from nbkeras.worker.shares import Own, Remote, Shares

#: Tells where shuffles stand, as :func:`nbkeras.model.portable.seed_generators.given` and that of loaders do.
Shuffles = Callable[[], dict[str, Any]]


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
        read: the datasets of TensorFlow that are read.
        reads: how several workers read the files of a dataset, as a sentence; empty if there is none.
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
    read: tuple[Any, ...] = ()
    reads: str = ""


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
    channel = feed() if any(isinstance(one, Fed) for one in batches) else None
    with seed_generators.together():
        training = None if train is None else _opened(train, plan, group.rank, channel, plan.seed)
        checks = None if validation is None else _opened(validation, plan, group.rank, channel)
    if training is None:
        data = _of_rows(rows, shards, backend)
    else:
        data = _of_batches(training, plan, group, model, sample)
    if checks is not None:
        ledger = Ledger(group.rank, group.size, checks.shares.length)
        read = (*data.read, checks.whole)
        return replace(data, validation=_batches(checks, ledger), checked=ledger, read=read)
    if not plan.validates:
        return data
    checked, spooled = rows.validation(shards)
    return replace(data, validation=backend.batches(spooled), checked=checked)


def _of_rows(rows: Rows, shards: Shards, backend: Backend) -> Data:
    steps, feed = rows.training(shards)
    return Data(feed.permute, backend.batches(feed), steps, feed.rows(4), feed=feed)


def _of_batches(source: _Source, plan: Plan, group: Collective, model: Any, sample: tuple[Any, ...]) -> Data:
    shares, steps = source.shares, plan.steps_per_epoch
    built = state.has_built_layers(model) and not any(state.unbuilt(model))
    if group.size > 1 and plan.backend != "tensorflow" and not built:
        # One worker's Keras looks at a batch to build the rest, which moves a source of random order.
        shares.begin()
        next(iter(shares.read(0)))
    known = None if steps is not None else shares.length
    ledger = Ledger(group.rank, group.size, known, continues=steps is not None)
    batches = _batches(source, ledger, plan.class_weight)
    # Keras weights itself what it reads itself.
    own = isinstance(batches, Slices)
    return Data(
        batches.permute if own else _stay,
        batches,
        ledger,
        sample,
        class_weight=None if own else plan.class_weight,
        shares=shares,
        read=(source.whole,),
        reads=source.reads if group.size > 1 else "",
    )


@dataclass(frozen=True)
class _Source:
    """What one worker reads of a dataset.

    Attributes:
        shares: its rows of each batch.
        whole: all batches, if TensorFlow reads them without Python.
        part: the worker's rows of these alone, where it need not read the others.
    """

    shares: Shares
    whole: Any = None
    part: sharding.Part | None = None

    @property
    def reads(self) -> str:
        """How files are read, as a sentence; empty if there are none."""
        if self.whole is None or not sharding.reads_files(self.whole):
            return ""
        if self.part is not None:
            return "each worker reads the files of its own rows alone"
        return (
            "each worker reads all files of the dataset: those of its own rows are enough where "
            ".map(…).batch(…) ends it, without random steps in the map, and the workers can divide a batch"
        )


def _opened(
    sent: Any, plan: Plan, rank: int, channel: Channel | None = None, seed: int | None = None
) -> _Source:
    """Open what :attr:`nbkeras.data.stream.Dataset.sent` gives, or what the notebook reads."""
    if isinstance(sent, Fed):
        assert channel is not None
        # As Keras does, TensorFlow reads ahead of the training; the others do not.
        return _Source(Remote(sent, channel, ANSWERS if plan.backend == "tensorflow" else 1))
    reader = _reader(sent, plan.validation_batch_size or plan.batch_size or 32, seed)
    whole = reader.source if datasets.is_dataset(reader.source) else None
    part = sharding.part(whole, rank, plan.workers) if whole is not None and plan.workers > 1 else None
    if part is None:
        return _Source(Own(reader, rank, plan.workers), whole)
    return _Source(Own(Reader(part.dataset), rank, plan.workers, part.rows), whole, part)


def _batches(source: _Source, ledger: Ledger, class_weight: Any = None, *, meets: bool = True) -> Any:
    """The batches as Keras takes them."""
    # One worker alone takes a dataset as it is: TensorFlow reads it without Python.
    if ledger.size == 1 and source.whole is not None:
        return source.whole
    if source.part is None:
        return Slices(source.shares, ledger, class_weight, source.whole, meets=meets)
    return Slices(source.shares, ledger, class_weight, source.part.dataset, source.part.rows, meets=meets)


def _reader(sent: Any, batch_size: int = 32, seed: int | None = None) -> Reader:
    return Reader(pickling.loads(sent) if isinstance(sent, bytes) else sent, batch_size, seed)


def to_evaluate(sent: Any, rank: int, plan: Plan) -> tuple[Any, Shuffles]:
    """Make the batches of one worker's part of an evaluation, without a step that has none of its rows.

    Args:
        sent: what gives the batches.
        rank: of the worker.
        plan: of the evaluation.

    Returns:
        The batches, and what tells, when they have been evaluated, where their shuffles stand.
    """
    source = _opened(sent, plan, rank)
    batches = _batches(source, Ledger(rank, plan.workers), meets=False)
    length = source.shares.length if plan.workers > 1 else None
    return batches, functools.partial(_shuffles, source.whole, plan, length)


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
    turns, length = InTurn(reader, rank, plan.workers), reader.length
    if length is None:
        # A look moves the shuffles of the copy that it looks at.
        lacks = next(iter(InTurn(_reader(sent), rank, plan.workers)), None) is None
    else:
        lacks = length <= rank
    whole = reader.source if datasets.is_dataset(reader.source) else None
    shuffles = functools.partial(_shuffles, whole, plan, length)
    return (None if lacks or number == 0 else turns), number, shuffles


def _shuffles(whole: Any, plan: Plan, hidden: int | None) -> dict[str, Any]:
    """Where the shuffles of a dataset stand behind its batches, whose number is hidden from Keras."""
    steps = plan.validation_steps
    ends = hidden is not None and (steps is None or steps >= hidden)
    if ends and whole is not None and plan.backend == "tensorflow":
        # Behind all of a known number of batches Keras makes one iterator more.
        iter(whole)
    return seed_generators.given(whole) | loaders.given()


def _stay(epoch: int) -> None:
    """Leave the order as it is: it is the dataset's own."""
