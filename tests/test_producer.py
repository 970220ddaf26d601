"""The producer: reads batches in the notebook and gives each worker its rows."""

from __future__ import annotations

import queue

import ml_dtypes
import numpy as np
import pytest

from nbkeras.driver.training import producer
from nbkeras.driver.training.producer import Producer
from nbkeras.errors import DataError
from nbkeras.job import archive
from nbkeras.model.reader import Reader

#: Seconds after which an answer has not come.
LATE = 30


class Worker:
    """Asks a producer for batches, as a trainer does."""

    def __init__(self, made, rank):
        self._made, self._rank = made, rank
        self._answers = queue.Queue()

    def ask(self, iteration=0, epoch=0):
        question = {"type": "next", "source": 0, "iteration": iteration, "epoch": epoch}
        self._made.take(self._rank, question, lambda *answer: self._answers.put(answer))

    def answer(self):
        return self._answers.get(timeout=LATE)

    def next(self, iteration=0):
        """Rows of the next batch, and this worker's; None at the end."""
        data, more = b"", True
        while more:
            self.ask(iteration)
            piece, blob = self.answer()
            data, more = data + blob, piece["more"]
        if not data:
            return None
        (share,) = archive.load_values(data)
        return share["rows"], share["batch"]

    def all(self, iteration=0):
        """The rows of each batch, to the end."""
        found = []
        while (share := self.next(iteration)) is not None:
            found.append([int(one) for one in share[1][0]])
        return found


@pytest.fixture
def serve():
    """Make a producer of a source, with its workers and what it fails with."""
    made = []

    def serve(source, workers=2):
        failed = queue.Queue()
        made.append(Producer(Reader(source), workers, failed.put))
        return [Worker(made[-1], rank) for rank in range(workers)], failed, made[-1]

    yield serve
    for one in made:
        one.close()


def batches(*sizes):
    """Tuples with the numbers from 0, so many in each."""
    ends = np.cumsum(sizes)
    return ((np.arange(end - size, end),) for size, end in zip(sizes, ends, strict=True))


def test_each_worker_gets_its_rows_of_each_batch_and_a_row_stands_in_where_it_has_none(serve):
    (one, two), _, _ = serve(batches(3, 2, 1))

    assert one.all() == [[0, 2], [3], [5]]
    assert two.all() == [[1], [4], [5]]


def test_a_batch_is_read_when_a_worker_asks_for_it_and_not_before(serve):
    read = []

    def source():
        for number in range(9):
            read.append(number)
            yield (np.full(2, number),)

    (one, two), _, _ = serve(source())
    for _ in range(4):
        one.next()

    assert read == [0, 1, 2, 3]
    assert two.next()[1][0] == 0
    assert read == [0, 1, 2, 3], "what the first worker has asked for is there for the second"


def test_a_large_batch_comes_in_pieces(serve, monkeypatch):
    monkeypatch.setattr(producer, "_PIECE", 1000)
    pixels = np.arange(5000.0).reshape(2, 2500)
    (one,), _, _ = serve(iter([(pixels,)]), workers=1)

    rows, (found,) = one.next()

    assert rows == 2
    np.testing.assert_array_equal(found, pixels)


def test_structures_words_and_types_arrive_as_they_are(serve):
    given = {"a": np.array(["ü", "word"], dtype=object), "b": np.ones(2, ml_dtypes.bfloat16)}
    (one,), _, _ = serve(iter([(given, None, np.array([b"x", b"yz"], dtype=object))]), workers=1)

    _, (x, y, raw) = one.next()

    assert (x["a"].tolist(), x["b"].dtype, y, raw.tolist()) == (
        ["ü", "word"],
        ml_dtypes.bfloat16,
        None,
        [b"x", b"yz"],
    )


@pytest.mark.parametrize("word", [b"zero\0", {"a": 1}])
def test_what_cannot_be_sent_as_it_is_fails_in_one_line(serve, word):
    (one,), failed, _ = serve(iter([(np.array([b"a", word], dtype=object),)]), workers=1)
    one.ask()

    error = failed.get(timeout=LATE)
    assert isinstance(error, DataError)
    assert str(error) == (
        "a batch of the generator holds an array of objects, which cannot be sent to workers: give arrays of "
        "numbers or words"
    )


def test_an_iteration_that_one_worker_begins_ends_the_one_before_where_it_was_read(serve):
    class Rows:
        def __iter__(self):
            return batches(2, 2, 2)

    (one, two), _, _ = serve(Rows())
    assert [one.next()[1][0].tolist(), one.next()[1][0].tolist()] == [[0], [2]]
    assert one.next(iteration=1)[1][0].tolist() == [0], "it begins from the start"

    assert two.all(iteration=0) == [[1], [3]], "what the first worker has had, and no more"
    assert two.next(iteration=1)[1][0].tolist() == [1]


def test_workers_that_begin_again_read_a_source_from_its_start_and_a_generator_from_where_it_is(serve):
    class Rows:
        def __iter__(self):
            return batches(1, 1, 1, 1)

    for source, then in ((Rows(), [[0], [1], [2], [3]]), (batches(1, 1, 1, 1), [[0], [1], [3]])):
        (one,), _, made = serve(source, workers=1)
        assert [one.next()[1][0].tolist() for _ in range(3)] == [[0], [1], [2]]
        made.restart()

        # As in each new epoch of Keras, the first two of a generator come again.
        assert one.all() == then


def test_what_a_source_raises_is_said_and_nobody_gets_an_answer(serve):
    def broken():
        yield (np.ones(2),)
        yield (np.ones(2),)
        raise LookupError("gone")

    (one, two), failed, _ = serve(broken())
    one.next()
    one.next()
    one.ask()

    assert str(failed.get(timeout=LATE)) == "gone"
    assert two.next() is not None


def test_a_worker_may_ask_for_several_batches_at_once_and_gets_them_in_their_order(serve):
    (one,), _, _ = serve(batches(1, 1, 1, 1, 1), workers=1)
    for _ in range(4):
        one.ask()
    found = [archive.load_values(bytes(one.answer()[1]))[0]["batch"][0].tolist() for _ in range(4)]

    assert found == [[0], [1], [2], [3]]
    assert one.all() == [[4]]


def test_a_worker_that_is_far_ahead_waits_for_the_others(serve, monkeypatch):
    monkeypatch.setattr(producer, "_MOST", 2)
    (one, two), _, _ = serve(batches(2, 2, 2))
    one.next()
    one.next()
    one.ask()
    assert two.next()[1][0].tolist() == [1], "then there is room"

    assert archive.load_values(bytes(one.answer()[1]))[0]["batch"][0].tolist() == [4]
    assert two.all() == [[3], [5]]
