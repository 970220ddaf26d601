"""A batch as Keras takes it: how many rows it has, and some of them."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from nbkeras.errors import DataError
from nbkeras.model.portable import datasets


def rows(batch: Any) -> int:
    """Count the rows of a batch in any structure.

    Raises:
        DataError: its parts differ, or one has no rows.

    Example:
        >>> import numpy as np
        >>> from nbkeras.model import batch
        >>> batch.rows(({"a": np.ones((3, 2))}, None))
        3
    """
    if not all(len(one.shape) for one in _parts(batch)):
        raise DataError(
            "a batch holds one number for all its rows, as a weight, which several workers cannot divide: "
            "give one for each row, or use --workers 1 (workers=1)"
        )
    counts = [int(one.shape[0]) for one in _parts(batch)]
    if len(set(counts)) > 1:
        raise DataError(
            f"the parts of a batch have {', '.join(map(str, counts))} rows, which several workers cannot "
            "divide: use --workers 1 (workers=1)"
        )
    return counts[0]


def taken(batch: Any, which: Any) -> Any:
    """Return some rows of each part of a batch, lists as tuples: to ``tf.data`` a list is one tensor.

    Args:
        batch: arrays and tensors in any structure; tensors of words and ragged ones stay tensors.
        which: a slice, or positions.

    Raises:
        DataError: a tensor is sparse.
    """

    def some(one: Any) -> Any:
        if type(one).__name__ == "SparseTensor":
            raise DataError(
                "a batch holds a sparse tensor, of which no worker can take its rows: make it dense with "
                "ds.map(lambda x, y: (tf.sparse.to_dense(x), y)), or use --workers 1 (workers=1)"
            )
        if datasets.is_no_array(one):
            return datasets.taken(one, which)
        array = np.asarray(one)
        return array[which] if array.ndim else array  # one weight for all rows

    return keras.tree.lists_to_tuples(keras.tree.map_structure(some, batch, none_is_leaf=False))


def share(batch: Any, rank: int, workers: int) -> tuple[int, Any]:
    """Return the number of rows of a batch, and one worker's: row i is one of worker i modulo workers.

    Where it has none, a row stands in, since Keras cannot run an empty batch.

    Example:
        >>> import numpy as np
        >>> from nbkeras.model import batch
        >>> batch.share((np.arange(5),), rank=1, workers=2), batch.share((np.arange(1),), rank=1, workers=2)
        ((5, (array([1, 3]),)), (1, (array([0]),)))

    Raises:
        DataError: the parts of the batch differ in their rows, and there are several workers.
    """
    if workers == 1:
        return int(_parts(batch)[0].shape[0]), taken(batch, slice(None))
    number = rows(batch)
    own = np.arange(rank, number, workers)
    return number, taken(batch, own if len(own) else np.zeros(1, dtype=int))


def _parts(batch: Any) -> list[Any]:
    return [one for one in keras.tree.flatten(batch) if one is not None]
