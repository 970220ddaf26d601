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
        found = sentences.strings
        if self.standardize in ("lower", "lower_and_strip_punctuation"):
            # Keras lowers ASCII only.
            found = pc.ascii_lower(found)
        if self.standardize in ("strip_punctuation", "lower_and_strip_punctuation"):
            found = pc.replace_substring_regex(found, pattern=_PUNCTUATION, replacement="")
        if self.split is None:
            rows, width = sentences.shape
            return pa.ListArray.from_arrays(np.arange(rows + 1, dtype=np.int32) * width, found)
        return _characters(found) if self.split == "character" else _words(found)


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

    @property
    def dtype(self) -> str | None:
        """See :class:`Operation`."""
        return self.lookup.dtype

    def __call__(self, *values: Any) -> Array:
        """See :class:`Operation`."""
        words = self.tokens(*values)
        sizes = np.diff(words.offsets.to_numpy())
        indices = self.lookup.indices(words.flatten().cast(pa.binary()))
        row = np.repeat(np.arange(len(words)), sizes)
        place = np.arange(len(indices)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        mode = self.lookup.mode
        length = self.length if mode == "int" else int(sizes.max(initial=0))
        # Zero is the index of the mask; what is counted has no place for one.
        padded = np.full((len(words), length), 0 if mode == "int" else -1, np.int32)
        kept = place < length
        padded[row[kept], place[kept]] = indices[kept]
        if mode == "int":
            return padded
        return counted(padded, self.lookup.depth, mode, self.lookup.idf)


def _words(sentences: pa.StringArray) -> pa.ListArray:
    """The words of each sentence, without empty ones."""
    words = pc.ascii_split_whitespace(sentences)
    flat = words.flatten()
    there = pc.not_equal(flat, "").to_numpy(zero_copy_only=False)
    row = np.repeat(np.arange(len(words)), np.diff(words.offsets.to_numpy()))
    counts = np.bincount(row[there], minlength=len(words))
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    return pa.ListArray.from_arrays(offsets, flat.filter(pa.array(there)))


def _characters(sentences: pa.StringArray) -> pa.ListArray:
    """The code points of each sentence: all bytes but those that continue a code point begin one."""
    sizes = pc.binary_length(sentences).to_numpy(zero_copy_only=False)
    data = np.frombuffer(b"".join(sentences.cast(pa.binary()).to_pylist()), np.uint8)
    begins = np.flatnonzero(data & 0xC0 != 0x80)
    offsets = np.append(begins, len(data)).astype(np.int32)
    characters = pa.StringArray.from_buffers(len(begins), pa.py_buffer(offsets), pa.py_buffer(data))
    ends = np.concatenate([[0], np.cumsum(sizes)])
    return pa.ListArray.from_arrays(np.searchsorted(begins, ends).astype(np.int32), characters)
