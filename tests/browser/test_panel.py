"""The panel in JupyterLab: what steers a run, the tools of its charts, files of them, a run shown twice."""

from __future__ import annotations

import csv
import io
import json
import re
import struct
from pathlib import Path
from textwrap import dedent
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from browser.accessibility import findings
from kernels.versions import each_version, oldest_version
from playwright.sync_api import expect

BACKGROUND = ["from fed import show\nimport nbkeras", "run = show(1000, background=True)"]
STATE = "import json; print(json.dumps([run.status, run.pausing.is_set(), run.snapshot().learning_rate]))"
DONE = "run.stop(); run.wait(); print(run.status)"
HISTORY = "import json; print(json.dumps(run.history))"
MARKS = """() => [...document.querySelectorAll(".nbkeras-chart")].map((chart) => [
    [...chart.querySelectorAll(".nbkeras-mark line")].map((line) => +line.getAttribute("x1")),
    chart.querySelector(".nbkeras-values").innerText,
])"""
#: The y at which a curve is drawn, from its first point to its last.
HEIGHTS = """(name) => document.querySelector(`[data-curve="${name}"] .nbkeras-line`).getAttribute("d")
    .split(/[ML]/).slice(1).map((point) => +point.split(" ")[1])"""


class Panel:
    """What a person finds in the panel."""

    def __init__(self, root) -> None:
        self.root = root
        self.stop = root.get_by_role("button", name="Stop", exact=True)
        self.pause = root.get_by_role("button", name="Pause", exact=True)
        self.resume = root.get_by_role("button", name="Resume", exact=True)
        self.rate = root.get_by_role("textbox", name="Learning rate")
        self.log = root.get_by_role("checkbox", name="Log scale")
        self.smoothing = root.get_by_role("slider", name="Smoothing")
        self.curves = root.get_by_role("button", name="Curves")
        self.loss = root.get_by_role("application", name="loss by epoch.")
        self.phase = root.locator(".nbkeras-phase")

    def set_rate(self, typed: str) -> None:
        self.rate.fill(typed)
        self.rate.press("Enter")

    def smooth(self, weight: float) -> None:
        self.smoothing.fill(str(weight))
        # The page says it when it has redrawn, in the next frame.
        expect(self.root.locator(".nbkeras-weight")).to_have_text(f"{weight:.2f}")


def asked(notebook, cell):
    notebook.run(cell)
    notebook.expect_done(cell)
    return notebook.output(cell).strip()


@pytest.fixture
def begin(open_notebook):
    """Open a notebook, run its first two cells, and wait for points on the chart."""

    def begin(name, cells, *kernel, points=3, **page):
        notebook = open_notebook(name, cells, *kernel, **page)
        notebook.run(0)
        notebook.expect_done(0)
        notebook.run(1)
        notebook.wait_for_points(points)
        return notebook, Panel(notebook.chart.first)

    return begin


@pytest.fixture
def ended(open_notebook):
    """A run of some epochs that has ended, with its panel."""

    def ended(name, code="run = show(12, pause=0.002)", last="", **page):
        cells = ["from fed import show\nimport nbkeras", code, HISTORY, last]
        notebook = open_notebook(name, cells, **page)
        for cell in range(2):
            notebook.run(cell)
            notebook.expect_done(cell)
        panel = Panel(notebook.chart.first)
        expect(panel.phase).to_contain_text("Finished")
        expect(panel.loss).to_be_visible()
        return notebook, panel

    return ended


# -- steering ------------------------------------------------------------------------------------------


def test_a_run_in_the_background_is_paused_goes_on_and_takes_another_rate(begin, ipykernel):
    notebook, panel = begin("steer", [*BACKGROUND, STATE, DONE], ipykernel)
    expect(panel.rate).to_have_value("0.001")

    panel.pause.click()
    expect(panel.phase).to_contain_text("Paused in epoch")
    expect(panel.resume).to_be_visible()
    before = notebook.drawn()
    panel.set_rate("0.00025")
    expect(panel.root).to_contain_text("The workers take this learning rate with their next batch.")
    assert asked(notebook, 2) == '["paused", true, 0.001]'
    assert notebook.drawn() == before

    panel.resume.click()
    expect(panel.pause).to_be_visible()
    expect(panel.phase).to_contain_text("batch")
    notebook.wait_for_points(before + 1)
    expect(panel.root).to_contain_text("learning rate 0.001 -> 0.00025")
    expect(panel.root).not_to_contain_text("The workers take this")
    expect(panel.rate).to_have_value("0.00025")
    assert asked(notebook, 3) == "stopped"


@each_version
def test_a_busy_cell_is_steered_where_the_kernel_hears_it(begin, ipykernel):
    notebook, panel = begin("busy", ["from fed import show", "run = show(1000)", STATE], ipykernel)

    panel.pause.click()
    if ipykernel[0].startswith("6."):
        expect(panel.root).to_contain_text("This kernel hears it only when the cell has ended")
        expect(panel.root.get_by_role("button", name="Pausing…")).to_be_visible()
        panel.set_rate("0.0005")
        expect(panel.rate).to_have_value("0.0005")
    else:
        expect(panel.phase).to_contain_text("Paused in epoch")
        assert notebook.is_busy(1)
        expect(panel.root).not_to_contain_text("This kernel hears it only")
        panel.set_rate("none")
        expect(panel.root.get_by_role("alert")).to_contain_text("learning rate 'none'")
        expect(panel.rate).to_have_value("none")
        panel.set_rate("0.0005")
        expect(panel.root).to_contain_text("The workers take this learning rate")
        expect(panel.root.get_by_role("alert")).to_have_count(0)
        before = notebook.drawn()
        panel.resume.click()
        expect(panel.root).to_contain_text("learning rate 0.001 -> 0.0005")
        notebook.wait_for_points(before + 1)
    panel.stop.click()
    notebook.expect_done(1)
    assert json.loads(asked(notebook, 2))[0] == "stopped"


def test_a_paused_cell_can_be_stopped(begin):
    notebook, panel = begin("paused", ["from fed import show", "run = show(1000)", STATE])
    panel.pause.click()
    expect(panel.phase).to_contain_text("Paused in epoch")

    panel.stop.click()

    notebook.expect_done(1)
    assert json.loads(asked(notebook, 2))[0] == "stopped"


def test_a_kernel_that_is_restarted_takes_its_run_along_and_the_panel_says_so(begin):
    notebook, panel = begin("restarted", BACKGROUND)
    notebook.restart_kernel()
    expect(panel.phase).to_contain_text("The kernel ended or was restarted, with it the training in")
    expect(panel.stop).to_be_hidden()
    expect(panel.rate).to_be_hidden()
    expect(panel.root.locator(".nbkeras-clock")).to_be_empty()
    expect(panel.loss).to_be_visible()


def test_a_rate_that_cannot_be_says_so_at_the_field_and_stays_there(begin, screenshots):
    notebook, panel = begin("rate", [*BACKGROUND, STATE, DONE])

    panel.set_rate("fast")

    expect(panel.root.get_by_role("alert")).to_have_text(
        "learning rate 'fast' is no positive number: type one such as 0.001"
    )
    expect(panel.rate).to_have_value("fast")
    expect(panel.rate).to_have_attribute("aria-invalid", "true")
    assert panel.rate.evaluate(
        "field => document.getElementById(field.getAttribute('aria-describedby')).role"
    )
    panel.root.screenshot(path=screenshots / "panel-rate-refused.png")
    assert json.loads(asked(notebook, 2))[2] == 0.001
    panel.rate.press("Escape")
    expect(panel.rate).to_have_value("0.001")
    expect(panel.root.get_by_role("alert")).to_have_count(0)
    asked(notebook, 3)


def test_a_rate_that_changes_while_it_is_selected_is_typed_over_whole(begin):
    lowers = """
    import threading
    from fed import hold
    threading.Thread(target=lambda: (hold("lower"), run.set_learning_rate(0.0005)), daemon=True).start()
    """
    notebook, panel = begin("selected", [*BACKGROUND, dedent(lowers), STATE, DONE])
    asked(notebook, 2)

    panel.rate.focus()
    panel.rate.press("Control+a")
    (notebook.lab.files / "seen-lower").touch()
    expect(panel.rate).to_have_value("0.0005")
    panel.rate.press_sequentially("0.004")
    panel.rate.press("Enter")
    expect(panel.root).to_contain_text("learning rate 0.0005 -> 0.004")
    assert json.loads(asked(notebook, 3))[2] == 0.004
    asked(notebook, 4)


@oldest_version
def test_another_cell_that_keeps_the_kernel_busy_is_named(begin, ipykernel):
    busy = "import threading; threading.Event().wait()"
    notebook, panel = begin("queue", [*BACKGROUND, busy, DONE], ipykernel)
    notebook.run(2)

    panel.pause.click()

    expect(panel.root).to_contain_text("The kernel is busy with another cell, which comes first.")
    notebook.page.evaluate("jupyterapp.commands.execute('notebook:interrupt-kernel')")
    notebook.expect_done(2)
    expect(panel.phase).to_contain_text("Paused in epoch")
    expect(panel.root).not_to_contain_text("The kernel is busy")
    asked(notebook, 3)


# -- the tools of the charts ---------------------------------------------------------------------------

CURVES = """
from nbkeras.run.run import Run
run = Run("numbers", model=None, epochs=6, workers=1)
for epoch, loss in enumerate([1000.0, 100.0, 10.0, 1.0, -1.0, 0.1]):
    run.record_epoch(epoch, {"loss": loss, "val_loss": loss + 0.05, "auc": 0.5, "mae": 3.0})
run.end("finished")
nbkeras.show(run)
"""


def test_a_log_scale_makes_powers_of_ten_equal_steps_and_names_what_it_leaves_out(ended):
    notebook, panel = ended("log", CURVES)
    expect(panel.root).not_to_contain_text("log scale.")

    panel.log.check()

    expect(panel.root).to_contain_text("2 values of 0 or less have no place on a log scale.")
    heights = notebook.read(HEIGHTS, "loss")
    steps = np.diff(heights)
    assert len(heights) == 5
    assert steps[:3] == pytest.approx([steps[0]] * 3, abs=0.2)
    assert [epoch for epoch, _ in notebook.points()["loss"]] == [1, 2, 3, 4, 6]
    panel.log.uncheck()
    expect(panel.root).not_to_contain_text("log scale.")
    assert len(notebook.read(HEIGHTS, "loss")) == 6


def test_smoothing_is_the_average_without_its_bias_and_keeps_what_was_measured(ended):
    notebook, panel = ended("smooth", CURVES)

    panel.smooth(0.6)

    values, average, wanted = [1000.0, 100.0, 10.0, 1.0, -1.0, 0.1], 0.0, []
    for count, value in enumerate(values, start=1):
        average = 0.6 * average + 0.4 * value
        wanted.append(average / (1 - 0.6**count))
    panel.loss.focus()
    for at, value in enumerate(wanted):
        notebook.page.keyboard.press("Home" if not at else "ArrowRight")
        box = panel.loss.locator(".nbkeras-values").inner_text()
        shown, measured = re.search(r"train ([-\d.,]+) \(([-\d.,]+) measured\)", box).groups()
        assert float(shown.replace(",", "")) == pytest.approx(value, rel=5e-3)
        assert float(measured.replace(",", "")) == pytest.approx(values[at])
    assert [value for _, value in notebook.points()["loss"]] == pytest.approx(values)


def test_curves_are_hidden_and_shown_and_the_page_keeps_it(ended):
    notebook, panel = ended("hide", CURVES, last="nbkeras.show(run)")
    panel.curves.press("Enter")
    expect(panel.curves).to_have_attribute("aria-expanded", "true")

    panel.root.get_by_role("checkbox", name="auc").uncheck()
    panel.log.check()

    assert set(notebook.points()) == {"loss", "val_loss", "mae"}
    notebook.run(3)
    notebook.expect_done(3)
    again = Panel(notebook.chart.nth(1))
    expect(again.loss).to_be_visible()
    expect(again.log).to_be_checked()
    expect(again.root.locator("figure")).to_have_count(2)
    for name in ("loss", "mae"):
        panel.root.get_by_role("checkbox", name=name).uncheck()
    expect(panel.root).to_contain_text("All curves are hidden")
    expect(panel.root.get_by_role("button", name="Download CSV")).to_be_disabled()
    panel.root.get_by_role("checkbox", name="auc").check()
    expect(panel.root.locator("figure")).to_have_count(1)


def test_the_pointer_marks_an_epoch_in_all_charts_and_reads_it(ended, screenshots):
    notebook, panel = ended("pointer")
    values = json.loads(asked(notebook, 2))
    dot = panel.loss.locator("circle[data-epoch='5']").first
    dot.scroll_into_view_if_needed()

    dot.hover(force=True)

    expect(panel.loss.locator(".nbkeras-values")).to_contain_text("epoch 5")
    marks = notebook.read(MARKS)
    assert len(marks) == 2
    assert marks[0][0] == marks[1][0] != []
    for (_, words), metric in zip(marks, ("loss", "accuracy"), strict=True):
        assert "epoch 5" in words
        for name, label in ((metric, "train"), (f"val_{metric}", "val")):
            shown = float(re.search(rf"{label} ([\d.]+)", words)[1])
            assert shown == pytest.approx(values[name][4], rel=1e-3)
    panel.root.screenshot(path=screenshots / "panel-pointer.png")
    panel.phase.hover()
    assert [mark for mark, _ in notebook.read(MARKS)] == [[], []]


def test_keys_walk_through_the_epochs_and_a_screen_reader_hears_them(ended):
    notebook, panel = ended("keys")
    values = json.loads(asked(notebook, 2))
    said = panel.root.locator("[aria-live=polite].nbkeras-said")
    heard = {}

    panel.loss.focus()
    for key, epoch in [("Home", 1), ("ArrowLeft", 1), ("ArrowRight", 2), ("End", 12), ("ArrowLeft", 11)]:
        notebook.page.keyboard.press(key)
        heard[epoch] = said.inner_text()
        assert heard[epoch].startswith(f"epoch {epoch}, ")
        loss = float(re.search(r", loss ([\d.]+)", heard[epoch])[1])
        assert loss == pytest.approx(values["loss"][epoch - 1], rel=1e-3)
        assert "val_loss" in heard[epoch]
    assert len(notebook.read(MARKS)[1][0]) == 1
    notebook.page.keyboard.press("Escape")
    assert [mark for mark, _ in notebook.read(MARKS)] == [[], []]


def test_a_long_run_is_read_at_the_points_there_are(ended):
    code = CURVES.replace("epochs=6", "epochs=5000").replace(
        "[1000.0, 100.0, 10.0, 1.0, -1.0, 0.1]", "[1 / (1 + at % 97) for at in range(5000)]"
    )
    notebook, panel = ended("long", code)

    panel.loss.focus()
    notebook.page.keyboard.press("End")

    box = panel.loss.locator(".nbkeras-values")
    expect(box).to_contain_text("epoch 5,000")
    expect(box).to_contain_text(f"train {1 / (1 + 4999 % 97):.4g}")


# -- files ---------------------------------------------------------------------------------------------


def fetched(panel, wanted):
    with panel.root.page.expect_download() as download:
        panel.root.get_by_role("button", name=f"Download {wanted}").click()
    return download.value.suggested_filename, Path(download.value.path()).read_bytes()


def test_a_csv_file_has_every_value_of_the_history(ended):
    notebook, panel = ended("csv", "run = show(12, pause=0.002, name='my digits/3')")
    values = json.loads(asked(notebook, 2))

    name, content = fetched(panel, "CSV")

    assert name == "my-digits-3.csv"
    rows = list(csv.DictReader(io.StringIO(content.decode())))
    assert [int(row["epoch"]) for row in rows] == list(range(1, 13))
    assert set(rows[0]) == {"epoch", *values}
    for metric, expected in values.items():
        assert [np.float32(row[metric]) for row in rows] == [np.float32(value) for value in expected]
        assert all(row[metric] == str(np.float32(row[metric])) for row in rows)  # no digit too many


def test_names_are_data_in_the_page_and_in_files(ended):
    name, metric = "</script><b>\x01/../", '<img src=x onerror=window.evil=1>,"&\x01'
    code = CURVES.replace('"numbers"', repr(name)).replace('"mae"', repr(metric))
    notebook, panel = ended("evilfile", code)

    _, table = fetched(panel, "CSV")
    file, drawing = fetched(panel, "SVG")

    assert next(csv.reader(io.StringIO(table.decode())))[-1] == metric
    assert file == "script-b.svg"
    root = ET.fromstring(drawing)  # noqa: S314  # our own
    assert any((one.text or "").startswith('<img src=x onerror=window.evil=1>,"&') for one in root.iter())
    panel.curves.click()
    expect(panel.root.get_by_role("checkbox", name="<img src=x")).to_be_checked()
    assert notebook.page.evaluate("window.evil") is None


def test_an_svg_file_stands_for_itself_and_a_png_is_twice_as_sharp(ended, screenshots):
    _, panel = ended("files")
    panel.smooth(0.5)

    name, drawing = fetched(panel, "SVG")
    image_name, image = fetched(panel, "PNG")

    assert (name, image_name) == ("digits.svg", "digits.png")
    root = ET.fromstring(drawing)  # noqa: S314  # our own
    texts = [one.text for one in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"loss", "accuracy", "epoch"} <= set(texts)
    curves = [one.get("data-curve") for one in root.iter("{http://www.w3.org/2000/svg}g")]
    assert {"loss", "val_loss", "accuracy", "val_accuracy"} <= set(curves)
    assert b"var(" not in drawing
    assert all(one.get("fill") for one in root.iter("{http://www.w3.org/2000/svg}text"))
    assert image[:8] == b"\x89PNG\r\n\x1a\n"
    size = struct.unpack(">II", image[16:24])
    assert size == (2 * int(root.get("width")), 2 * int(root.get("height")))
    (screenshots / "panel-file.png").write_bytes(image)


def test_a_running_chart_is_saved_without_the_kernel(begin):
    notebook, panel = begin("offline", ["from fed import show", "run = show(1000)"])
    assert notebook.is_busy(1)

    _, content = fetched(panel, "CSV")

    assert len(content.splitlines()) > 3
    panel.stop.click()
    notebook.expect_done(1)


# -- a run shown again ---------------------------------------------------------------------------------


@pytest.mark.soak  # the next shows one twice; test_fed.py steers one in a page that was opened again
def test_a_run_shown_twice_is_live_and_can_be_steered_in_both(begin, ipykernel):
    cells = [*BACKGROUND, "nbkeras.show(run)", "run"]
    notebook, first = begin("twice", cells, ipykernel)
    notebook.run(2)
    notebook.expect_done(2)
    second = Panel(notebook.chart.nth(1))
    expect(second.loss).to_be_visible()
    notebook.saved()

    notebook.open()
    expect(first.loss).to_be_visible()
    expect(second.loss).to_be_visible()
    second.pause.click()
    for panel in (first, second):
        expect(panel.phase).to_contain_text("Paused in epoch")
    first.resume.click()
    for panel in (first, second):
        expect(panel.pause).to_be_visible()
        expect(panel.phase).to_contain_text("batch")
    counts = [notebook.drawn(panel.root) for panel in (first, second)]
    for panel, before in zip((first, second), counts, strict=True):
        notebook.wait_for_points(before + 1, panel.root)
    assert "<Run 'digits': running" in asked(notebook, 3)
    second.stop.click()
    for panel in (first, second):
        expect(panel.phase).to_contain_text("Stopped after")


def test_both_views_stay_in_the_page_and_are_a_picture_each_in_the_file(begin, wait_for):
    notebook, first = begin("pictures", [*BACKGROUND, "nbkeras.show(run)", DONE])
    notebook.run(2)
    notebook.expect_done(2)
    expect(notebook.chart).to_have_count(2)

    first.stop.click()

    expect(notebook.chart.locator(".nbkeras-phase", has_text="Stopped after")).to_have_count(2)
    asked(notebook, 3)

    def pictures():
        outputs = [notebook.saved().cells[cell].outputs[0] for cell in (1, 2)]
        return all("image/png" in output.data for output in outputs)

    wait_for(pictures, "a picture of each in the file")
    assert "widgets" not in notebook.saved().metadata
    assert notebook.chart.count() == 2
    notebook.open()
    expect(notebook.picture).to_have_count(2)
    expect(notebook.chart).to_have_count(0)


def test_a_run_that_has_ended_keeps_its_tools_in_the_opened_file_without_a_kernel(ended, lab):
    notebook, panel = ended("again", last="nbkeras.show(run)")
    panel.log.check()
    notebook.run(3)
    notebook.expect_done(3)
    saved = notebook.saved()
    assert "widgets" not in saved.metadata
    assert set(saved.cells[3].outputs[0].data) == {"text/html", "image/png", "text/plain"}
    assert len(json.dumps(saved.cells[3])) < 120_000
    lab.end_kernels()

    notebook.open(busy=True)

    expect(panel.loss).to_be_visible()
    expect(panel.log).to_be_checked()
    expect(panel.stop).to_have_count(0)
    assert notebook.drawn() == 12
    assert notebook.output(1)  # the picture of the cell that trained


# -- for everyone --------------------------------------------------------------------------------------


CUT = """root => [...root.querySelectorAll("button, input, p, span, li, strong, svg")].filter((one) => {
    if (!one.checkVisibility() || one.closest(".nbkeras-said")) return false;
    const {left, right} = one.getBoundingClientRect(), all = root.getBoundingClientRect();
    return left < all.left - 1 || right > all.right + 1;
}).map((one) => one.outerHTML.slice(0, 200))"""
FITS = """() => [...document.querySelectorAll(".nbkeras figure")].every((figure) =>
    figure.querySelector("svg").width.baseVal.value === Math.max(180, figure.clientWidth))"""


def faults(notebook, panel, picture):
    """What cannot be seen or reached in a page of this size, also with a wish that is refused."""
    panel.rate.fill("0.01")
    panel.loss.focus()
    notebook.page.keyboard.press("Home")
    found = findings(notebook.page, ".nbkeras")
    panel.root.screenshot(path=picture)
    found += panel.root.evaluate(CUT)
    if (overflow := panel.root.evaluate("root => root.scrollWidth - root.clientWidth")) > 0:
        found.append(f"{overflow} pixels too wide")
    panel.set_rate("fast")
    expect(panel.root.get_by_role("alert")).to_contain_text("'fast'")
    found += findings(notebook.page, ".nbkeras")
    panel.rate.press("Escape")
    expect(panel.root.get_by_role("alert")).to_have_count(0)
    return found


@pytest.mark.parametrize(
    ("theme", "scale"),
    [
        ("Dark", 1),
        *(pytest.param(*more, marks=pytest.mark.soak) for more in [("Light", 1), ("Dark", 2), ("Light", 2)]),
    ],
)
def test_all_can_be_seen_and_reached(begin, screenshots, theme, scale):
    widths = (1440, 770, 560) if scale == 1 else (720,)
    kind = {} if scale == 1 else {"device_scale_factor": scale}
    notebook, panel = begin(theme, BACKGROUND, points=8, **kind)
    notebook.set_theme(theme)
    panel.pause.click()
    expect(panel.phase).to_contain_text("Paused in epoch")
    panel.curves.click()

    found = {}
    for width in widths:
        notebook.resize(width)
        notebook.page.wait_for_function(FITS)
        found[width] = faults(notebook, panel, screenshots / f"panel-{theme}-{width}-{scale}.png")

    assert notebook.page.evaluate("devicePixelRatio") == scale
    assert found == {width: [] for width in widths}


@pytest.mark.soak  # a page and a kernel of its own; test_words.py and test_spoken.py have the words
def test_it_speaks_the_language_of_the_browser(begin, screenshots):
    cells = ["from fed import show", "run = show(1000, background=True)"]
    _, panel = begin("chinese", cells, fresh=True, locale="zh-CN")
    panel.root.screenshot(path=screenshots / "panel-chinese.png")
    panel.root.get_by_role("button", name="暂停", exact=True).click()
    expect(panel.phase).to_contain_text("各工作进程等待")
    panel.root.get_by_role("button", name="停止", exact=True).click()
    expect(panel.phase).to_contain_text("轮 后停止")
