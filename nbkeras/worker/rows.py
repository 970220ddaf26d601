"""The rows of one worker: maps them from the spool's files and cuts them into the steps of an epoch."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from nbkeras.data.images import unreadable
from nbkeras.data.shards import CHECKSUM_BITS
from nbkeras.data.windows import starts
from nbkeras.job.job import Job, Shard, Spooled
from nbkeras.model import labels
from nbkeras.schema import ORDER, Field, Schema
from nbkeras.transport.messages import Ready, Shards
from nbkeras.worker import feed, schedule
from nbkeras.worker.collectives import Collective
from nbkeras.worker.feed import Arrays, Feed
from nbkeras.worker.files import mapped, pages, scratch

#: Rows whose classes are looked up together.
_PIECE = 1 << 20


class Rows:
    """The rows of one worker, in files that its task has written.

    Args:
        job: what the workers do.
        rank: of this worker.
        files: descriptors of the spools' files, training rows first.
        spooled: what lies in them.
        group: the workers.

    Attributes:
        files: descriptors of the training rows' files, by field.
        refused: whether the rows hold what no model takes: nulls, or images that cannot be read.
    """

    def __init__(self, job: Job, rank: int, files: list[int], spooled: Spooled, group: Collective) -> None:
        self._plan, self._encrypted, self._rank, self._group = job.plan, job.encrypted, rank, group
        names = [ORDER, *(one.name for one in self._plan.schema.fields)]
        self.files: dict[str, int] = dict(zip(names, files, strict=False))
        self._validation_files = dict(zip(names, files[len(names) :], strict=True))
        self._spooled = spooled
        self.refused: bool = bool(spooled.nulls) or unreadable.stops(spooled.unreadable)
        #: The rows to train and to validate on, with their files.
        self._shards = (self.files, spooled.train), (self._validation_files, spooled.validation)
        self._windows = {
            id(shard): self._starts(own, shard)
            for own, shard in self._shards
            if self._plan.schema.windows is not None and not self.refused
        }

    def __len__(self) -> int:
        return self._number(self._spooled.train)

    def _starts(self, files: dict[str, int], shard: Shard) -> npt.NDArray[np.int64]:
        """Positions of the first rows of this worker's windows."""
        schema = self._plan.schema
        found = starts.starts(
            schema,
            {
                one.name: self._mapped(files, shard, one.name)
                for one in schema.fields
                if one not in schema.given
            },
        )
        # All workers have all rows then.
        return found[self._rank :: self._plan.workers] if self._plan.ordered else found

    def _number(self, shard: Shard) -> int:
        """Rows, or windows of these."""
        return len(self._windows[id(shard)]) if id(shard) in self._windows else shard.rows

    def ready(self) -> Ready:
        """What this worker has received, for the rendezvous."""
        spooled = self._spooled
        positions = self._mapped(self.files, spooled.train, ORDER)
        checked = self._mapped(self._validation_files, spooled.validation, ORDER)
        return Ready(
            type="ready",
            rows=self._number(spooled.train),
            validation=self._number(spooled.validation),
            layout=spooled.train.layout or spooled.validation.layout,
            nulls=spooled.nulls,
            unreadable=dict(spooled.unreadable),
            checksum=self._checksum(),
            complete=self._complete(positions) and self._complete(checked),
        )

    def _checksum(self) -> int:
        """Of the rows, or of windows: several workers may have the same rows then."""
        if not self._windows:
            return self._spooled.checksum
        total = sum(
            starts.checksum(
                self._plan.schema,
                self._mapped(files, shard, ORDER).astype(np.uint64),
                self._windows[id(shard)],
            )
            for files, shard in self._shards
            if len(self._windows[id(shard)])
        )
        return total & CHECKSUM_BITS

    def _complete(self, positions: npt.NDArray[Any]) -> bool:
        """Whether these are the rows that were dealt to this worker."""
        if not self._plan.ordered or self._plan.workers == 1 or self._windows:
            return True
        dealt = self._rank + self._plan.workers * np.arange(len(positions))
        return bool(np.array_equal(np.sort(positions), dealt))

    def training_arrays(self) -> Arrays:
        """The rows to train on, by field; there may be none."""
        return self._arrays(self.files, self._spooled.train, shuffled=self._plan.seed is not None)

    def validation_arrays(self) -> Arrays:
        """The rows to validate on, by field; there may be none."""
        return self._arrays(self._validation_files, self._spooled.validation)

    def training(self, shards: Shards) -> tuple[schedule.Steps, Feed]:
        """This worker's steps of an epoch and their rows; all workers must come here.

        Args:
            shards: the rows of all workers.
        """
        plan = self._plan
        steps = self._steps(shards["rows"], plan.batch_size, plan.steps_per_epoch)
        arrays = self._filled(self.training_arrays(), shards["rows"], shards["layout"])
        order = self._order(self.files, self._spooled.train)
        seed = None if plan.seed is None else (plan.seed, self._rank)
        schema, encrypted = plan.schema, self._encrypted
        if plan.class_weight:
            arrays, schema = self._weighted(arrays)
        return steps, feed.feed(arrays, order, steps.counts, schema, seed, encrypted=encrypted)

    def _weighted(self, arrays: Arrays) -> tuple[Arrays, Schema]:
        """Arrays and schema with the weight of each row's class: to Keras too it is a sample weight."""
        (label,) = self._plan.schema.labels
        classes, dtype = arrays[label.name], np.dtype(keras.config.floatx())
        weight = Field("w0", (), "class weight", dtype.str, ())
        held = scratch(-(-len(classes) * dtype.itemsize // 8), encrypted=self._encrypted)
        weights = held.view(dtype)[: len(classes)]
        for begin in range(0, len(classes), _PIECE):
            piece = slice(begin, begin + _PIECE)
            weights[piece] = labels.weights(classes[piece], self._plan.class_weight)
        schema = dataclasses.replace(self._plan.schema, fields=(*self._plan.schema.fields, weight))
        return arrays | {weight.name: weights}, schema

    def validation(self, shards: Shards) -> tuple[schedule.Steps, Feed]:
        """This worker's steps of a validation and their rows; all workers must come here.

        Args:
            shards: the rows of all workers.
        """
        plan = self._plan
        steps = self._steps(
            shards["validation"], plan.validation_batch_size or plan.batch_size, plan.validation_steps
        )
        if plan.validation_steps is not None:
            steps = dataclasses.replace(steps, table=steps.table[: plan.validation_steps])
        arrays = self._filled(self.validation_arrays(), shards["validation"], shards["layout"])
        order = self._order(self._validation_files, self._spooled.validation)
        return steps, feed.feed(arrays, order, steps.counts, plan.schema)

    def evaluation(self) -> Feed | None:
        """The rows to evaluate on, in batches of their own; None where there are none."""
        shard = self._spooled.validation
        if not (number := self._number(shard)):
            return None
        size = schedule.batch_rows(number, self._plan.batch_size, None)
        counts = np.diff([*range(0, number, size), number])
        order = self._order(self._validation_files, shard)
        return feed.feed(self.validation_arrays(), order, counts, self._plan.schema)

    def _steps(self, shards: list[int], batch_size: int | None, number: int | None) -> schedule.Steps:
        """This worker's part in the batches of some rows.

        Args:
            shards: rows of each worker.
            batch_size, number: rows and number of batches, as given.
        """
        size = schedule.batch_rows(sum(shards), batch_size, number)
        if self._plan.ordered:
            table = schedule.dealt(sum(shards), self._plan.workers, size)
        else:
            table = schedule.proportional(shards, size)
        return schedule.Steps(table, self._rank, self._plan.ordered)

    def _filled(self, arrays: Arrays, rows: list[int], layout: dict[str, Any]) -> Arrays:
        """The arrays, or one row of another worker where there is none to stand in for missing ones."""
        if all(rows):
            return arrays
        giver = next(rank for rank, number in enumerate(rows) if number)
        filled, lacks = {}, not rows[self._rank]
        for name, array in arrays.items():
            dtype, shape = layout[name]
            row = np.zeros(shape, dtype=dtype) if self._rank != giver else array[0]
            # As bytes: the sum is of float64, which does not hold every int64.
            summed = self._group.sum(np.frombuffer(row.tobytes(), dtype=np.uint8).astype(np.float64))
            received = np.frombuffer(summed.astype(np.uint8).tobytes(), dtype=dtype).reshape(1, *shape)
            # As many as a window takes, from where TensorFlow can read them.
            held = np.repeat(received, self._plan.schema.reach + 1, 0)
            there = np.frombuffer(pages(held.tobytes()), dtype=dtype).reshape(held.shape)
            filled[name] = there if lacks else array
        return filled

    def _order(self, files: dict[str, int], shard: Shard) -> npt.NDArray[np.int64]:
        """Positions of the rows in an order that does not depend on how they came."""
        if not (number := self._number(shard)):
            return scratch(1)
        order = scratch(number, encrypted=self._encrypted)
        if self._windows:
            order[:] = self._windows[id(shard)]
        else:
            order[:] = np.argsort(self._mapped(files, shard, ORDER), kind="stable")
        return order

    def _mapped(
        self, files: dict[str, int], shard: Shard, name: str, *, scattered: bool = False
    ) -> npt.NDArray[Any]:
        dtype, shape = shard.layout.get(name, ("<i8", ()))
        return mapped(files[name], dtype, (shard.rows, *shape), scattered=scattered)

    def _arrays(self, files: dict[str, int], shard: Shard, *, shuffled: bool = False) -> Arrays:
        # In the order of their hashes, rows lie as if they were shuffled.
        scattered = shuffled or not self._plan.ordered
        fields = self._plan.schema.given
        return {one.name: self._mapped(files, shard, one.name, scattered=scattered) for one in fields}
