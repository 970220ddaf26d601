"""Slices: a worker's rows of batches that every worker reads, such as those of a ``tf.data.Dataset``."""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import keras
import numpy as np
from keras.src.trainers.data_adapters import data_adapter_utils
from keras.src.trainers.data_adapters.data_adapter import DataAdapter
from keras.src.trainers.data_adapters.tf_dataset_adapter import TFDatasetAdapter

from nbkeras.model import batch as batches
from nbkeras.model.portable import datasets
from nbkeras.worker.schedule import Ledger


class Slices(DataAdapter):  # type: ignore[misc]
    """This worker's rows of each batch: row i belongs to worker i modulo workers.

    All workers read the same batches, since random steps have the same seeds, so they agree on their number.

    Args:
        source: a dataset, or x, y and sample weights as arrays.
        ledger: notes how many rows each batch has.
        class_weight: as in ``fit``.
        batch_size: of arrays.
        seed: of the order of a PyDataset's batches and of a DataLoader's rows; None for no shuffle.
        meets: whether workers make each step together: then a row stands in where this one has none, and
            leaves no trace; else such a batch is left out.
    """

    batch_size = has_partial_batch = partial_batch_size = None

    def __init__(
        self,
        source: Any,
        ledger: Ledger,
        class_weight: Any = None,
        batch_size: int = 32,
        seed: int | None = None,
        *,
        meets: bool = True,
    ) -> None:
        self._source = _Arrays(source, batch_size) if isinstance(source, (list, tuple)) else source
        self._ledger, self._class_weight, self._seed = ledger, class_weight, seed
        self._epoch, self._meets = 0, meets

    def permute(self, epoch: int) -> None:
        """Let the next batches be those of an epoch."""
        self._epoch = epoch

    @property
    def num_batches(self) -> int | None:
        """Batches of an epoch; None where it is not known."""
        return length(self._source) if self._meets else None

    def on_epoch_begin(self) -> None:
        """Tell the source, where it wants to know."""
        self._tell("on_epoch_begin")

    def on_epoch_end(self) -> None:
        """Tell the source, where it wants to know."""
        self._tell("on_epoch_end")

    def get_jax_iterator(self) -> Iterator[Any]:
        """The slices, as Keras asks for them on JAX."""
        return iter(self)

    def get_torch_dataloader(self) -> Any:
        """The slices, as Keras asks for them on torch."""
        return data_adapter_utils.get_torch_dataloader(self)

    def get_tf_dataset(self) -> Any:
        """The slices, as Keras asks for them on TensorFlow."""
        import tensorflow as tf

        if datasets.is_dataset(self._source):
            made = TFDatasetAdapter(self._source, class_weight=self._class_weight).get_tf_dataset()
            # AutoGraph has nothing to convert in it.
            has_rows, cut = map(tf.autograph.experimental.do_not_convert, (self._has_rows, self._cut))
            numbered = made.enumerate() if self._meets else made.enumerate().filter(has_rows)
            return numbered.map(cut).prefetch(tf.data.AUTOTUNE)
        # As Keras finds out what a PyDataset gives.
        some = [
            batches.taken(self._weighted(one), slice(None)) for one in itertools.islice(self._batches(), 2)
        ]
        signature = data_adapter_utils.get_tensor_spec(some)
        made = tf.data.Dataset.from_generator(self.__iter__, output_signature=signature)
        return made.prefetch(tf.data.AUTOTUNE)

    def _has_rows(self, _: Any, batch: Any) -> Any:
        """Whether a batch holds rows of this worker."""
        import tensorflow as tf

        return tf.shape(tf.nest.flatten(batch)[0])[0] > self._ledger.rank

    def _cut(self, index: Any, batch: Any) -> Any:
        """This worker's rows of a batch, in TensorFlow's own threads."""
        import tensorflow as tf

        ledger, rows = self._ledger, tf.shape(tf.nest.flatten(batch)[0], out_type=tf.int64)[0]

        def note(index: Any, rows: Any) -> Any:
            if not index:
                ledger.begin()
            ledger.append(int(rows))
            return rows

        noted = tf.ensure_shape(tf.numpy_function(note, [index, rows], tf.int64), [])
        own = tf.range(ledger.rank, noted, ledger.size, dtype=tf.int64)
        # Keras cannot run an empty batch: a row stands in, and leaves no trace.
        own = tf.cond(tf.size(own) > 0, lambda: own, lambda: tf.zeros([1], tf.int64))
        return tf.nest.map_structure(lambda one: tf.gather(one, own), batch)

    def __iter__(self) -> Iterator[Any]:
        self._ledger.begin()
        for batch in self._batches():
            parts = self._weighted(batch)
            rows = batches.rows(parts)
            own = np.arange(self._ledger.rank, rows, self._ledger.size)
            self._ledger.append(rows)
            if len(own) or self._meets:
                yield batches.taken(parts, own if len(own) else np.zeros(1, dtype=int))

    def _tell(self, hook: str) -> None:
        if hasattr(self._source, hook):
            getattr(self._source, hook)()

    def _batches(self) -> Iterator[Any]:
        if isinstance(self._source, keras.utils.PyDataset):
            return self._indexed()
        if _is_loader(self._source):
            return self._loaded()
        return iter(self._source)

    def _indexed(self) -> Iterator[Any]:
        source: Any = self._source
        number = source.num_batches
        order: Any = itertools.count() if number is None else np.arange(number)
        if number is not None and self._seed is not None:
            np.random.default_rng([self._seed, self._epoch]).shuffle(order)
        # As many at once as Keras would load, in their order.
        threads, waiting = max(1, source.workers), deque[Any]()
        with ThreadPoolExecutor(threads) as pool:
            for index in order:
                waiting.append(pool.submit(source.__getitem__, int(index)))
                if len(waiting) > threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

    def _loaded(self) -> Iterator[Any]:
        """Batches of a DataLoader, whose sampler draws from torch's generator at the first one."""
        import torch

        with torch.random.fork_rng():
            torch.manual_seed(
                int(np.random.SeedSequence([self._seed or 0, self._epoch]).generate_state(1)[0])
            )
            iterator = iter(self._source)
            first = list(itertools.islice(iterator, 1))
        return itertools.chain(first, iterator)

    def _weighted(self, batch: Any) -> Any:
        """The batch with the weight of each row's class, as Keras adds it."""
        if self._class_weight is None:
            return batch
        x, y, weights = keras.utils.unpack_x_y_sample_weight(batch)
        if weights is not None or y is None:
            return batch
        return x, y, data_adapter_utils.class_weight_to_sample_weights(y, self._class_weight)


class _Arrays:
    """Arrays in batches of consecutive rows."""

    def __init__(self, parts: Any, batch_size: int) -> None:
        self._parts, self._size = parts, batch_size
        self._rows = batches.rows(parts)

    def __len__(self) -> int:
        return math.ceil(self._rows / self._size)

    def __iter__(self) -> Iterator[Any]:
        for start in range(0, self._rows, self._size):
            yield batches.taken(self._parts, slice(start, start + self._size))


def length(source: Any) -> int | None:
    """Return the batches of an epoch; None where the source does not know it."""
    if isinstance(source, keras.utils.PyDataset):
        number: int | None = source.num_batches
        return number
    try:
        return len(source)
    except TypeError:
        return None


def _is_loader(source: Any) -> bool:
    return any(one.__name__ == "DataLoader" for one in type(source).__mro__)
