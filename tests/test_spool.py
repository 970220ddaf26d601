from __future__ import annotations

from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pytest
from processes import unnamed_files

from nbkeras.errors import DataError
from nbkeras.schema import ORDER, Field
from nbkeras.worker.files import mapped
from nbkeras.worker.spool import Spool

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
