from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import nbclient
import nbformat
import pytest
from lifeline import ENDS_WITH_US

NOTEBOOKS = sorted(Path(__file__).parents[1].glob("notebooks/*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_a_valid_notebook_without_outputs(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)

    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.id for cell in code if cell.outputs or cell.execution_count] == []
    assert notebook.metadata.kernelspec.name == "python3"
    assert "widgets" not in notebook.metadata


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


@pytest.mark.soak
@pytest.mark.process
def test_boxes_are_found_on_images_and_drawn(tmp_path):
    notebook = nbformat.read(NOTEBOOKS[0].with_name("10_object_detection.ipynb"), as_version=4)
    best = "print([round(history.history[f'val_{name}'][-1], 4) for name in ('kind_accuracy', 'box_loss')])"
    notebook.cells.append(nbformat.v4.new_code_cell(best))

    nbclient.NotebookClient(
        notebook, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()

    accuracy, loss = map(float, re.findall(r"[\d.]+", notebook.cells[-1].outputs[0]["text"]))
    assert accuracy > 0.9
    assert loss < 0.004
    drawn = next(cell for cell in notebook.cells if cell.id == "boxes")
    assert "image/png" in drawn.outputs[-1]["data"]
