"""Shares: one worker's rows of each batch, of a source that it reads itself or that the notebook reads."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from nbkeras.job import archive
from nbkeras.model import batch
from nbkeras.model.reader import FIRST, Fed, Reader, looks_apart, moves_on
from nbkeras.transport.channel import Channel
from nbkeras.transport.checking import checked
from nbkeras.transport.messages import Next, Piece, SourceEpochs


class Shares(Protocol):
    """One worker's rows of batches that are the same on all workers."""

    @property
    def repeats(self) -> str:
        """The class of what begins again in a new process, where this one would give other batches."""

    @property
    def length(self) -> int | None:
        """Batches of an epoch; None where it is not known."""

    def first(self) -> list[Any]:
        """Return the worker's rows of the first batches, as Keras looks at them to learn types and shapes."""

    def read(self, epoch: int) -> Iterator[tuple[int, Any]]:
        """Read the number of rows of each batch, and this worker's; a row stands in where it has none."""

    def begin(self) -> None:
        """Tell the source that an epoch begins."""

    def end(self) -> None:
        """Tell the source that an epoch has ended."""


class Own:
    """Shares of batches that this worker reads itself, all of them or its rows alone.

    Args:
        reader: of the batches.
        rank: of this worker.
        workers: number of workers.
        rows: tells the rows of each batch, of all workers, if the reader gives this worker's alone.
    """

    def __init__(
        self, reader: Reader, rank: int, workers: int, rows: Callable[[int], int] | None = None
    ) -> None:
        self._reader, self._rank, self._workers, self.rows = reader, rank, workers, rows
        self.begin, self.end = reader.begin, reader.end

    @property
    def length(self) -> int | None:
        """Batches of an epoch."""
        return self._reader.length

    @property
    def repeats(self) -> str:
        """The class of the source if it moves on from epoch to epoch."""
        return str(self._reader.kind) if moves_on(self._reader.source) else ""

    def first(self) -> list[Any]:
        """This worker's rows of the first batches."""
        return [self._share(0, one)[1] for one in self._reader.first()]

    def read(self, epoch: int) -> Iterator[tuple[int, Any]]:
        """The batches of an epoch."""
        for step, one in enumerate(self._reader.read(epoch)):
            yield self._share(step, one)

    def _share(self, step: int, one: Any) -> tuple[int, Any]:
        if self.rows is None:
            return batch.share(one, self._rank, self._workers)
        return self.rows(step), batch.taken(one, slice(None))


class Remote:
    """Shares of batches that the notebook reads: each is asked for when it is wanted.

    Args:
        fed: the notebook's reader.
        channel: to the notebook, for nothing else.
        ahead: pieces of batches to ask for at once.
    """

    repeats = ""

    def __init__(self, fed: Fed, channel: Channel, ahead: int) -> None:
        self._fed, self._channel, self._ahead = fed, channel, ahead
        self._waiting: deque[int] = deque()
        self._iterations = itertools.count()
        self._begun = self._ended = 0
        self._held: tuple[list[tuple[int, Any]], Iterator[tuple[int, Any]]] | None = None

    @property
    def length(self) -> int | None:
        """Batches of an epoch."""
        return self._fed.length

    def first(self) -> list[Any]:
        """This worker's rows of the first batches."""
        if looks_apart(self._fed.kind):
            # What is read behind them may draw random numbers.
            return [own for _, own in itertools.islice(self._asked(0, ahead=1), FIRST)]
        if self._held is None:
            shares = self._asked(0, self._ahead)
            self._held = list(itertools.islice(shares, FIRST)), shares
        return [own for _, own in self._held[0]]

    def read(self, epoch: int) -> Iterator[tuple[int, Any]]:
        """The batches of an epoch."""
        if self._held is None:
            return self._asked(epoch, self._ahead)
        (first, rest), self._held = self._held, None
        return itertools.chain(first, rest)

    def begin(self) -> None:
        """Let the notebook tell its source."""
        self._begun += 1
        self._tell()

    def end(self) -> None:
        """Let the notebook tell its source."""
        self._ended += 1
        self._tell()

    def _tell(self) -> None:
        number, begun, ended = self._fed.number, self._begun, self._ended
        self._channel.send(SourceEpochs(type="source_epochs", source=number, begun=begun, ended=ended))

    def _asked(self, epoch: int, ahead: int) -> Iterator[tuple[int, Any]]:
        iteration, data = next(self._iterations), bytearray()
        question = Next(type="next", source=self._fed.number, iteration=iteration, epoch=epoch)
        while self._waiting:  # for batches that nobody takes any more
            self._channel.answer(self._waiting.popleft())
        while True:
            while len(self._waiting) < ahead:
                self._waiting.append(self._channel.send(question))
            answer, piece = self._channel.answer(self._waiting.popleft())
            data += piece
            if checked(answer, Piece)["more"]:
                continue
            if not data:
                return
            (share,) = archive.load_values(bytes(data))
            data.clear()
            yield share["rows"], share["batch"]
