"""Reports in JupyterLab: clicked through, in light and dark, in two languages, and found with their runs."""

from __future__ import annotations

import json
from pathlib import Path

from browser.accessibility import findings
from browser.reported import report
from playwright.sync_api import expect

import nbkeras

#: In the language of the words that the kernel's environment has chosen.
SHOW = "import os\nos.environ['NBKERAS_LANG'] = '{}'\nfrom reported import report\nreport()"
SHOW_BOARD = SHOW.replace("report()", "board()").replace("import report", "import board")
FORGET_LANGUAGE = "del os.environ['NBKERAS_LANG']"


def fetched(view, name):
    """The name and the bytes of a file that a button gives."""
    with view.page.expect_download() as download:
        view.get_by_role("button", name=name, exact=True).click()
    return download.value.suggested_filename, Path(download.value.path()).read_bytes()


def shown(notebook, cell, name):
    """The view of the report that a cell shows."""
    notebook.run(cell)
    notebook.expect_done(cell)
    view = notebook.page.get_by_role("region", name=name, exact=True).first
    expect(view).to_be_visible()
    return view


def faults(view, picture, screenshots):
    """What is wrong for people who see, hear or point otherwise, and what does not fit."""
    view.page.mouse.move(0, 0)
    view.screenshot(path=screenshots / f"report-{picture}.png")
    found = findings(view.page, ".nbkeras-report")
    wide = view.evaluate("root => root.scrollWidth - root.clientWidth")
    return [*found, *([f"{wide} pixels too wide"] if wide > 0 else [])]


def test_a_report_is_clicked_through_by_pointer_and_keys(open_notebook, complaints, screenshots):
    notebook = open_notebook("report", [SHOW.format("en"), FORGET_LANGUAGE], size=(1300, 1400))
    complaints(notebook.page)
    view = shown(notebook, 0, "Report on fashion, Adam")

    # The matrix, by the pointer and by keys.
    beside = view.locator(".nbkeras-class")
    view.get_by_role("gridcell", name="sandal predicted as sneaker").click()
    expect(beside.get_by_role("heading", name="sandal predicted as sneaker")).to_be_visible()
    expect(view.locator(".nbkeras-pair").get_by_role("row").nth(1)).to_contain_text("shop/test/")
    found = faults(view, "light", screenshots)
    notebook.page.keyboard.press("ArrowDown")
    notebook.page.keyboard.press("Enter")
    expect(beside.get_by_role("heading", name="shirt predicted as sneaker")).to_be_visible()
    notebook.page.keyboard.press("Control+End")
    notebook.page.keyboard.press(" ")
    expect(beside.get_by_role("heading", name="boot, predicted correctly")).to_be_visible()
    expect(view.get_by_role("status")).to_contain_text("boot predicted as boot")
    view.get_by_role("rowheader", name="coat").click()
    beside.get_by_role("button", name="pullover").first.click()
    expect(beside.get_by_role("heading", name="coat predicted as pullover")).to_be_visible()

    # Tables are sorted; a class leads to its place in the matrix.
    view.get_by_role("tab", name="Slices").click()
    table = view.get_by_role("region", name="slices")
    table.get_by_role("button", name="accuracy").click()
    assert [row.split()[0] for row in table.get_by_role("row").all_inner_texts()[1:]] == [
        "Germany",
        "China",
        "Kenya",
    ]
    table.get_by_role("button", name="accuracy").press("Enter")
    expect(table.get_by_role("columnheader", name="accuracy")).to_have_attribute("aria-sort", "ascending")
    name, content = fetched(view, "Download the shown table as CSV")
    assert name == "fashion-Adam-slices.csv"
    assert content.decode().splitlines()[:2] == ["country,rows,accuracy,log loss", "China,2100,0.79,0.72"]
    view.get_by_role("tab", name="Classes").click()
    view.get_by_role("button", name="trouser").click()
    expect(beside.get_by_role("heading", name="trouser, predicted correctly")).to_be_visible()

    # The other tabs, by keys.
    for _ in range(2):
        notebook.page.keyboard.press("ArrowRight")
    expect(view.get_by_role("tab", name="ROC")).to_be_focused()
    expect(view.get_by_role("tab", name="ROC")).to_have_attribute("aria-selected", "true")
    assert found == []
    assert complaints() == []


def test_of_two_classes_only_the_one_with_curves_shows_areas(open_notebook):
    two = SHOW.format("en").replace("report()", "report(['no', 'yes'], title='tips')")
    view = shown(open_notebook("report-two", [two, FORGET_LANGUAGE]), 0, "Report on tips")
    beside = view.locator(".nbkeras-class")

    view.get_by_role("gridcell", name="yes predicted as yes").click()
    expect(beside).to_contain_text("roc auc")
    view.get_by_role("gridcell", name="no predicted as no").click()
    expect(beside).to_contain_text("precision")
    expect(beside).not_to_contain_text("roc auc")
    view.get_by_role("tab", name="Classes").click()
    expect(view.get_by_role("region", name="classes")).to_contain_text("yes")
    expect(view.get_by_role("region", name="classes")).not_to_contain_text("NaN")


def test_its_curves_are_chosen_and_its_files_hold_what_python_has(
    open_notebook, complaints, screenshots, tmp_path
):
    notebook = open_notebook("report-files", [SHOW.format("en"), FORGET_LANGUAGE], size=(1300, 1400))
    complaints(notebook.page)
    view = shown(notebook, 0, "Report on fashion, Adam")
    view.get_by_role("tab", name="ROC").click()
    expect(view.locator(".nbkeras-line")).to_have_count(6)
    view.get_by_role("checkbox").first.uncheck()
    view.get_by_role("checkbox").nth(8).check()
    expect(view.locator(".nbkeras-line")).to_have_count(6)
    found = faults(view, "curves", screenshots)
    view.get_by_role("tab", name="Calibration").click()
    expect(view.get_by_role("img")).to_have_attribute("aria-label", "calibration of all classes")

    name, content = fetched(view, "Download JSON")
    assert name == "fashion-Adam.json"
    (tmp_path / name).write_bytes(content)
    again, whole = nbkeras.Report.read(tmp_path / name), report()
    assert again.figures == whole.figures
    assert again.confusion.equals(whole.confusion)
    assert "This page has a part of the report" in again.notes[-1]
    assert fetched(view, "Download PNG")[1].startswith(b"\x89PNG")

    saved = notebook.saved()
    assert set(saved.cells[0].outputs[0].data) == {"text/html", "image/png", "text/plain"}
    assert len(json.dumps(saved)) < 400_000
    assert found == []
    assert complaints() == []


def test_it_speaks_chinese_in_the_dark_and_fits_a_narrow_cell(open_notebook, complaints, screenshots):
    notebook = open_notebook("report-zh", [SHOW.format("zh"), FORGET_LANGUAGE], size=(1300, 1400))
    notebook.set_theme("Dark")
    complaints(notebook.page)
    view = shown(notebook, 0, "fashion, Adam 的报告")
    notebook.run(1)
    notebook.expect_done(1)
    view.get_by_role("gridcell", name="sneaker 被预测为 boot").click()
    expect(view.get_by_role("heading", name="sneaker 被预测为 boot")).to_be_visible()
    found = {"wide": faults(view, "dark-zh", screenshots)}
    view.evaluate("root => { root.style.width = '420px'; }")
    found["narrow"] = faults(view, "dark-zh-narrow", screenshots)
    assert found == {"wide": [], "narrow": []}
    assert complaints() == []


def test_a_comparison_is_sorted_and_saved_and_speaks_chinese_in_the_dark(
    open_notebook, complaints, screenshots
):
    cells = [SHOW_BOARD.format("en"), SHOW_BOARD.format("zh"), FORGET_LANGUAGE]
    notebook = open_notebook("board", cells, size=(1300, 1400))
    complaints(notebook.page)
    view = shown(notebook, 0, "5 models for kind")
    expect(view.get_by_role("status")).to_have_text(
        "<b>deep</b> won: accuracy 0.8940, 0.0520 better than logistic (0.8420)."
    )
    table = view.get_by_role("region", name="5 models for kind, compared")
    assert table.get_by_role("rowheader").all_inner_texts() == [
        *("<b>deep</b>", "logistic", "forest", "baseline", "boosting"),
    ]
    expect(view.get_by_role("listitem").first).to_have_text("boosting: failed: Java has no memory left")
    table.get_by_role("button", name="training, seconds").click()
    table.get_by_role("button", name="training, seconds").press("Enter")
    assert table.get_by_role("rowheader").all_inner_texts()[0] == "baseline"
    found = {"light": faults(view, "board-light", screenshots)}
    name, content = fetched(view, "Download the table as CSV")
    assert name == "5-models-for-kind.csv"
    assert content.decode().splitlines()[1].startswith("<b>deep</b>,Keras,0.894,")
    assert json.loads(fetched(view, "Download JSON")[1])["sentence"].startswith("<b>deep</b> won")
    assert fetched(view, "Download PNG")[1].startswith(b"\x89PNG")

    notebook.set_theme("Dark")
    view = shown(notebook, 1, "kind 的 5 个模型")
    notebook.run(2)
    notebook.expect_done(2)
    found["dark"] = faults(view, "board-dark-zh", screenshots)
    view.evaluate("root => { root.style.width = '420px'; }")
    found["narrow"] = faults(view, "board-dark-zh-narrow", screenshots)
    assert found == {"light": [], "dark": [], "narrow": []}
    assert complaints() == []


def test_reports_are_found_again_with_their_run(open_notebook, complaints, screenshots):
    cells = ["%load_ext nbkeras\nfrom reported import keep\nkeep()", "%keras_spark runs"]
    notebook = open_notebook("report-runs", cells, size=(1300, 1400))
    complaints(notebook.page)
    notebook.run(0)
    notebook.expect_done(0)
    notebook.run(1)
    panel = notebook.page.get_by_role("region", name="Runs", exact=True).first
    panel.get_by_role("button", name="Open the reports of fashion, Adam: 2").click()
    opened = panel.get_by_role("region", name="Reports of fashion, Adam")
    expect(opened.get_by_role("region", name="Report on fashion, Adam")).to_be_visible()
    opened.get_by_role("gridcell", name="sandal predicted as sneaker").click()
    notebook.page.mouse.move(0, 0)
    panel.screenshot(path=screenshots / "report-in-runs.png")
    assert findings(notebook.page, ".nbkeras-runs") == []
    # What was chosen stays where the panel is drawn again.
    panel.get_by_role("columnheader", name="run", exact=True).get_by_role("button").click()
    expect(opened.get_by_role("heading", name="sandal predicted as sneaker")).to_be_visible()
    opened.get_by_role("button", name="first look").click()
    expect(opened.get_by_role("region", name="Report on first look")).to_be_visible()
    opened.get_by_role("button", name="Close").click()
    expect(opened).to_have_count(0)
    panel.get_by_role("button", name="Open the reports of fashion, SGD: 1").click()
    expect(panel.get_by_role("region", name="5 models for kind", exact=True)).to_be_visible()
    expect(panel.get_by_role("rowheader", name="<b>deep</b>")).to_be_visible()
    panel.screenshot(path=screenshots / "report-compared.png")
    assert findings(notebook.page, ".nbkeras-runs") == []
    panel.get_by_role("button", name="Close").click()
    panel.get_by_role("button", name="Open reports of no run: 1").click()
    expect(panel.get_by_role("region", name="Report on probability")).to_be_visible()
    assert complaints() == []
