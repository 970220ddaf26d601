"""Stream: data in batches of its own, of a ``tf.data.Dataset``, PyDataset, DataLoader or generator."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import keras
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from nbkeras.data.rows import Rows
from nbkeras.errors import DataError, ModelError, OptionError, one_line, words
from nbkeras.model import batch, pickling, randomness
from nbkeras.model.portable import loaders, seed_generators
from nbkeras.model.portable.datasets import alike, is_dataset, is_endless
from nbkeras.model.reader import Fed, Reader, kind_of, looks_apart
from nbkeras.schema import ORDER, Schema

#: Characters of a reason at most: TensorFlow's own may be pages.
_LONGEST = 200


class Dataset:
    """What gives batches: sent, so that each worker reads it, or else to be read in the notebook.

    Args:
        data: what :func:`nbkeras.model.reader.kind_of` knows, or x, y and sample weights as arrays.
        batch_size, seed: as of :class:`nbkeras.model.reader.Reader`.

    Attributes:
        data: as given.
        kind: of it.
        sent: what workers get: a ``tf.data.Dataset`` pickled, with the same seeds in all processes; all else
            as it is, since it may refer to the model. None where it cannot be sent.
        reason: why it cannot be sent, as a clause.
    """

    def __init__(self, data: Any, batch_size: int = 32, seed: int | None = None) -> None:
        self.data: Any = data
        self._options = batch_size, seed
        self.kind: str | None = kind_of(data)
        self.sent: Any = None
        self.reason: str = f"a {self.kind}"
        if self.kind == "generator":
            return
        try:
            pickled = pickling.dumps(data)
        except ModelError as error:
            self.reason += ": " + " ".join(words(error.__cause__ or error).split())[:_LONGEST]
        else:
            self.sent = pickled if is_dataset(data) else data

    @property
    def is_sent(self) -> bool:
        """Whether workers read it."""
        return self.sent is not None

    @functools.cached_property
    def reader(self) -> Reader:
        """Reads the batches here: those of a copy of a ``tf.data.Dataset``, whose shuffles do not move then.

        Nothing else is unpickled: cloudpickle would change the classes of the notebook that it has pickled.
        """
        data = pickling.loads(self.sent) if isinstance(self.sent, bytes) else self.data
        return Reader(data, *self._options)

    def first(self) -> list[Any]:
        """Return the first batches; those that are read again begin where the generators stand now."""
        if not (self.is_sent or looks_apart(self.kind)):
            return self.reader.first()
        with randomness.untouched(), loaders.unmoved(self.data):
            return self.reader.first()

    def go_on(self, shuffles: dict[str, Any]) -> bool:
        """Let the shuffles go on as those of the workers' copies have done.

        Args:
            shuffles: as for ``go_on`` of :mod:`nbkeras.model.portable.seed_generators` and of ``loaders``.

        Returns:
            Whether it is known how far.
        """
        if not self.is_sent:
            return True
        if self.kind == "DataLoader":
            loaders.go_on(shuffles)
        return seed_generators.go_on(self.data, shuffles)

    @contextlib.contextmanager
    def read_here(self) -> Iterator[Any]:
        """Give what Keras reads here: a copy of what was sent, with which the shuffles go on."""
        if not isinstance(self.sent, bytes):
            yield self.data
            return
        copy = pickling.loads(self.sent)
        try:
            yield copy
        finally:
            self.go_on(seed_generators.given(copy))


@dataclass(frozen=True)
class Stream(Rows):
    """Rows that come in the batches of a dataset, of which each worker takes its own.

    Attributes:
        df: a row for each worker, which stands for its part.
        dataset: gives the batches.
    """

    dataset: Dataset = field(kw_only=True)

    def first_batch(self, number: int) -> tuple[Any, ...]:
        """Return the first rows as x, y and sample weights.

        Raises:
            DataError: there is no batch.
        """
        kind = self.dataset.kind
        try:
            first = self.dataset.first()
            parts = keras.utils.unpack_x_y_sample_weight(first[0] if first else None)
            given = max((place for place, one in enumerate(parts) if one is not None), default=-1)
            some: tuple[Any, ...] = alike(batch.taken(tuple(parts[: given + 1]), slice(number)))
        except DataError:
            raise
        except Exception as error:
            raise DataError(f"the {kind} fails at its first batch: {one_line(error)}") from error
        if not some:
            raise DataError(f"the {kind} has no batch: it ends before the first one")
        return some


@dataclass(frozen=True)
class Streams:
    """What a training reads in batches, of the data to train and to validate on.

    Attributes:
        train: None where it trains on rows that Spark spreads.
        validation: None where it validates on such rows, or on none.
    """

    train: Stream | None
    validation: Dataset | None

    @property
    def _datasets(self) -> list[Dataset | None]:
        return [None if self.train is None else self.train.dataset, self.validation]

    def for_workers(self, workers: int) -> tuple[Any, Any, Any]:
        """Return what each worker gets: both datasets, and some rows where several workers look at them."""
        train, validation = (
            one if one is None else one.sent if one.is_sent else Fed(number, one.kind, one.reader.length)
            for number, one in enumerate(self._datasets)
        )
        if self.train is None or workers == 1:
            return train, validation, ()
        sample = self.train.first_batch(4)
        batch.rows(self.train.dataset.first()[0])  # can be divided
        return train, validation, sample

    @property
    def notes(self) -> list[str]:
        """Sentences that say why the notebook reads batches."""
        return [
            f"this notebook reads {name} and sends each worker its rows, since it is {one.reason}"
            for name, one in zip(("x", "validation_data"), self._datasets, strict=True)
            if one is not None and not one.is_sent
        ]

    def go_on(self, shuffles: dict[str, Any]) -> bool:
        """Let the shuffles of both go on; see :meth:`Dataset.go_on`."""
        known = [one.go_on(shuffles) for one in self._datasets if one is not None]
        return all(known)

    @property
    def fed(self) -> dict[int, Reader]:
        """Those that are read in the notebook, by their numbers: 0 is trained on, 1 validated on."""
        datasets = enumerate(self._datasets)
        return {number: one.reader for number, one in datasets if one is not None and not one.is_sent}


def made(
    spark: SparkSession,
    workers: int,
    dataset: Dataset,
    y: Any = None,
    sample_weight: Any = None,
    split: Any = None,
) -> Stream:
    """Make rows of the batches of a dataset.

    Args:
        spark: the session.
        workers: number of workers.
        dataset: what is trained on, or evaluated.
        y, sample_weight, split: as the user gave them to ``fit``.

    Raises:
        DataError: labels or weights stand beside the batches that hold them, or there is none.
        OptionError: there are no rows to split off.
    """
    kind = dataset.kind
    for name, value in {"y": y, "sample_weight": sample_weight}.items():
        if value is not None:
            raise DataError(f"{name} is given beside a {kind}, whose batches hold it: leave out {name}=…")
    if split:
        raise OptionError(
            f"validation_split={split} is of arrays and DataFrames: give validation_data=…, as for "
            f"ds.take(…) and ds.skip(…) of a {kind}"
        )
    if dataset.is_sent and Reader(dataset.data).length == 0:
        raise DataError(f"the {kind} has no batch: its length is 0")
    return Stream(stand_ins(spark, workers), Schema(), numbered=True, dataset=dataset)


def checking(validation: Any, batch_size: int, kind: str) -> Dataset:
    """Make what a training that reads batches validates on.

    Args:
        validation: a dataset, or arrays, as the user gave it.
        batch_size: of arrays.
        kind: of what is trained on.

    Raises:
        OptionError: it is neither.
    """
    if kind_of(validation) is None and not isinstance(validation, (list, tuple)):
        raise OptionError(
            f"validation_data is a {type(validation).__name__} beside a {kind}: give another {kind}, "
            "or arrays (x, y)"
        )
    return Dataset(validation, batch_size)


def stand_ins(spark: SparkSession, workers: int) -> DataFrame:
    """Make a DataFrame with a row for each worker."""
    return spark.range(0, workers, 1, workers).select(F.col("id").alias(ORDER))


def require_end(data: Any, steps: int | None, name: str) -> None:
    """Refuse a dataset that never ends where nothing says how many batches are wanted.

    Args:
        data: what gives batches.
        steps: number of batches that are wanted.
        name: of the argument that says so.

    Raises:
        OptionError: it never ends.
    """
    if steps is None and is_endless(data):
        raise OptionError(f"the {kind_of(data)} never ends: give {name}=…, the number of its batches to read")
