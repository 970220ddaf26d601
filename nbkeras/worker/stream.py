"""Read the Arrow batches of a task, and detect a stream that was cut short."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pyarrow as pa


class RowsEnded(Exception):
    """Spark could not go on with a worker's rows; what it says of its task tells why."""


def whole(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The batches that Spark sends, known to be all of them when they end.

    A stream that is cut between two batches ends as a whole one does, in Arrow's
    format. Behind a whole one Spark writes a number (``END_OF_STREAM``, see
    ``pyspark.worker``); where the executor or rows on their way to it are lost,
    there is nothing more.

    Args:
        batches: what ``mapInArrow`` hands to its function.

    Raises:
        RowsEnded: there would have been more.

    Example:
        >>> list(whole(iter([])))  # outside of Spark's Python workers there is nothing to ask
        []
    """
    try:
        yield from batches
        ended = (sent := _sent()) is None or bool(sent.peek(1))
    except Exception as error:
        raise RowsEnded(f"the rows came to an early end: {error}") from error
    if not ended:
        raise RowsEnded("the rows came to an early end")


def _sent() -> Any:
    """What the Python worker that runs this reads from Spark; None where this is none."""
    frame = sys._getframe()  # noqa: SLF001  # the worker hands it to nobody
    while frame.f_back is not None:
        frame = frame.f_back
        if frame.f_code.co_name == "main" and "infile" in frame.f_locals:
            return frame.f_locals["infile"]
    return None
