"""The notebooks that teach: their files, and what happens to who runs them and the solutions in them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import nbclient
import nbformat
import pytest
from lifeline import ENDS_WITH_US

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
NOTEBOOKS = sorted([*FOLDER.glob("*.ipynb"), *FOLDER.glob("zh/*.ipynb")])
LINK = re.compile(r"\]\((?!https?:)([^)#]+)\)")
SOLUTION = re.compile(r"<details>.*?```python\n(.*?)```.*?</details>", re.DOTALL)
EXERCISE, NEXT = r"^## (Exercise|练习)$", r"^## (What to try next|接下来)$"
#: What a file says only of the machine, or of the moment, in which it was made.
OUT_OF_PLACE = re.compile(r"(?<!\S)/\w+/|file:/|\bWARN\b|Warning|Traceback|jupyter\.widget")

#: What must be true after a notebook and its solutions were run: what its text says.
TRUE = {
    "03_images": "max(history.history['val_accuracy']) > 0.9",
    "04_text": """
max(count_history.history["val_accuracy"]) < 0.7 < min(
    lstm_history.history["val_accuracy"][-1], transformer_history.history["val_accuracy"][-1]
)""",
    "05_tables": "board.best.name == 'network'",
    "06_builder": "run.status == 'stopped'",
    "07_checkpoints": """
hammer.killed_at is not None
and len(history.history["loss"]) == 8
and len(longer.history["loss"]) == 10
and longer.history["loss"][:8] == history.history["loss"]""",
    "08_prediction": "loaded.transform(test_df).filter('species = said').count() > 0.8 * test_df.count()",
    "09_exactness": """
apart(two) < 1e-5 < 1e-3 < apart(averaged)
and abs(losses[1] - losses[2]) < 1e-4 < 0.05 < losses[0] - losses[1]""",
    "10_object_detection": """
history.history["val_kind_accuracy"][-1] > 0.9
and history.history["val_box_loss"][-1] < 0.004
and overlaps.mean() > 0.5""",
}
#: Is run in each run, beside the quickstart; what it shows is the first promise.
ALWAYS = "09_exactness"

every_notebook = pytest.mark.parametrize(
    "path", NOTEBOOKS, ids=lambda path: f"{path.parent.name}-{path.stem}"
)


def read(path):
    return nbformat.read(path, as_version=4)


def prose(notebook):
    return [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]


def said(notebook):
    """All outputs, in which kinds of pictures stand for pictures."""
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    kinds = [kind for output in outputs for kind in output.get("data", {})]
    texts = [output.get("text", "") + output.get("data", {}).get("text/plain", "") for output in outputs]
    return kinds, texts, [output for output in outputs if output.output_type == "error"]


@every_notebook
def test_its_file_is_small_and_shows_what_came_out(path):
    notebook = read(path)
    nbformat.validate(notebook)
    kinds, texts, errors = said(notebook)

    assert errors == []
    assert "image/png" in kinds
    assert [kind for kind in kinds if "widget" in kind] == []
    assert [text for text in texts if OUT_OF_PLACE.search(text)] == []
    assert path.stat().st_size < 600_000
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert notebook.metadata.kernelspec.name == "python3"
    assert [cell.metadata for cell in notebook.cells if cell.metadata] == []


@every_notebook
def test_its_code_was_run_from_the_first_cell_to_the_last(path):
    counts = [cell.execution_count for cell in read(path).cells if cell.cell_type == "code"]

    assert counts == list(range(1, len(counts) + 1))


@every_notebook
def test_its_links_lead_somewhere(path):
    cells = [cell for cell in read(path).cells if cell.cell_type == "markdown"]
    attached = {f"attachment:{name}" for cell in cells for name in cell.get("attachments", {})}
    links = [link for cell in cells for link in LINK.findall(cell.source)]

    assert [link for link in links if link not in attached and not (path.parent / link).exists()] == []


@every_notebook
def test_it_has_an_exercise_with_a_hidden_solution_and_a_next_step(path):
    *_, exercise, last = prose(read(path))

    assert re.match(EXERCISE, exercise, re.MULTILINE)
    assert SOLUTION.search(exercise)
    assert re.match(NEXT, last, re.MULTILINE)
    assert [link for link in LINK.findall(last) if link.endswith(".ipynb")]


@pytest.mark.parametrize("folder", [FOLDER, FOLDER / "zh"], ids=lambda folder: folder.name)
def test_the_builder_has_written_the_cell_that_stands_below_it(folder):
    cells = {cell.id: cell for cell in read(folder / "06_builder.ipynb").cells}

    assert cells["clicks"].outputs[0].text.strip() == cells["train"].source


def test_from_the_first_notebook_one_comes_to_all_others():
    found, new = set(), {FOLDER / "01_quickstart.ipynb"}
    while new:
        found |= new
        links = [
            (one.parent / link).resolve()
            for one in new
            for text in prose(read(one))
            for link in LINK.findall(text)
        ]
        new = {link for link in links if link.suffix == ".ipynb"} - found

    assert found == set(NOTEBOOKS)


@pytest.mark.process
def test_the_quickstart_runs_headless_and_learns_the_digits():
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


def dear(path):
    marks = () if path.parent == FOLDER and path.stem == ALWAYS else pytest.mark.soak
    return pytest.param(path, id=f"{path.parent.name}-{path.stem}", marks=marks)


@pytest.mark.process
@pytest.mark.parametrize("path", [*map(dear, NOTEBOOKS)])
def test_it_runs_with_its_solutions_and_what_it_says_is_true(path, tmp_path):
    notebook = read(path)
    solutions = [code for text in prose(notebook) for code in SOLUTION.findall(text)]
    truth = TRUE.get(path.stem, "True").strip()
    notebook.cells += map(nbformat.v4.new_code_cell, [*solutions, f"assert (\n{truth}\n)"])

    client = nbclient.NotebookClient(
        notebook, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()

    kinds, _, errors = said(notebook)
    assert errors == []
    assert "image/png" in kinds
