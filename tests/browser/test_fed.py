"""The view in JupyterLab, fed by a thread in place of Spark (fed.py)."""

import json
import re
from urllib.parse import urlsplit

import pytest
from kernels.versions import each_version
from playwright.sync_api import expect

#: What the button said, also when it is gone before a test can look.
KEEP_WORDS = """() => {
    const button = document.querySelector(".nbkeras-stop");
    window.words = [];
    new MutationObserver(() => window.words.push(button.textContent)).observe(button, {
        childList: true, characterData: true, subtree: true,
    });
}"""

#: The first message that asks for a stop is lost on its way, as JupyterLab may lose it after a reload.
LOSE_STOP = """() => {
    const send = WebSocket.prototype.send;
    window.lost = 0;
    WebSocket.prototype.send = function (data) {
        const words = typeof data === "string" ? data : new TextDecoder().decode(data);
        if (!words.includes('"type":"stop"')) return send.call(this, data);
        window.lost += 1;
        WebSocket.prototype.send = send;
    };
}"""

HISTORY = "import json; print(json.dumps(run.history))"


def history(notebook, cell):
    notebook.run(cell)
    notebook.expect_done(cell)
    return json.loads(notebook.output(cell))


@pytest.mark.soak  # test_spark.py has it with a training
def test_points_grow_while_the_cell_is_busy_and_the_picture_stays(open_notebook, screenshots):
    cells = ["from fed import show", "run = show(holds=(1, 4, 8))", HISTORY]
    notebook = open_notebook("live", cells)
    asked = []
    notebook.page.on("request", lambda request: asked.append(urlsplit(request.url).hostname))
    notebook.run(0)
    notebook.keep_points()
    notebook.run(1)

    seen = []
    for enough in (1, 4, 8):
        notebook.wait_for_points(enough)
        assert notebook.is_busy(1)
        seen.append(notebook.points())
        notebook.chart.screenshot(path=screenshots / "live-light.png")
        (notebook.lab.files / f"seen-{enough}").touch()
    notebook.expect_done(1)

    values = history(notebook, 2)
    assert len(seen[0]["loss"]) < len(seen[1]["loss"]) < len(seen[2]["loss"])
    for points in [*seen, notebook.last_points()]:
        for name, dots in points.items():
            assert [epoch for epoch, _ in dots] == list(range(1, len(dots) + 1))
            assert [value for _, value in dots] == pytest.approx(values[name][: len(dots)], rel=1e-6)
    assert {name: len(dots) for name, dots in notebook.last_points().items()} == dict.fromkeys(values, 12)
    notebook.cells.nth(1).screenshot(path=screenshots / "still-light.png")
    assert "widgets" not in notebook.saved().metadata
    assert set(asked) - {None} == {"127.0.0.1"}  # None: an image within the page
    notebook.open()
    expect(notebook.picture).to_be_visible()
    expect(notebook.picture).to_have_js_property("complete", True)
    assert notebook.picture.evaluate("image => image.naturalWidth > 0")


@each_version
def test_the_stop_button_answers_while_the_cell_is_busy(open_notebook, ipykernel):
    notebook = open_notebook("stop", ["from fed import show", "run = show(1000)", "run.status"], ipykernel)
    notebook.run(0)
    notebook.run(1)
    notebook.wait_for_points(1)

    notebook.page.evaluate(KEEP_WORDS)
    notebook.stop.click()

    notebook.expect_done(1)
    assert "■Stopping…" in notebook.page.evaluate("window.words")
    expect(notebook.chart).to_contain_text(re.compile(r"Stopped after \d+ of 1,000 epochs"))
    notebook.run(2)
    notebook.expect_done(2)
    assert "stopped" in notebook.output(2)


def test_a_background_run_outlives_a_reload_and_can_be_stopped(open_notebook, ipykernel):
    cells = ["from fed import show", "run = show(1000, background=True)", "run.status"]
    notebook = open_notebook("background", cells, ipykernel)
    notebook.run(0)
    notebook.run(1)
    notebook.expect_done(1)
    notebook.wait_for_points(1)
    notebook.saved()

    notebook.open()
    notebook.wait_for_points(3)
    notebook.stop.click()

    expect(notebook.chart).to_contain_text("Stopped after")
    notebook.run(2)
    notebook.expect_done(2)
    assert "stopped" in notebook.output(2)


def test_a_stop_that_is_lost_on_its_way_is_said_again(open_notebook):
    notebook = open_notebook("lost", ["from fed import show", "run = show(1000, background=True)"])
    notebook.run(0)
    notebook.run(1)
    notebook.wait_for_points(1)
    notebook.page.evaluate(LOSE_STOP)

    notebook.stop.click()

    expect(notebook.chart).to_contain_text("Stopped after")
    assert notebook.page.evaluate("window.lost") == 1


@pytest.mark.soak  # above, a run in the background outlives it
def test_a_page_reloaded_while_the_cell_is_busy_shows_the_chart_when_it_has_ended(open_notebook, ipykernel):
    notebook = open_notebook("again", ["from fed import show", "run = show(40, holds=(39,))"], ipykernel)
    notebook.run(0)
    notebook.run(1)
    notebook.wait_for_points(2)
    notebook.saved()

    notebook.open(busy=True)
    notebook.wait_for_connection()
    (notebook.lab.files / "seen-39").touch()

    expect(notebook.chart).to_contain_text("Finished 40 epochs")
    assert notebook.drawn() == 40


@pytest.mark.soak  # test_panel.py opens such a file without a kernel
def test_a_run_that_has_ended_keeps_its_tools_in_the_page_and_a_picture_in_the_file(open_notebook, wait_for):
    notebook = open_notebook("behind", ["from fed import show", "run = show(3, background=True)"])
    notebook.run(0)
    notebook.run(1)

    expect(notebook.chart).to_contain_text("Finished 3 epochs")
    wait_for(lambda: "image/png" in notebook.saved().cells[1].outputs[0].data, "the picture in the file")
    saved = notebook.saved().cells[1].outputs[0].data
    assert set(saved) == {"text/html", "image/png", "text/plain"}
    assert "<script" not in saved["text/html"]
    expect(notebook.chart).to_contain_text("Finished 3 epochs")
    expect(notebook.stop).to_have_count(0)
    notebook.chart.get_by_role("checkbox", name="Log scale").check()
    assert notebook.drawn() == 3
    assert "widgets" not in notebook.saved().metadata
    notebook.open()
    expect(notebook.picture).to_be_visible()
    expect(notebook.chart).to_have_count(0)
    assert "finished 3 epochs" in notebook.output(1)


# As in a training, somebody looks again and again for something new, which is shown at its own pace.
LONG = """
import threading, time
from nbkeras.notebook import hosts
from nbkeras.run.run import Run
run = Run("long", model=None, epochs=3, workers=2)
shown = hosts.display(run)
run.enter("training")
def tell(epoch, *losses):
    for step, loss in enumerate(losses, start=1):
        run.record_progress(epoch, step, 1000, 500.0, 0.001, loss)
def look():
    while not run.done.is_set():
        shown.update()
        time.sleep(0.02)
looks = threading.Thread(target=look, daemon=True)
looks.start()
"""
SO_FAR = """() => [...document.querySelectorAll(".nbkeras-so-far")].map((one) => [
    one.querySelector("path").getAttribute("d").split(/[ML]/).length - 1,
    one.querySelector("title").textContent,
])"""


def test_a_long_epoch_shows_its_loss_as_far_as_it_has_come(open_notebook, wait_for, screenshots):
    cells = [
        LONG,
        "tell(0, 2.3, 2.1, 1.8)",
        "run.record_epoch(0, {'loss': 1.5}, {'learning_rate': 0.001, 'seconds_per_epoch': 2.5}); tell(1)",
        "tell(1, 1.4, 1.2)",
        "run.record_epoch(1, {'loss': 1.1}); run.end('stopped'); looks.join(); shown.finish()",
    ]
    notebook = open_notebook("long", cells)

    def after(cell):
        notebook.run(cell)
        notebook.expect_done(cell)

    def so_far():
        return notebook.read(SO_FAR)

    after(0)
    expect(notebook.chart).to_be_visible()
    assert so_far() == []
    after(1)
    said = "Loss of epoch 1 so far, on the rows of worker 0: 1.8"
    wait_for(lambda: so_far() == [[3, said]], "the losses of the first epoch")
    expect(notebook.page.get_by_role("application", name=f"loss by epoch. {said}")).to_be_visible()
    notebook.chart.screenshot(path=screenshots / "long-first-epoch.png")
    after(2)
    wait_for(lambda: notebook.drawn() == 1 and so_far() == [], "the first epoch")
    after(3)
    said = "Loss of epoch 2 so far, on the rows of worker 0: 1.2"
    wait_for(lambda: so_far() == [[2, said]], "the losses of the second epoch")
    notebook.chart.screenshot(path=screenshots / "long-second-epoch.png")
    # What an epoch took is there for who wants to see it.
    assert set(notebook.points()) == {"loss"}
    notebook.page.get_by_role("button", name="Curves").click()
    notebook.page.get_by_role("checkbox", name="seconds_per_epoch").check()
    assert notebook.points() == {"loss": [[1, 1.5]], "seconds_per_epoch": [[1, 2.5]]}
    after(4)
    wait_for(lambda: notebook.drawn() == 2 and so_far() == [], "the end")


def test_a_screen_reader_finds_words_for_everything(open_notebook):
    notebook = open_notebook("words", ["from fed import show", "run = show(1000)"])
    notebook.run(0)
    notebook.run(1)
    notebook.wait_for_points(2)
    page = notebook.page

    expect(page.get_by_role("group", name="Training digits")).to_be_visible()
    expect(page.get_by_role("progressbar", name="Progress of the training")).to_be_visible()
    expect(page.get_by_role("application", name="loss by epoch. loss ")).to_be_visible()
    expect(page.get_by_role("application", name="accuracy by epoch. accuracy ")).to_be_visible()
    expect(notebook.chart.get_by_role("status")).to_contain_text("Epoch ")
    notebook.stop.focus()
    page.keyboard.press("Enter")
    notebook.expect_done(1)


@pytest.mark.quick
def test_evil_names_are_shown_as_text(open_notebook):
    evil = "<img src=x onerror=window.evil=1>"
    feed = f"from fed import show\nrun = show(1000, name={evil!r})"
    notebook = open_notebook("evil", [feed])
    notebook.run(0)
    notebook.wait_for_points(2)

    assert evil in notebook.chart.inner_text()
    notebook.stop.click()
    notebook.expect_done(0)
    assert evil in notebook.output(0)
    assert notebook.page.evaluate("window.evil") is None


@pytest.mark.parametrize(
    ("theme", "width"),
    [
        ("Dark", 620),
        *(pytest.param(*more, marks=pytest.mark.soak) for more in [("Dark", 1200), ("Light", 620)]),
    ],
)
def test_it_is_readable_in_the_dark_and_in_a_narrow_cell(open_notebook, screenshots, theme, width):
    notebook = open_notebook(theme, ["from fed import show", "run = show(1000)"], size=(width, 900))
    notebook.set_theme(theme)
    notebook.run(0)
    notebook.run(1)
    notebook.wait_for_points(6)

    notebook.cells.nth(1).screenshot(path=screenshots / f"live-{theme}-{width}.png")
    overflow = notebook.chart.evaluate("root => root.scrollWidth - root.clientWidth")
    notebook.stop.click()
    notebook.expect_done(1)
    notebook.cells.nth(1).screenshot(path=screenshots / f"still-{theme}-{width}.png")

    assert overflow <= 0
