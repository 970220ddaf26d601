from __future__ import annotations

import mmap
import os
import sys
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pytest
from processes import unnamed_files

from nbkeras.errors import ClusterError, DataError
from nbkeras.plan import ORDER, Field
from nbkeras.worker.spool import Spool, decode, mapped, pages, scratch, unnamed

FIELDS = (
    Field("x0", ("a", "b"), "model input 'x'", "float32", (2,)),
    Field("y0", ("label",), "label 'label'", "int64"),
)


def arrow(rows, start=0):
    position = np.arange(start, start + rows)
    return {
        ORDER: pa.array(position),
        "x0": pa.array([[float(one), -float(one)] for one in position], pa.list_(pa.float64())),
        "y0": pa.array(position * 3),
    }


@pytest.fixture
def spool(tmp_path):
    made = Spool(FIELDS, str(tmp_path))
    yield made
    made.close()


def read(spool, name):
    dtype, shape = spool.layout[name]
    return mapped(spool.files[name].fileno(), dtype, (spool.rows, *shape))


def test_rows_come_back_as_they_were_appended(spool):
    for start, rows in ((0, 3), (3, 0), (3, 5)):
        spool.append(arrow(rows, start))

    assert spool.rows == 8
    assert read(spool, ORDER).tolist() == list(range(8))
    assert read(spool, "y0").tolist() == list(range(0, 24, 3))
    assert read(spool, "x0").dtype == np.float32
    np.testing.assert_array_equal(read(spool, "x0"), [[one, -one] for one in range(8)])


def test_a_slice_of_an_arrow_batch_brings_only_its_rows(spool):
    spool.append({name: column.slice(2, 3) for name, column in arrow(9).items()})

    assert read(spool, "y0").tolist() == [6, 9, 12]
    np.testing.assert_array_equal(read(spool, "x0")[:, 0], [2, 3, 4])


def test_its_files_have_no_name(spool, tmp_path):
    spool.append(arrow(3))

    assert list(tmp_path.iterdir()) == []


def test_its_files_lie_in_memory_where_disks_are_to_be_encrypted(tmp_path):
    spool = Spool(FIELDS, str(tmp_path), encrypted=True)
    spool.append(arrow(3))

    places = {str(Path(f"/proc/self/fd/{file.fileno()}").readlink()) for file in spool.files.values()}
    assert places == {"/memfd:nbkeras (deleted)"}
    assert read(spool, "y0").tolist() == [0, 3, 6]
    spool.close()


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


def test_no_descriptor_stays_open_after_close(tmp_path):
    def descriptors():
        """Those of files in that folder: others may come and go, such as connections to Spark."""
        return [one for one in unnamed_files(psutil.Process()) if one.startswith(str(tmp_path))]

    spool = Spool(FIELDS, str(tmp_path))
    spool.append(arrow(3))
    assert len(descriptors()) == 3

    spool.close()

    assert descriptors() == []


def test_nulls_are_counted_by_column_to_the_end_and_nothing_is_written(spool):
    missing = arrow(3) | {"y0": pa.array([1, None, None])}
    entries = arrow(2) | {"x0": pa.array([[1.0, None], [None, None]], pa.list_(pa.float64()))}

    for batch in (missing, arrow(2), entries):
        spool.append(batch)

    assert spool.nulls == {"label": 2, "a": 1, "b": 2}
    assert spool.rows == 0


def test_rows_of_another_shape_are_refused_with_the_columns_name(tmp_path):
    spool = Spool((Field("y0", ("label",), "label 'label'", "float32"),), str(tmp_path))
    spool.append({ORDER: pa.array([0]), "y0": pa.array([[1.0, 2.0]])})

    with pytest.raises(DataError, match=r"column 'label' holds values of shape \(2,\) and of shape \(3,\)"):
        spool.append({ORDER: pa.array([1]), "y0": pa.array([[1.0, 2.0, 3.0]])})

    spool.close()


def one(dtype=None, shape=None, *, raw=False):
    return Field("x0", ("a",), "model input 'x'", dtype, shape, raw=raw)


def test_nested_lists_become_arrays_of_as_many_dimensions():
    values = np.arange(24.0).reshape(2, 3, 4)

    found = decode(pa.array(values.tolist()), one("float32"), {})

    assert (found.dtype, found.shape) == (np.float32, (2, 3, 4))
    np.testing.assert_array_equal(found, values)
    assert decode(pa.array(values.tolist()), one("float32", (12,)), {}).shape == (2, 12)


def test_booleans_and_large_lists_are_read_too():
    assert decode(pa.array([True, False]), one("float32"), {}).tolist() == [1.0, 0.0]
    large = pa.array([[1, 2], [3, 4]], pa.large_list(pa.int32()))
    assert decode(large, one("int64"), {}).tolist() == [[1, 2], [3, 4]]


def test_arrays_of_several_lengths_are_refused():
    with pytest.raises(DataError, match="column 'a' holds arrays of 1 to 3 values: model input 'x' needs"):
        decode(pa.array([[1.0], [1.0, 2.0, 3.0]]), one("float32"), {})


def test_arrays_that_are_null_or_hold_nulls_are_counted_apart():
    nulls = {}
    kind = pa.list_(pa.float64())
    assert decode(pa.array([[1.0, 2.0], None, None], kind), one("float32"), nulls) is None
    assert decode(pa.array([[1.0, 2.0], [None, None], [1.0, None]], kind), one("float32"), nulls) is None
    assert nulls == {"a": 2, "a[]": 2}


@pytest.mark.parametrize("values", [[[1.0, 2.0]], [[], []]])
def test_arrays_that_do_not_fill_the_inputs_shape_are_refused_with_theirs(values):
    message = rf"model input 'x' takes shape \(3,\), column 'a' holds arrays of shape \({len(values[0])},\)"
    with pytest.raises(DataError, match=message):
        decode(pa.array(values, pa.list_(pa.float64())), one("float32", (3,)), {})


def test_values_that_do_not_fill_the_inputs_shape_are_refused():
    with pytest.raises(
        DataError, match=r"model input 'x' takes shape \(4,\), column 'a' holds single numbers"
    ):
        decode(pa.array([1.0, 2.0]), one("float32", (4,)), {})


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary()])
def test_raw_rows_are_read_from_their_bytes(kind):
    values = np.arange(12, dtype="<f4").reshape(4, 3)
    column = pa.array([row.tobytes() for row in values], kind)

    found = decode(column.slice(1, 2), one("<f4", (3,), raw=True), {})

    np.testing.assert_array_equal(found, values[1:3])


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

    monkeypatch.setattr("nbkeras.worker.spool.unnamed", kept_open)
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
