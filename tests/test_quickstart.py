from __future__ import annotations

import re
import subprocess
import sys

import nbformat
import pytest
from lifeline import ENDS_WITH_US

from nbkeras import demo


@pytest.fixture(scope="module")
def quickstart():
    return nbformat.read(demo.notebook(), as_version=4)


def test_it_is_a_valid_notebook_without_outputs(quickstart):
    nbformat.validate(quickstart)

    code = [cell for cell in quickstart.cells if cell.cell_type == "code"]
    assert [cell.id for cell in code if cell.outputs or cell.execution_count] == []
    assert quickstart.metadata.kernelspec.name == "python3"
    assert "widgets" not in quickstart.metadata


@pytest.mark.process
def test_it_runs_headless_and_learns_the_digits():
    code = "from nbkeras.cli import main; raise SystemExit(main(['demo', '--execute']))"
    done = subprocess.run(
        [*ENDS_WITH_US, sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    epochs = re.findall(r"^epoch (\d+) of 12  accuracy [01]\S*  loss \d", done.stdout, re.MULTILINE)
    assert epochs == [str(epoch) for epoch in range(1, 13)]
    assert float(re.search(r"^final test accuracy (\S+)$", done.stdout, re.MULTILINE)[1]) > 0.95
