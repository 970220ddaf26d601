"""Rows from Spark are all rows, or an error."""

from __future__ import annotations

import io

import pyarrow as pa
import pytest

from nbkeras.spark import cluster
from nbkeras.worker import stream

pytestmark = pytest.mark.usefixtures("any_backend", "as_in_a_notebook")

#: What Spark writes behind a stream that has ended well.
END_OF_STREAM = b"\xff\xff\xff\xfc"


def written(batches):
    """A stream of so many batches and where each of its messages ends: the schema, the batches, the end."""
    sink, ends = io.BytesIO(), []
    batch = pa.record_batch({"x": [1.0, 2.0]})
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        ends.append(sink.tell())
        for _ in range(batches):
            writer.write_batch(batch)
            ends.append(sink.tell())
    return sink.getvalue(), [*ends, sink.tell()]


def main(infile):
    """What Spark's Python worker does with a stream; the rows that it has received."""
    return sum(batch.num_rows for batch in stream.whole(iter(pa.ipc.open_stream(infile))))


def received(sent):
    return main(io.BufferedReader(io.BytesIO(sent)))


def test_a_whole_stream_gives_all_rows():
    sent, _ = written(3)
    assert received(sent + END_OF_STREAM) == 6


@pytest.mark.parametrize("after", [1, 2, 3], ids=["a batch", "two batches", "all batches"])
def test_a_stream_that_is_cut_between_two_batches_is_an_error(after):
    sent, ends = written(3)
    with pytest.raises(stream.RowsEnded, match="an early end"):
        received(sent[: ends[after]])


def test_a_stream_that_is_cut_wherever_is_an_error():
    sent, _ = written(3)
    for end in range(len(sent) + 1):
        infile = io.BufferedReader(io.BytesIO(sent[:end]))
        with pytest.raises((stream.RowsEnded, pa.ArrowInvalid)):
            main(infile)


@pytest.mark.smoke
def test_behind_the_rows_sparks_own_worker_has_been_sent_that_they_were_all(spark):
    cluster.ship(spark)

    def count(batches):
        rows = sum(batch.num_rows for batch in stream.whole(batches))
        yield pa.record_batch({"rows": [rows], "behind": [stream._sent().peek(1)[:4]]})

    told = spark.range(0, 1000, 1, 2).mapInArrow(count, "rows long, behind binary").collect()
    assert [(one.rows, bytes(one.behind)) for one in told] == [(500, END_OF_STREAM)] * 2
