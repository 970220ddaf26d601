"""Notebooks that papermill, nbclient and nbconvert execute: nobody watches, the file is read later."""

import os
import re
import sys
from pathlib import Path

import nbclient
import nbconvert
import nbformat
import papermill
import pytest
import waiting

import nbkeras

pytestmark = pytest.mark.process

TRAIN = """%%keras_spark {options}
model = make_model()
history = model.fit(train_df, y="label", validation_data=test_df, epochs={epochs}, batch_size=64)
"""


@pytest.fixture
def environment(monkeypatch):
    """What a kernel needs to run Spark's workers with this very Python."""
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    path = [str(Path(nbkeras.__file__).parent.parent), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, path)))


def notebook(*cells):
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(cell) for cell in cells], metadata={"kernelspec": kernel}
    )


@pytest.mark.soak  # test_notebooks.py trains in a notebook without a page
def test_papermill_waits_also_for_the_background_and_saves_the_picture(
    environment, tmp_path, digits_in_spark
):
    source, result = tmp_path / "in.ipynb", tmp_path / "out.ipynb"
    cells = [digits_in_spark, TRAIN.format(options="--background --name digits --workers 1", epochs=3)]
    nbformat.write(notebook(*cells, "print(history.wait().status, *history.notes)"), source)

    how = {"progress_bar": False, "kernel_name": "python3", "start_timeout": waiting.LIMIT}
    papermill.execute_notebook(source, result, **how)

    done = nbformat.read(result, as_version=4)
    outputs = done.cells[1].outputs
    lines = "".join(output.text for output in outputs if output.output_type == "stream").splitlines()
    [picture] = [output.data for output in outputs if output.output_type == "display_data"]
    assert done.cells[2].outputs[0].text.startswith("finished nobody is at this notebook, ")
    assert "widgets" not in done.metadata
    assert any(re.match(r"epoch 3 of 3  ", line) for line in lines)
    assert set(picture) == {"text/html", "image/png", "text/plain"}
    html, _ = nbconvert.HTMLExporter().from_notebook_node(done)
    assert 'alt="digits finished 3 epochs in ' in html
    assert "<td>val_accuracy" not in html
    assert "<td>accuracy</td>" in html


def test_an_error_fails_the_notebook_with_its_one_line(environment):
    failing = notebook("%load_ext nbkeras", TRAIN.format(options="--wrokers 2", epochs=1))

    with pytest.raises(nbclient.exceptions.CellExecutionError) as caught:
        nbclient.NotebookClient(failing, timeout=waiting.LIMIT).execute()

    assert caught.value.ename == "OptionError"
    assert caught.value.evalue == "unknown option --wrokers; did you mean --workers?"
