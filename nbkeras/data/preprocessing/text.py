"""Text: sentences become the indices of their words, as in Keras' ``TextVectorization``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nbkeras.data.preprocessing.graph import Array, Operation
from nbkeras.data.preprocessing.lookup import Lookup, counted

#: What ``strip_punctuation`` removes; Arrow and TensorFlow both search with RE2.
_PUNCTUATION = r'[!"#$%&()\*\+,-\./:;<=>?@\[\\\]^_`{|}~\']'


@dataclass(frozen=True)
class Tokens(Operation):
    """Cuts sentences into words.

    Attributes:
        standardize, split: as those of the layer; no functions.
    """

    standardize: str | None
    split: str | None

    def __call__(self, *values: Any) -> pa.ListArray:
        """Return the list of words of each sentence."""
        (sentences,) = values
        found = sentences.values
        if self.standardize in ("lower", "lower_and_strip_punctuation"):
            # Keras lowers ASCII only.
            found = pc.ascii_lower(found)
        if self.standardize in ("strip_punctuation", "lower_and_strip_punctuation"):
            found = pc.replace_substring_regex(found, pattern=_PUNCTUATION, replacement="")
        if self.split is None:
            width = int(np.prod(sentences.shape[1:]))
            return pa.ListArray.from_arrays(
                np.arange(0, len(found) + 1, max(width, 1), dtype=np.int32), found
            )
        if self.split == "character":
            words = pc.split_pattern_regex(found, pattern="")
        else:
            words = pc.ascii_split_whitespace(found)
        return _filled(words)


@dataclass(frozen=True)
class Vectorize(Operation):
    """What ``keras.layers.TextVectorization`` does.

    Attributes:
        tokens: cuts the sentences.
        lookup: finds the words.
        length: of the rows of indices, in the mode ``int``.
    """

    tokens: Tokens
    lookup: Lookup
    length: int

    def __call__(self, *values: Any) -> Array:
        """See :class:`Operation`."""
        words = self.tokens(*values)
        ends = np.diff(words.offsets.to_numpy())
        rows, mode = len(words), self.lookup.mode
        indices = self.lookup.indices(words.flatten())
        row = np.repeat(np.arange(rows), ends)
        place = np.arange(len(indices)) - np.repeat(np.cumsum(ends) - ends, ends)
        length = self.length if mode == "int" else max(1, int(ends.max(initial=0)))
        kept = place < length
        padded = (
            np.zeros((rows, length), np.int32) if mode == "int" else np.full((rows, length), -1, np.int32)
        )
        padded[row[kept], place[kept]] = indices[kept]
        if mode == "int":
            return padded
        return counted(padded, padded >= 0, self.lookup.depth, mode, self.lookup.idf)


def _filled(words: pa.ListArray) -> pa.ListArray:
    """Lists without their empty words."""
    flat = words.flatten()
    there = pc.not_equal(flat, "").to_numpy(zero_copy_only=False)
    row = np.repeat(np.arange(len(words)), np.diff(words.offsets.to_numpy()))
    counts = np.bincount(row[there], minlength=len(words))
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    return pa.ListArray.from_arrays(offsets, flat.filter(pa.array(there)))
