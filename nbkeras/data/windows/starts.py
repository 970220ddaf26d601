"""Start positions: where the windows of rows in the order of their series and time begin."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from nbkeras.data.windows.columns import SERIES, TIME
from nbkeras.errors import DataError
from nbkeras.schema import Schema, Windows

Array = npt.NDArray[Any]
Positions = npt.NDArray[np.int64]
#: Bytes of windows that are gathered together, to predict them.
_PIECE = 1 << 25


def starts(schema: Schema, arrays: Mapping[str, Array], begun: int = 0) -> Positions:
    """Return the positions of the first rows of all windows, as ``timeseries_dataset_from_array`` has them.

    Args:
        schema: of the rows.
        arrays: the fields of series and time, in the order of these.
        begun: rows of the first series that came before.

    Raises:
        DataError: two rows of a series have the same time.

    Example:
        >>> import numpy as np
        >>> from nbkeras.data.windows.starts import starts
        >>> from nbkeras.schema import Schema, Windows
        >>> schema = Schema(windows=Windows("day", length=3, key=("shop",)))
        >>> shop, day = np.array([1, 1, 1, 1, 2, 2, 2]), np.array([1, 2, 3, 4, 1, 2, 3])
        >>> starts(schema, {"series0": shop, "time": day}).tolist()
        [0, 1, 4]
    """
    windows = schema.windows
    assert windows is not None
    rows = len(arrays[TIME])
    if not rows:
        return np.empty(0, np.int64)
    firsts = _firsts(windows, arrays)
    ahead = np.zeros(len(firsts), np.int64)
    # The first series goes on in the middle of a stride.
    ahead[0] = -begun % windows.stride
    lengths = np.diff(np.append(firsts, rows)) - ahead
    numbers = np.maximum(0, -(-(lengths - schema.reach) // windows.stride))
    within = np.arange(numbers.sum()) - np.repeat(np.cumsum(numbers) - numbers, numbers)
    found: Positions = np.repeat(firsts + ahead, numbers) + within * windows.stride
    return found


def _firsts(windows: Windows, arrays: Mapping[str, Array]) -> Positions:
    """The positions of the first rows of all series."""
    times = arrays[TIME]
    new = np.zeros(len(times), np.bool_)
    new[0] = True
    for index in range(len(windows.key)):
        key = arrays[f"{SERIES}{index}"]
        new[1:] |= key[1:] != key[:-1]
    if twice := int(np.count_nonzero(~new[1:] & (times[1:] == times[:-1]))):
        columns = [*windows.key, windows.time]
        of = " of one series" if windows.key else ""
        raise DataError(
            f"column '{windows.time}' holds a time again in {twice} row{'s' if twice > 1 else ''}{of}, "
            f"so the rows have no order: keep one row for each of {columns}, or name what tells "
            "the series apart, nbkeras.timeseries(…, key='…')"
        )
    return np.flatnonzero(new)


def rows(windows: Windows, chosen: Any) -> Any:
    """Return the positions of the rows of windows, shape (windows, rows of one).

    Args:
        windows: how they are made.
        chosen: positions of their first rows, an array or a tensor.
    """
    return chosen[:, None] + np.arange(windows.length) * windows.rate


def checksum(schema: Schema, hashes: npt.NDArray[np.uint64], chosen: Positions) -> int:
    """Return the sum of the hashes of all rows that windows take, each as often as it is taken.

    Args:
        schema: of the rows.
        hashes: of the rows.
        chosen: positions of the first rows of the windows.
    """
    windows = schema.windows
    assert windows is not None
    rate = windows.rate
    # Sums of every so many rows before each row; they wrap around, as they should.
    lacking = -len(hashes) % rate
    before = np.concatenate([np.zeros(rate, np.uint64), hashes, np.zeros(lacking, np.uint64)])
    sums = before.reshape(-1, rate).cumsum(axis=0, dtype=np.uint64).reshape(-1)
    total = sums[chosen + windows.span + rate] - sums[chosen]
    if schema.labels or schema.weights:
        total = total + hashes[chosen + windows.offset]
    return int(total.sum(dtype=np.uint64))


def none(schema: Schema) -> str:
    """Say that there is no window."""
    windows = schema.windows
    assert windows is not None
    needed = schema.reach + 1
    return (
        f"there is no window: each needs {needed} rows that follow each other, and no series has as many; "
        "give nbkeras.timeseries a shorter sequence_length or offset, or more rows"
    )


class Passing:
    """Windows of sorted rows that come in pieces: the last rows of a piece wait for the next.

    Args:
        schema: of the rows, without labels.
    """

    def __init__(self, schema: Schema) -> None:
        assert schema.windows is not None
        self._schema, self._windows = schema, schema.windows
        self._held: dict[str, Array] = {}
        self._begun = 0

    def take(self, arrays: Mapping[str, Array]) -> Iterator[tuple[Positions, Sequence[Array]]]:
        """Give the windows whose last rows are among these, in parts that are not large.

        Args:
            arrays: the next rows, by field.

        Yields:
            The positions of these last rows, and the windows of each input.

        Raises:
            DataError: two rows of a series have the same time.
        """
        names = list(arrays)
        known = len(self._held[TIME]) if self._held else 0
        joined = {
            name: np.concatenate([self._held[name], arrays[name]]) if known else arrays[name]
            for name in names
        }
        found = starts(self._schema, joined, self._begun)
        found = found[found + self._windows.span >= known]
        inputs = [joined[one.name] for one in self._schema.features]
        width = sum(one.nbytes // max(1, len(one)) for one in inputs) * self._windows.length
        step = max(1, _PIECE // max(1, width))
        for begin in range(0, len(found), step):
            part = found[begin : begin + step]
            taken = rows(self._windows, part)
            yield part + self._windows.span - known, [one[taken] for one in inputs]
        self._keep(joined)

    def _keep(self, joined: Mapping[str, Array]) -> None:
        """Keep the rows at the end that windows may still need, and at least one, to know its series."""
        number = len(joined[TIME])
        first = int(_firsts(self._windows, joined)[-1])
        # The place of the first one within its series.
        before = self._begun if first == 0 else 0
        begin = max(first, number - max(1, self._windows.span))
        self._begun = before + begin - first
        self._held = {name: array[begin:].copy() for name, array in joined.items()}
