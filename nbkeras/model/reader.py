"""Reader: the batches of a ``tf.data.Dataset``, PyDataset, DataLoader, generator or arrays, by epoch."""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from nbkeras.model import batch
from nbkeras.model.portable import datasets, graphs, loaders, seed_generators

#: The classes, by the names that Keras knows them by; nobody has to import their packages for it.
_KINDS = {"DatasetV2": "tf.data.Dataset", "PyDataset": "PyDataset", "DataLoader": "DataLoader"}
#: Batches that Keras looks at to learn types and shapes, of which those may vary.
FIRST = 2


def kind_of(data: Any) -> str | None:
    """Return what gives batches of its own here: a class's name, or None for other data.

    Example:
        >>> import numpy as np
        >>> from nbkeras.model import reader
        >>> reader.kind_of(np.ones(3)), reader.kind_of(one for one in "ab")
        (None, 'generator')
    """
    if hasattr(data, "__next__") and not hasattr(data, "__arrow_c_stream__"):  # of rows, not of batches
        return "generator"
    return next((_KINDS[one.__name__] for one in type(data).__mro__ if one.__name__ in _KINDS), None)


def moves_on(source: Any) -> bool:
    """Whether a PyDataset, DataLoader or pickled ``tf.data.Dataset`` may give other batches in each epoch."""
    if datasets.is_dataset(source):
        return seed_generators.move(source) or graphs.has_state(source)
    if loaders.is_loader(source):
        return loaders.shuffles(source)
    hooks = ("on_epoch_begin", "on_epoch_end")
    return isinstance(source, keras.utils.PyDataset) and any(
        getattr(type(source), one, 0) is not getattr(keras.utils.PyDataset, one, 0) for one in hooks
    )


def looks_apart(kind: str | None) -> bool:
    """Whether Keras looks at the first batches in an iteration of its own, to learn types and shapes.

    Args:
        kind: of the source.
    """
    return kind == "PyDataset" or (kind == "DataLoader" and keras.config.backend() == "tensorflow")


@dataclass(frozen=True)
class Fed:
    """Stands, on a worker, for a reader of the notebook, which feeds the workers.

    Attributes:
        number: of the reader.
        kind: of its source.
        length: batches of an epoch; None where that is not known.
    """

    number: int
    kind: str | None
    length: int | None


class Reader:
    """Reads batches as Keras does, with the same order of batches in every process.

    Args:
        source: what :func:`kind_of` knows, or x, y and sample weights as arrays.
        batch_size: of arrays.
        seed: of the order of a PyDataset's batches; None for no shuffle.

    Example:
        >>> import numpy as np
        >>> from nbkeras.model.reader import Reader
        >>> reader = Reader((np.arange(3), np.ones(3)), batch_size=2)
        >>> reader.first()[0][0].tolist(), [x.tolist() for x, y in reader.read(0)]
        ([0, 1], [[0, 1], [2]])
    """

    def __init__(self, source: Any, batch_size: int = 32, seed: int | None = None) -> None:
        self.source: Any = _Arrays(source, batch_size) if isinstance(source, (list, tuple)) else source
        self.kind: str | None = kind_of(source)
        self._seed = seed
        self._begun = False
        self._held: tuple[Any, Iterator[Any]] | None = None

    @property
    def length(self) -> int | None:
        """Batches of an epoch; None where the source does not know it."""
        if self.kind == "PyDataset":
            number: int | None = self.source.num_batches
            return number
        try:
            return len(self.source)
        except TypeError:
            return None

    def first(self) -> list[Any]:
        """Return the first two batches, if there are so many; :meth:`read` gives them nevertheless."""
        if looks_apart(self.kind):
            return list(itertools.islice(self._started(0), FIRST))
        if self._held is None:
            batches = self._started(0)
            self._held = list(itertools.islice(batches, FIRST)), batches
        return self._held[0]

    def read(self, epoch: int) -> Iterator[Any]:
        """Read the batches of an epoch, from the first; those of a generator, from where it is.

        As in Keras, the first two of a generator come again in each epoch.
        """
        if self.kind == "generator":
            self.first()
        if self._held is None:
            return self._started(epoch)
        first, rest = self._held
        if self.kind != "generator":
            self._held = None
        return itertools.chain(first, rest)

    def _started(self, epoch: int) -> Iterator[Any]:
        if (
            self._begun
            and keras.config.backend() == "tensorflow"
            and datasets.is_dataset(self.source)
            and self.length
        ):
            # Behind an epoch of known length Keras makes an iterator more, and reads nothing: seeds move.
            iter(self.source)
        self._begun = True
        if self.kind == "PyDataset":
            return self._indexed(epoch)
        if self.kind == "DataLoader":
            return loaders.started(self.source)
        return iter(self.source)

    def begin(self) -> None:
        """Tell the source that an epoch begins, if it takes notice."""
        self._tell("on_epoch_begin")

    def end(self) -> None:
        """Tell the source that an epoch has ended, if it takes notice."""
        self._tell("on_epoch_end")

    def _tell(self, hook: str) -> None:
        if self.kind == "PyDataset":
            getattr(self.source, hook)()

    def _indexed(self, epoch: int) -> Iterator[Any]:
        number = self.length
        order: Any = itertools.count() if number is None else np.arange(number)
        if number is not None and self._seed is not None:
            np.random.default_rng([self._seed, epoch]).shuffle(order)
        # As many at once as Keras would load, in their order.
        threads, waiting = max(1, self.source.workers), deque[Any]()
        with ThreadPoolExecutor(threads) as pool:
            for index in order:
                waiting.append(pool.submit(self.source.__getitem__, int(index)))
                if len(waiting) > threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()


class _Arrays:
    """Arrays in batches of consecutive rows."""

    def __init__(self, parts: Any, batch_size: int) -> None:
        self._parts, self._size = parts, batch_size
        self._rows = batch.rows(parts)

    def __len__(self) -> int:
        return math.ceil(self._rows / self._size)

    def __iter__(self) -> Iterator[Any]:
        for start in range(0, self._rows, self._size):
            yield batch.taken(self._parts, slice(start, start + self._size))
