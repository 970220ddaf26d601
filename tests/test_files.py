from __future__ import annotations

import mmap
import os
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest

from nbkeras.errors import ClusterError
from nbkeras.worker.files import mapped, pages, scratch, unnamed


def test_a_system_without_files_in_memory_is_refused(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")

    with pytest.raises(
        ClusterError, match=r"^spark\.io\.encryption\.enabled is true, and .* executors on Linux$"
    ):
        unnamed(encrypted=True)


def test_only_this_user_can_open_a_file_without_a_name(tmp_path):
    before = os.umask(0)
    try:
        with unnamed(str(tmp_path)) as file:
            assert os.fstat(file.fileno()).st_mode & 0o777 == 0o600
    finally:
        os.umask(before)


def test_mapping_copies_nothing_and_writing_to_it_leaves_the_file(tmp_path):
    size = 1 << 24
    with (tmp_path / "zeros").open("w+b") as file:
        file.truncate(4 * size)
        before = psutil.Process().memory_info().rss

        whole = mapped(file.fileno(), "<f4", (size,))
        whole[:3] = 7

        assert psutil.Process().memory_info().rss - before < size
        assert mapped(file.fileno(), "<f4", (3,)).tolist() == [0.0, 0.0, 0.0]


def test_no_rows_are_an_empty_array():
    assert mapped(-1, "<f4", (0, 3)).shape == (0, 3)
    assert scratch(0).tolist() == []


def test_scratch_is_zeros_that_can_be_written():
    held = scratch(5)
    held[2] = 9

    assert held.tolist() == [0, 0, 9, 0, 0]


def test_scratch_lies_where_spark_keeps_what_is_large(monkeypatch, tmp_path):
    monkeypatch.setenv("SPARK_LOCAL_DIRS", f"{tmp_path},/nowhere")
    held = scratch(5)

    assert f"{tmp_path}/" in Path("/proc/self/maps").read_text()
    assert len(held) == 5
    assert not [*tmp_path.iterdir()]


def test_scratch_has_its_room_on_the_disk_from_the_start(monkeypatch):
    kept = []

    def kept_open(*where, **how):
        file = unnamed(*where, **how)
        kept.append(os.dup(file.fileno()))
        return file

    monkeypatch.setattr("nbkeras.worker.files.unnamed", kept_open)
    held = scratch(100_000)
    try:
        assert os.fstat(kept[0]).st_blocks * 512 >= held.nbytes
    finally:
        os.close(kept[0])


@pytest.mark.parametrize("content", [b"", b"some bytes"])
def test_pages_hold_the_bytes_at_the_start_of_a_page(content):
    held = np.frombuffer(pages(content), dtype=np.uint8)

    assert held.tobytes()[: len(content)] == content
    assert held.ctypes.data % mmap.PAGESIZE == 0
