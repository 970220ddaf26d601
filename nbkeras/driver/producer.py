"""Producer: reads batches in the notebook and gives each worker its rows, when a worker asks for them."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from nbkeras.errors import DataError
from nbkeras.job import archive
from nbkeras.model import batch
from nbkeras.model.reader import Reader
from nbkeras.transport.events import Answer
from nbkeras.transport.messages import Next, Piece, Turn

#: Bytes of an answer at most; a worker waits for some answers at once.
_PIECE = 1 << 20
_Answered = tuple[Piece, memoryview]
_END: _Answered = (Piece(more=False), memoryview(b""))


class Producer:
    """Reads one source of batches, in a thread of its own.

    It reads a batch when the first worker asks for it, and keeps a worker's rows until that worker has
    asked for them: workers that make their steps together are a few batches apart at most.

    Args:
        reader: of the batches.
        workers: number of workers.
        fail: called with what the source raises.
    """

    def __init__(self, reader: Reader, workers: int, fail: Callable[[Exception], None]) -> None:
        self._reader, self._workers, self._fail = reader, workers, fail
        self._lock = threading.Lock()
        self._asked: queue.SimpleQueue[tuple[int, int, Next, Answer] | Turn | None] = queue.SimpleQueue()
        self._attempt, self._iteration = 0, -1
        self._begun = self._ended = 0
        self._batches: Iterator[Any] | None = None
        #: Of each iteration that a worker may still read, and each worker.
        self._waiting: dict[int, list[deque[_Answered]]] = {}
        self._reached, self._pending = [0] * workers, [0] * workers
        threading.Thread(target=self._work, name="nbkeras-producer", daemon=True).start()

    def restart(self) -> None:
        """Serve workers that begin again: a source is read from its start, a generator from where it is."""
        with self._lock:
            self._attempt, self._iteration, self._batches = self._attempt + 1, -1, None
            self._waiting = {}
            self._reached, self._pending = [0] * self._workers, [0] * self._workers
            self._begun = self._ended = 0

    def close(self) -> None:
        """Read no further batch."""
        with self._lock:
            self._attempt += 1
        self._asked.put(None)

    def take(self, rank: int, question: Next, answer: Answer) -> None:
        """Answer a worker, at once or when its rows are read; never blocks for long.

        Args:
            rank: of the worker.
            question: of it.
            answer: called from any thread.
        """
        with self._lock:
            # Behind another question of the worker: answers come in the order of the questions.
            first = not self._pending[rank]
            piece = self._piece(rank, question["iteration"]) if first else None
            if piece is None:
                self._pending[rank] += 1
                self._asked.put((self._attempt, rank, question, answer))
                return
        answer(*piece)

    def turn(self, event: Turn) -> None:
        """Tell the source that an epoch begins or has ended, when the first worker says so."""
        self._asked.put(event)

    def _tell(self, event: Turn) -> None:
        for _ in range(self._begun, event["begun"]):
            self._reader.begin()
        for _ in range(self._ended, event["ended"]):
            self._reader.end()
        self._begun, self._ended = max(self._begun, event["begun"]), max(self._ended, event["ended"])

    def _piece(self, rank: int, iteration: int) -> _Answered | None:
        """What a worker asks for, if it has been read, or will not be."""
        self._reached[rank] = max(self._reached[rank], iteration)
        for old in [one for one in self._waiting if one < min(self._reached)]:
            del self._waiting[old]
        pieces = self._waiting.get(iteration)
        if pieces is not None and pieces[rank]:
            return pieces[rank].popleft()
        over = iteration < self._iteration or (iteration == self._iteration and self._batches is None)
        return _END if over else None

    def _work(self) -> None:
        while (asked := self._asked.get()) is not None:
            try:
                if isinstance(asked, dict):
                    self._tell(asked)
                    continue
                attempt, rank, question, answer = asked
                piece = self._read(attempt, rank, question)
            except Exception as error:  # noqa: BLE001  # the user's own, whatever it raises: the training ends
                self._fail(error)
                continue
            if piece is not None:
                answer(*piece)
                with self._lock:
                    self._pending[rank] -= attempt == self._attempt

    def _read(self, attempt: int, rank: int, question: Next) -> _Answered | None:
        """Read on until there is what a worker asks for; None where it has gone."""
        while attempt == self._attempt:
            with self._lock:
                if attempt == self._attempt and question["iteration"] > self._iteration:
                    self._iteration = question["iteration"]
                    self._batches = self._reader.read(question["epoch"])
                    self._waiting[self._iteration] = [deque() for _ in range(self._workers)]
                if (piece := self._piece(rank, question["iteration"])) is not None:
                    return piece
                batches = self._batches
            assert batches is not None
            found = next(batches, self)
            shares = (
                [] if found is self else [_pieces(self._part(found, one)) for one in range(self._workers)]
            )
            with self._lock:
                if attempt != self._attempt:
                    return None
                if found is self:
                    self._batches = None
                for waiting, pieces in zip(self._waiting[self._iteration], shares, strict=False):
                    waiting.extend(pieces)
        return None

    def _part(self, found: Any, rank: int) -> bytes:
        """One worker's rows of a batch as bytes."""
        rows, own = batch.share(found, rank, self._workers)
        own = keras.tree.map_structure(_plain, own, none_is_leaf=False)
        try:
            return archive.dump_values([{"rows": rows, "batch": own}])
        except TypeError as error:
            raise DataError(
                f"a batch of the {self._reader.kind} holds {error}, which cannot be sent to workers: give "
                "arrays of numbers or words"
            ) from error


def _plain(array: Any) -> Any:
    """An array without Python objects: words get a length."""
    if getattr(array, "dtype", None) != np.dtype(object):
        return array
    words = np.array(array.tolist())
    same = words.dtype.kind in "SU" and words.shape == array.shape and bool(np.all(words == array))
    return words if same else array


def _pieces(data: bytes) -> list[_Answered]:
    view = memoryview(data)
    return [
        (Piece(more=at + _PIECE < len(view)), view[at : at + _PIECE]) for at in range(0, len(view), _PIECE)
    ]
