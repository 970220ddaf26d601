"""Producer: reads batches in the notebook and gives each worker its rows, when a worker asks for them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from nbkeras.errors import DataError
from nbkeras.job import archive
from nbkeras.model import batch
from nbkeras.model.reader import Reader
from nbkeras.transport.events import Answer
from nbkeras.transport.messages import Next, Piece, SourceEpochs

#: Bytes of an answer at most; a worker waits for some answers at once.
_PIECE = 1 << 20
#: Answers that wait for a worker at most, before the others wait too: they need not meet while they validate.
_MOST = 64
_Answered = tuple[Piece, memoryview]
_END: _Answered = (Piece(more=False), memoryview(b""))


class Producer:
    """Reads one source of batches, in a thread of its own.

    It reads a batch when the first worker asks for it, and keeps a worker's rows until that worker asks for
    them.

    Args:
        reader: of the batches.
        workers: number of workers.
        fail: called with what the source raises.
    """

    def __init__(self, reader: Reader, workers: int, fail: Callable[[Exception], None]) -> None:
        self._reader, self._workers, self._fail = reader, workers, fail
        self._lock = threading.Condition()
        self._attempt, self._closed = 0, False
        self._reset()
        threading.Thread(target=self._work, name="nbkeras-producer", daemon=True).start()

    def _reset(self) -> None:
        self._iteration, self._batches = -1, iter(())
        self._begun = self._ended = 0
        self._epochs: deque[SourceEpochs] = deque()
        #: Of each worker, in the order in which they are answered.
        self._questions: list[deque[tuple[Next, Answer]]] = [deque() for _ in range(self._workers)]
        #: Of each iteration that a worker may still read, and each worker.
        self._waiting: dict[int, list[deque[_Answered]]] = {}
        self._reached = [0] * self._workers
        self._exhausted = False

    def restart(self) -> None:
        """Serve workers that begin again: a source is read from its start, a generator from where it is."""
        with self._lock:
            self._attempt += 1
            self._reset()

    def close(self) -> None:
        """Read no further batch."""
        with self._lock:
            self._closed = True
            self._lock.notify_all()

    def take(self, rank: int, question: Next, answer: Answer) -> None:
        """Answer a worker, at once or when its rows are read.

        Args:
            rank: of the worker.
            question: of it.
            answer: called from any thread.
        """
        with self._lock:
            self._questions[rank].append((question, answer))
            self._serve(rank)
            self._lock.notify_all()

    def tell(self, event: SourceEpochs) -> None:
        """Tell the source that an epoch begins or has ended, when the first worker says so."""
        with self._lock:
            self._epochs.append(event)
            self._lock.notify_all()

    # -- with the lock held ------------------------------------------------------

    def _serve(self, rank: int) -> None:
        """Answer a worker's questions, as far as there is an answer."""
        questions = self._questions[rank]
        while questions and (answered := self._answered(rank, questions[0][0]["iteration"])) is not None:
            questions.popleft()[1](*answered)

    def _answered(self, rank: int, iteration: int) -> _Answered | None:
        """What answers a worker: what has been read for it, or the end."""
        self._reached[rank] = max(self._reached[rank], iteration)
        for old in [one for one in self._waiting if one < min(self._reached)]:
            del self._waiting[old]
        pieces = self._waiting.get(iteration)
        if pieces is not None and pieces[rank]:
            return pieces[rank].popleft()
        over = iteration < self._iteration or (iteration == self._iteration and self._exhausted)
        return _END if over else None

    def _wanted(self) -> Next | None:
        """The question for which a batch has to be read; none while a worker is far behind the others."""
        if any(len(one) >= _MOST for pieces in self._waiting.values() for one in pieces):
            return None
        first = [questions[0][0] for questions in self._questions if questions]
        # A worker that has begun another iteration has ended the one before.
        return max(first, key=lambda one: one["iteration"], default=None)

    # -- in the thread -----------------------------------------------------------

    def _work(self) -> None:
        while True:
            with self._lock:
                self._lock.wait_for(lambda: self._closed or self._epochs or self._wanted() is not None)
                if self._closed:
                    return
                attempt, wanted, told = self._attempt, self._wanted(), [*self._epochs]
                self._epochs.clear()
            try:
                for event in told:
                    self._tell(event)
                if wanted is not None:
                    self._read(attempt, wanted)
            except Exception as error:  # noqa: BLE001  # the user's own, whatever it raises: the training ends
                self._fail(error)
                self._rest(attempt)

    def _rest(self, attempt: int) -> None:
        with self._lock:
            self._lock.wait_for(lambda: self._closed or attempt != self._attempt)

    def _tell(self, event: SourceEpochs) -> None:
        for _ in range(self._begun, event["begun"]):
            self._reader.begin()
        for _ in range(self._ended, event["ended"]):
            self._reader.end()
        self._begun, self._ended = max(self._begun, event["begun"]), max(self._ended, event["ended"])

    def _read(self, attempt: int, wanted: Next) -> None:
        """Read the next batch of an iteration. The lock is free meanwhile: a source may take long."""
        iteration, batches = wanted["iteration"], self._batches
        if iteration > self._iteration:
            batches = self._reader.read(wanted["epoch"])
        found = next(batches, self)
        ended = found is self
        shares = [] if ended else [_pieces(self._part(found, rank)) for rank in range(self._workers)]
        with self._lock:
            if attempt != self._attempt:
                return
            if iteration > self._iteration:
                self._iteration, self._batches = iteration, batches
                self._waiting[iteration] = [deque() for _ in range(self._workers)]
            self._exhausted = ended
            for waiting, pieces in zip(self._waiting.get(iteration, ()), shares, strict=False):
                waiting.extend(pieces)
            for rank in range(self._workers):
                self._serve(rank)

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
