"""Rows that the kernel has dropped from memory are back before the step that needs them."""

from __future__ import annotations

import ctypes
import os
from types import SimpleNamespace

import numpy as np
import pytest

from nbkeras.schema import Field, Schema
from nbkeras.worker import files, readahead
from nbkeras.worker.feed import feed

pytestmark = pytest.mark.usefixtures("any_backend")

STRUCTURE = Schema((Field("x0", ("x",), "x"),))
ROWS, WIDTH, BATCH = 512, os.sysconf("SC_PAGESIZE"), 8


@pytest.fixture
def file(tmp_path):
    """Rows of a page each, none of which is in memory."""
    with (tmp_path / "rows").open("w+b", buffering=0) as made:
        made.write(np.arange(ROWS * WIDTH // 4, dtype="<f4").tobytes())
        os.fsync(made.fileno())
        os.posix_fadvise(made.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        if in_memory(made, range(ROWS)):
            pytest.skip("files lie in memory here")
        yield made


def in_memory(file, rows):
    """Those of some rows whose pages the kernel holds: to read one would bring it there."""
    array = files.mapped(file.fileno(), "u1", (ROWS * WIDTH,))
    held = (ctypes.c_ubyte * ROWS)()
    if ctypes.CDLL(None, use_errno=True).mincore(ctypes.c_void_p(array.ctypes.data), array.nbytes, held):
        raise OSError(ctypes.get_errno(), "mincore")
    return [row for row in rows if held[row] & 1]


@pytest.fixture
def callback(file, monkeypatch):
    monkeypatch.setattr(readahead, "_AHEAD", 16 * BATCH * WIDTH)  # sixteen steps
    array = files.mapped(file.fileno(), "<f4", (ROWS, WIDTH // 4), scattered=True)
    counts = np.full(ROWS // BATCH, BATCH)
    fed = feed({"x0": array}, np.arange(ROWS), counts, STRUCTURE, (3,))
    fed.permute(0)
    made = readahead.ReadAhead(fed, {"x0": file.fileno()})
    made.set_model(SimpleNamespace(steps_per_execution=1))
    made.on_epoch_begin(0)
    return made


def short(monkeypatch, faults):
    usage = SimpleNamespace(ru_majflt=faults)
    monkeypatch.setattr(readahead.resource, "getrusage", lambda _: usage)


def test_rows_of_the_next_steps_are_read_once_memory_is_short(callback, file, monkeypatch, wait_for):
    short(monkeypatch, callback._begun + 10_000)
    order = callback._feed.order.tolist()
    near, far = order[: 16 * BATCH], order[16 * BATCH :]
    callback.on_train_batch_begin(0)
    wait_for(lambda: len(in_memory(file, near)) == len(near), "the rows of sixteen steps")
    assert in_memory(file, far) == []
    callback.on_train_batch_end(0)
    callback.on_train_batch_begin(1)
    wait_for(lambda: in_memory(file, far) == far[:BATCH], "those of one more")


def test_nothing_is_asked_for_while_memory_holds_the_rows(callback, file, monkeypatch):
    short(monkeypatch, callback._begun + 10)
    for step in range(20):
        callback.on_train_batch_begin(step)
        callback.on_train_batch_end(step)
    callback._thread.shutdown()
    assert in_memory(file, range(ROWS)) == []


def test_a_scattered_row_is_read_without_those_around_it(file):
    array = files.mapped(file.fileno(), "<f4", (ROWS, WIDTH // 4), scattered=True)
    assert array[200, 0] == 200 * WIDTH / 4
    assert in_memory(file, range(ROWS)) == [200]
