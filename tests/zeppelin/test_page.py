"""What Zeppelin tells a page, in a browser; see page/index.html for what stands in for its front end."""

from __future__ import annotations

import contextlib

import pytest
from playwright import sync_api as playwright
from waiting import LIMIT
from zeppelin.test_training import Held, cell

# An output that is empty or gone between two charts would flicker and make the page jump.
WATCH = """() => {
    window.seen = [];
    new MutationObserver(() => {
        const chart = document.querySelector("section figure img");
        window.seen.push(chart ? [chart.width > 0, chart.closest(".output").offsetHeight] : null);
    }).observe(document.body, { childList: true, subtree: true });
}"""


@pytest.fixture
def open_page(zeppelin, browser):
    """Open a note in the browser."""
    with contextlib.ExitStack() as stack:

        def open_page(note):
            page = browser.new_page(viewport={"width": 900, "height": 900}, reduced_motion="reduce")
            page.set_default_timeout(1000 * LIMIT)
            stack.callback(page.close)
            page.goto(f"http://127.0.0.1:{zeppelin.port}/#{note.id}")
            playwright.expect(page.locator("section").first).to_be_attached()
            return page

        yield open_page


def test_the_chart_grows_in_its_place_while_the_paragraph_runs(zeppelin, open_page, tmp_path, screenshots):
    held = Held(tmp_path)
    fit = "history = model.fit(x, y, epochs=20, validation_split=0.2, callbacks=[held])"
    note = zeppelin.note(cell(f"{held.code}\n{fit}", "--name digits --workers 1"))
    page = open_page(note)
    page.evaluate(WATCH)
    chart = page.locator("section figure img")
    pictures = set()

    def has_seen(charts, epoch):
        if chart.count():
            pictures.add(chart.get_attribute("src"))
        if len(pictures) < charts or not page.locator("progress").evaluate("bar => bar.value"):
            return False
        page.screenshot(path=screenshots / f"zeppelin-live-{charts}.png")
        assert note.status(0) == "RUNNING"
        return True

    note.start(0)
    held.go_on(has_seen)
    playwright.expect(page.locator(".text").filter(has_text="<told> 1")).to_be_visible()

    playwright.expect(page.get_by_text("finished 20 epochs")).to_be_visible()
    page.screenshot(path=screenshots / "zeppelin-still.png")
    seen = page.evaluate("window.seen")
    drawn = seen[next(index for index, one in enumerate(seen) if one) :]
    assert all(drawn), "once there, the chart is there at every moment"
    page.reload()
    playwright.expect(page.locator("section figure img")).to_be_visible()


def test_a_dashboard_is_live_while_the_training_paragraph_shows_nothing(
    zeppelin, open_page, tmp_path, screenshots
):
    held = Held(tmp_path)
    note = zeppelin.note(
        "%python.ipython\n%keras_spark dashboard",
        cell(
            f"{held.code}\nhistory = model.fit(x, y, epochs=20, callbacks=[held])",
            "--name digits --workers 1",
        ),
    )
    assert note.run(0)["code"] == "SUCCESS"
    page = open_page(note)
    board = page.locator("section").first
    playwright.expect(board).to_contain_text("The next training of this note is shown here.")

    pictures = set()

    def has_seen(charts, epoch):
        # Whatever the phase is called: a paused training has its chart too.
        if board.locator("img").count():
            pictures.add(board.locator("img").get_attribute("src"))
        return len(pictures) >= charts

    note.start(1)
    held.go_on(has_seen)  # it cannot have ended before
    board.screenshot(path=screenshots / "zeppelin-dashboard.png")
    playwright.expect(board).to_contain_text("Finished 20 epochs")
    assert board.locator("img").evaluate("image => image.naturalWidth") > 400
