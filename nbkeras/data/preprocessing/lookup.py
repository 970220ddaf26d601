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
#: The type of the outputs by mode; that of ``tf_idf`` is Keras' own.
_DTYPES = {"int": "int32", "one_hot": "uint8", "multi_hot": "uint8", "count": "int32"}


@dataclass(frozen=True)
class Lookup(Operation):
    """What ``keras.layers.StringLookup`` and ``IntegerLookup`` do.

    Attributes:
        title: the layer, for messages.
        vocabulary: the tokens, without special ones; words as bytes, which a file may give in any encoding.
        mask: the token that stands for a missing one, as the vocabulary holds tokens; None for none.
        unknown: how many indices there are for tokens that are not in the vocabulary.
        mode: ``output_mode`` of the layer.
        depth: of an output that is not ``int``: how many indices there are.
        idf: the weight of each index, for ``tf_idf``.
    """

    title: str
    vocabulary: pa.Array
    mask: Any
    unknown: int
    mode: str = "int"
    depth: int = 0
    idf: Array | None = None

    @property
    def dtype(self) -> str | None:
        """See :class:`Operation`."""
        return _DTYPES.get(self.mode)

    def __call__(self, *values: Any) -> Array:
        """See :class:`Operation`."""
        (tokens,) = values
        words = pa.types.is_binary(self.vocabulary.type)
        if words != isinstance(tokens, Text):
            raise DataError(
                f"{self.title} looks {'words' if words else 'numbers'} up, and is given the other: "
                f"use {'IntegerLookup' if words else 'StringLookup'}"
            )
        if isinstance(tokens, Text):
            flat = tokens.strings.cast(pa.binary())
        else:
            with np.errstate(invalid="ignore"):  # Keras casts NaN too
                flat = pa.array(tokens.reshape(-1).astype(np.int64))
        found = self.indices(flat).reshape(tokens.shape)
        return found if self.mode == "int" else self._counted(found)

    def indices(self, tokens: pa.Array) -> Array:
        """The index of each token; below 0 for those that are masked in an output that is not ``int``.

        Args:
            tokens: numbers, or the bytes of words.
        """
        masks = self.mask is not None
        first = int(masks and self.mode == "int")
        at = pc.index_in(tokens, value_set=self.vocabulary)
        indices: Array = pc.fill_null(at, _NOWHERE).to_numpy(zero_copy_only=False).astype(np.int32)
        strange = indices < 0
        indices += first + self.unknown
        if self.unknown == 1:
            indices[strange] = first
        elif self.unknown > 1:
            # As the layer does with whole numbers; words need its own hash.
            indices[strange] = tokens.to_numpy(zero_copy_only=False)[strange] % self.unknown + first
        if masks:
            masked = pc.equal(tokens, self.mask).to_numpy(zero_copy_only=False)
            indices[masked] = 0 if self.mode == "int" else _NOWHERE
            strange &= ~masked
        if not self.unknown and strange.any():
            self._refuse(tokens.filter(pa.array(strange)))
        return indices

    def _refuse(self, tokens: pa.Array) -> None:
        found = pc.unique(tokens)[:3].to_pylist()
        names = ", ".join(repr(one.decode() if isinstance(one, bytes) else one) for one in found)
        raise DataError(
            f"{self.title} has no place for {len(tokens)} values that are not in its vocabulary ({names}): "
            "give it num_oov_indices=1"
        )

    def _counted(self, indices: Array) -> Array:
        """One-hot, multi-hot or counts of the indices of each row."""
        if self.mode == "one_hot":
            indices = indices[..., 0] if indices.ndim > 1 and indices.shape[-1] == 1 else indices
            return np.asarray(indices[..., np.newaxis] == np.arange(self.depth), np.uint8)
        return counted(indices, self.depth, self.mode, self.idf)


def counted(indices: Array, depth: int, mode: str, idf: Array | None) -> Array:
    """Count the indices along the last axis.

    Args:
        indices: of shape (rows, number); one below 0 does not count.
        depth: number of different indices.
        mode: ``multi_hot``, ``count`` or ``tf_idf``.
        idf: weights of the indices, for ``tf_idf``.
    """
    rows = len(indices)
    places = np.arange(rows)[:, np.newaxis] * depth + indices
    counts = np.bincount(places[indices >= 0], minlength=rows * depth).reshape(rows, depth)
    if mode == "multi_hot":
        return (counts > 0).astype(np.uint8)
    return counts.astype(np.int32) if mode == "count" else counts.astype(np.float32) * np.asarray(idf)
