"""Stream: data that comes in batches of its own, a ``tf.data.Dataset``, PyDataset or torch DataLoader."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import keras
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from nbkeras.data.rows import Rows
from nbkeras.errors import DataError, ModelError, OptionError, words
from nbkeras.model import batch, pickling
from nbkeras.schema import ORDER, Schema

#: The classes, by the names that Keras knows them by; nobody has to import their packages for it.
_KINDS = {"DatasetV2": "tf.data.Dataset", "PyDataset": "PyDataset", "DataLoader": "DataLoader"}
#: Characters of a reason at most: TensorFlow's own may be pages.
_LONGEST = 200


@dataclass(frozen=True)
class Stream(Rows):
    """Batches that each worker reads for itself, and takes its rows of.

    Attributes:
        df: a row for each worker, which stands for its part.
        source: gives the batches.
        validation: likewise to validate on, or x, y and sample weights as arrays; None for none.
    """

    source: Any = None
    validation: Any = None

    def for_workers(self, workers: int) -> tuple[Any, Any, Any]:
        """Return what each worker gets: both sources, and some rows where several workers look at them."""
        return self.source, self.validation, self.first_batch(4) if workers > 1 else ()

    def first_batch(self, number: int) -> tuple[Any, ...]:
        """Return the first rows as x, y and sample weights."""
        some: tuple[Any, ...] = batch.taken(self._first, slice(number))
        return some

    @functools.cached_property
    def _first(self) -> tuple[Any, ...]:
        # Read from a copy: the source does not move.
        copy = pickling.loads(pickling.dumps(self.source))
        parts = keras.utils.unpack_x_y_sample_weight(next(iter(copy)))
        given = max(place for place, one in enumerate(parts) if one is not None)
        return tuple(parts[: given + 1])


def validates(rows: Rows) -> bool:
    """Whether these are batches with others to validate on."""
    return isinstance(rows, Stream) and rows.validation is not None


def kind_of(data: Any) -> str | None:
    """Return what gives batches of its own here: a class's name, or None for other data.

    Example:
        >>> import numpy as np
        >>> from nbkeras.data import stream
        >>> stream.kind_of(np.ones(3)), stream.kind_of(one for one in "ab")
        (None, 'generator')
    """
    if hasattr(data, "__next__"):
        return "generator"
    return next((_KINDS[one.__name__] for one in type(data).__mro__ if one.__name__ in _KINDS), None)


def stays(data: Any) -> str:
    """Why batches can come from this process alone, as a clause; empty if workers can read them."""
    if kind_of(data) == "generator":
        return "a generator"
    try:
        pickling.dumps(data)
    except ModelError as error:
        return f"a {kind_of(data)}: {' '.join(words(error.__cause__ or error).split())[:_LONGEST]}"
    return ""


def made(
    spark: SparkSession, workers: int, data: Any, y: Any, sample_weight: Any, validation: Any, split: Any
) -> Stream:
    """Make the rows of a training that reads batches.

    Args:
        spark: the session.
        workers: number of workers.
        data, y, sample_weight, validation, split: as the user gave them to ``fit``.

    Raises:
        DataError: labels or weights stand beside the batches that hold them.
        OptionError: a validation that cannot be.
    """
    kind = kind_of(data)
    for name, value in {"y": y, "sample_weight": sample_weight}.items():
        if value is not None:
            raise DataError(f"{name} is given beside a {kind}, whose batches hold it: leave out {name}=…")
    if split:
        raise OptionError(
            f"validation_split={split} is of arrays and DataFrames: give validation_data=…, as for "
            f"ds.take(…) and ds.skip(…) of a {kind}"
        )
    if validation is not None and kind_of(validation) is None and not isinstance(validation, (list, tuple)):
        raise OptionError(
            f"validation_data is a {type(validation).__name__} beside a {kind}: give another {kind}, "
            "or arrays (x, y)"
        )
    if validation is not None and kind_of(validation) is not None and (reason := stays(validation)):
        raise OptionError(f"validation_data is {reason}, which workers cannot read: give arrays (x, y)")
    df = spark.range(0, workers, 1, workers).select(F.col("id").alias(ORDER))
    return Stream(df, Schema(), numbered=True, source=data, validation=validation)
