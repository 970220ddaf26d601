"""Lookup: words or whole numbers become indices of a vocabulary, as in Keras' lookup layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nbkeras.data.preprocessing.graph import Array, Operation, Text
from nbkeras.errors import DataError

#: Stands for an index that is not counted, that of a mask.
_NOWHERE = -1


@dataclass(frozen=True)
class Lookup(Operation):
    """What ``keras.layers.StringLookup`` and ``IntegerLookup`` do.

    Attributes:
        title: the layer, for messages.
        vocabulary: the tokens, without special ones.
        mask: the token that stands for a missing one; None for none.
        strangers: number of indices for tokens that are not in the vocabulary.
        mode: ``output_mode`` of the layer.
        depth: of an output that is not ``int``: the indices that there are.
        idf: the weight of each index, for ``tf_idf``.
    """

    title: str
    vocabulary: pa.Array
    mask: Any
    strangers: int
    mode: str = "int"
    depth: int = 0
    idf: Array | None = None

    def __call__(self, *values: Any) -> Array:
        """See :class:`Operation`."""
        (tokens,) = values
        if isinstance(tokens, Text):
            found = self.indices(tokens.values).reshape(tokens.shape)
        else:
            found = self.indices(pa.array(tokens.reshape(-1))).reshape(tokens.shape)
        return found if self.mode == "int" else self._counted(found)

    def indices(self, tokens: pa.Array) -> Array:
        """The index of each token; below 0 for those that are masked in an output that is not ``int``."""
        masks = self.mask is not None
        first = int(masks and self.mode == "int")
        at = pc.index_in(tokens, value_set=self.vocabulary)
        indices: Array = pc.fill_null(at, _NOWHERE).to_numpy(zero_copy_only=False).astype(np.int32)
        unknown = indices < 0
        masked = pc.equal(tokens, self.mask).to_numpy(zero_copy_only=False) if masks else np.zeros(0, bool)
        indices += first + self.strangers
        if self.strangers == 1:
            indices[unknown] = first
        elif self.strangers > 1:
            # As the layer does with whole numbers; words need its own hash.
            indices[unknown] = tokens.to_numpy(zero_copy_only=False)[unknown] % self.strangers + first
        if masks:
            indices[masked] = 0 if self.mode == "int" else _NOWHERE
            unknown &= ~masked
        if not self.strangers and unknown.any():
            known = tokens.filter(pa.array(unknown))
            names = ", ".join(repr(one) for one in pc.unique(known).to_pylist()[:3])
            raise DataError(
                f"{self.title} has no place for {len(known)} words that are not in its vocabulary ({names}): "
                "give it num_oov_indices=1"
            )
        return indices

    def _counted(self, indices: Array) -> Array:
        """One-hot, multi-hot or counts of the indices of each row."""
        if self.mode == "one_hot":
            indices = indices[..., 0] if indices.ndim > 1 and indices.shape[-1] == 1 else indices
            return np.asarray(indices[..., np.newaxis] == np.arange(self.depth), np.uint8)
        return counted(indices, indices >= 0, self.depth, self.mode, self.idf)


def counted(indices: Array, there: Array, depth: int, mode: str, idf: Array | None) -> Array:
    """Count the indices along the last axis.

    Args:
        indices: of shape (rows, …, number).
        there: whether an index counts.
        depth: number of different indices.
        mode: ``multi_hot``, ``count`` or ``tf_idf``.
        idf: weights of the indices, for ``tf_idf``.
    """
    shape = indices.shape[:-1]
    rows = int(np.prod(shape))
    flat = indices.reshape(rows, -1)
    places = np.repeat(np.arange(rows), flat.shape[1]).reshape(flat.shape) * depth + flat
    counts = np.bincount(places[there.reshape(flat.shape)], minlength=rows * depth).reshape(*shape, depth)
    if mode == "multi_hot":
        return (counts > 0).astype(np.uint8)
    return counts.astype(np.int32) if mode == "count" else counts.astype(np.float32) * np.asarray(idf)
