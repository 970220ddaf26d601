"""Counts by score: what the curves and areas of a yes-or-no question follow from, exactly."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Keys = npt.NDArray[np.uint64]

#: Bits of a score that tell cells apart, the next ones where there are too many cells: sign, exponent, and of
#: the fraction 52, 16, 11, 7 or 3 bits.
_BITS = (64, 28, 23, 19, 15)
#: Rows that wait until they are counted.
_WAITING = 1 << 16
_SIGN = np.uint64(1 << 63)


class Scores:
    """Weights of positive and negative rows for each distinct score.

    A row of weight 1 counts 1. Where there are more distinct scores than cells, near ones share a cell.

    Args:
        most: number of cells.

    Example:
        >>> found = Scores(most=100)
        >>> found.add(np.array([0.9, 0.2, 0.9]), np.array([True, False, False]), np.ones(3))
        >>> [one.tolist() for one in found.cells()]
        [[0.9, 0.2], [1.0, 0.0], [1.0, 1.0]]
    """

    def __init__(self, most: int) -> None:
        self._most, self._bits = most, _BITS[0]
        self._counted: tuple[Keys, Floats, Floats] = (np.empty(0, np.uint64), np.empty(0), np.empty(0))
        self._waiting: list[tuple[Keys, Floats, Floats]] = []
        self._rows = 0

    @property
    def exact(self) -> bool:
        """Whether each cell holds one score."""
        self._count()
        return self._bits == _BITS[0]

    def add(self, scores: npt.NDArray[Any], positive: npt.NDArray[np.bool_], weights: Floats) -> None:
        """Count rows.

        Args:
            scores: of shape (rows,), without NaN.
            positive: whether the answer is yes, of shape (rows,).
            weights: of shape (rows,).
        """
        if not weights.all():
            # Rows without weight are no points of a curve.
            scores, positive, weights = (one[weights != 0] for one in (scores, positive, weights))
        self._wait(_keys(scores), np.where(positive, weights, 0.0), np.where(positive, 0.0, weights))

    def merge(self, other: Scores) -> None:
        """Count the rows of another part."""
        other._count()  # of the same class
        self._bits = min(self._bits, other._bits)
        self._wait(*other._counted)

    def packed(self) -> dict[str, npt.NDArray[Any]]:
        """All as arrays."""
        self._count()
        keys, positive, negative = self._counted
        return {"keys": keys, "positive": positive, "negative": negative, "bits": np.array(self._bits)}

    @classmethod
    def unpacked(cls, packed: dict[str, npt.NDArray[Any]], most: int) -> Scores:
        """What :meth:`packed` has given."""
        made = cls(most)
        made._bits = int(packed["bits"])
        made._counted = packed["keys"], packed["positive"], packed["negative"]
        return made

    def cells(self) -> tuple[Floats, Floats, Floats]:
        """The scores from the highest on, and for each the weights of its positive and its negative rows."""
        self._count()
        keys, positive, negative = self._counted
        return _scores(keys[::-1]), positive[::-1], negative[::-1]

    def _wait(self, keys: Keys, positive: Floats, negative: Floats) -> None:
        self._waiting.append((keys, positive, negative))
        self._rows += len(keys)
        # The more there is already, the more rows wait: each is sorted a few times, however many come.
        if self._rows > max(_WAITING, len(self._counted[0])):
            self._count()

    def _count(self) -> None:
        """Count the rows that wait, with fewer bits as long as there are too many cells."""
        if not self._waiting:
            return
        columns = zip(self._counted, *self._waiting, strict=True)
        keys, positive, negative = (np.concatenate(one) for one in columns)
        self._waiting, self._rows = [], 0
        for bits in _BITS[_BITS.index(self._bits) :]:
            self._bits = bits
            keys, positive, negative = _distinct(
                keys & ~np.uint64((1 << (64 - bits)) - 1), positive, negative
            )
            if len(keys) <= self._most:
                break
        self._counted = keys, positive, negative


def _distinct(keys: Keys, positive: Any, negative: Any) -> tuple[Keys, Floats, Floats]:
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    begins = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))[: len(keys)]
    if not len(keys):
        return keys, positive, negative
    return keys[begins], np.add.reduceat(positive[order], begins), np.add.reduceat(negative[order], begins)


def _keys(scores: npt.NDArray[Any]) -> Keys:
    """Whole numbers in the order of the scores: the bits of a float, all turned where it is negative."""
    # Negative zero is zero.
    bits = (np.asarray(scores, np.float64) + 0.0).view(np.uint64)
    return np.where(bits & _SIGN, ~bits, bits | _SIGN)


def _scores(keys: Keys) -> Floats:
    return np.where(keys & _SIGN, keys ^ _SIGN, ~keys).view(np.float64)
