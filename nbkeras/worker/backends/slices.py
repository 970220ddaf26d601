"""Batches as Keras takes them: a worker's rows of each, or each worker's own in turn."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
from keras.src.trainers.data_adapters.tf_dataset_adapter import TFDatasetAdapter

from nbkeras.errors import DataError
from nbkeras.model import batch as batches
from nbkeras.model import labels
from nbkeras.model.portable import datasets
from nbkeras.model.reader import Reader
from nbkeras.worker.backends.iterated import Iterated
from nbkeras.worker.schedule import Ledger
from nbkeras.worker.shares import Shares


class InTurn(Iterated):
    """Whole batches, of which each worker takes its own in turn.

    Args:
        reader: of all batches.
        rank: of this worker.
        workers: number of workers.
    """

    def __init__(self, reader: Reader, rank: int, workers: int) -> None:
        self._reader, self._rank, self._workers = reader, rank, workers

    def first(self) -> list[Any]:
        """The first batches of all workers."""
        return [batches.taken(one, slice(None)) for one in self._reader.first()]

    def get_tf_dataset(self) -> Any:
        """The batches, as Keras asks for them on TensorFlow."""
        if not datasets.is_dataset(self._reader.source):
            return super().get_tf_dataset()
        import tensorflow as tf

        return self._reader.source.shard(self._workers, self._rank).prefetch(tf.data.AUTOTUNE)

    def __iter__(self) -> Iterator[Any]:
        for one in itertools.islice(self._reader.read(0), self._rank, None, self._workers):
            yield batches.taken(one, slice(None))


class Slices(Iterated):
    """This worker's rows of each batch: row i belongs to worker i modulo workers.

    All workers read the same batches, since random steps have the same seeds, so they agree on their number.

    Args:
        shares: this worker's rows.
        ledger: notes how many rows each batch has.
        class_weight: as in ``fit``.
        dataset: gives the shares' batches, if it is a dataset of TensorFlow: it reads them without Python.
        rows: tells the rows of each of its batches, of all workers, if it gives this worker's alone.
        meets: whether workers make each step together: then a row stands in where this one has none, and
            leaves no trace; else such a batch is left out.
    """

    def __init__(
        self,
        shares: Shares,
        ledger: Ledger,
        class_weight: Any = None,
        dataset: Any = None,
        rows: Callable[[int], int] | None = None,
        *,
        meets: bool = True,
    ) -> None:
        self._shares, self._ledger, self._class_weight = shares, ledger, class_weight
        self._dataset, self._rows, self._epoch, self._meets = dataset, rows, 0, meets

    def permute(self, epoch: int) -> None:
        """Let the next batches be those of an epoch."""
        self._epoch = epoch

    @property
    def num_batches(self) -> int | None:
        """Batches of an epoch; None where it is not known."""
        return self._shares.length if self._meets else None

    def on_epoch_begin(self) -> None:
        """Tell the source."""
        self._shares.begin()

    def on_epoch_end(self) -> None:
        """Tell the source."""
        self._shares.end()

    def first(self) -> list[Any]:
        """This worker's rows of the first batches."""
        return [self._weighted(one) for one in self._shares.first()]

    def get_tf_dataset(self) -> Any:
        """The slices, as Keras asks for them on TensorFlow."""
        if self._dataset is None:
            return super().get_tf_dataset()
        import tensorflow as tf

        self._unweighted(self._dataset.element_spec)
        made = TFDatasetAdapter(self._dataset, class_weight=self._class_weight).get_tf_dataset()
        # AutoGraph has nothing to convert in it.
        cut = self._cut if self._rows is None else self._counted
        has_rows, cut = map(tf.autograph.experimental.do_not_convert, (self._has_rows, cut))
        whole = self._meets or self._rows is not None
        numbered = made.enumerate() if whole else made.enumerate().filter(has_rows)
        return numbered.map(cut).prefetch(tf.data.AUTOTUNE)

    def _has_rows(self, _: Any, batch: Any) -> Any:
        """Whether a batch holds rows of this worker."""
        import tensorflow as tf

        return tf.shape(tf.nest.flatten(batch)[0])[0] > self._ledger.rank

    def _counted(self, index: Any, batch: Any) -> Any:
        """A batch of this worker's rows alone, of which it is noted how many rows all workers have."""
        import tensorflow as tf

        assert self._rows is not None
        count = self._rows
        noted = tf.numpy_function(lambda at: self._note(at, np.int64(count(int(at)))), [index], tf.int64)
        with tf.control_dependencies([noted]):
            return tf.nest.map_structure(tf.identity, batch)

    def _note(self, index: Any, rows: Any) -> Any:
        if not index:
            self._ledger.begin()
        self._ledger.append(int(rows))
        return rows

    def _cut(self, index: Any, batch: Any) -> Any:
        """This worker's rows of a batch, in TensorFlow's own threads."""
        import tensorflow as tf

        ledger, rows = self._ledger, tf.shape(tf.nest.flatten(batch)[0], out_type=tf.int64)[0]
        noted = tf.ensure_shape(tf.numpy_function(self._note, [index, rows], tf.int64), [])
        own = tf.range(tf.minimum(tf.cast(ledger.rank, tf.int64), noted), noted, ledger.size, dtype=tf.int64)
        # Keras cannot run an empty batch: a row stands in, and leaves no trace.
        own = tf.cond(tf.size(own) > 0, lambda: own, lambda: tf.zeros([1], tf.int64))
        return tf.nest.map_structure(lambda one: tf.gather(one, own), batch)

    def __iter__(self) -> Iterator[Any]:
        self._ledger.begin()
        for rows, own in self._shares.read(self._epoch):
            self._ledger.append(rows)
            if self._meets or rows > self._ledger.rank:
                yield self._weighted(own)

    def _weighted(self, batch: Any) -> Any:
        """A batch with the weight of each row's class."""
        x, y = self._unweighted(batch)
        if self._class_weight is None or y is None:
            return batch
        return x, y, labels.weights(y, self._class_weight)

    def _unweighted(self, batch: Any) -> tuple[Any, Any]:
        """The inputs and labels of a batch, or of its types, which has no weights if classes have some."""
        x, y, weights = keras.utils.unpack_x_y_sample_weight(batch)
        if weights is not None and self._class_weight is not None:
            raise DataError(
                "class_weight=… is given beside batches with sample weights: leave out class_weight"
            )
        return x, y
