"""What Zeppelin tells a page, in a browser; see page/index.html for what stands in for its front end."""

from __future__ import annotations

import contextlib

import pytest
from zeppelin.test_training import cell

playwright = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.timeout(600)

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
            page = browser.new_page(viewport={"width": 900, "height": 900})
            page.set_default_timeout(60_000)
            stack.callback(page.close)
            page.goto(f"http://127.0.0.1:{zeppelin.port}/#{note.id}")
            playwright.expect(page.locator("section").first).to_be_attached()
            return page

        yield open_page


def test_the_chart_grows_in_its_place_while_the_paragraph_runs(zeppelin, open_page, wait_for, screenshots):
    told = 'keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: print("told", epoch))'
    fit = f"history = model.fit(x, y, epochs=150, validation_split=0.2, callbacks=[{told}])"
    note = zeppelin.note(cell(fit, "--name digits"))
    page = open_page(note)
    page.evaluate(WATCH)
    chart = page.locator("section figure img")

    note.start(0)
    playwright.expect(chart).to_be_visible(timeout=60_000)
    pictures = {chart.get_attribute("src")}
    page.screenshot(path=screenshots / "zeppelin-live-1.png")
    wait_for(lambda: pictures.add(chart.get_attribute("src")) or len(pictures) > 3, "the chart to grow")
    page.screenshot(path=screenshots / "zeppelin-live-2.png")
    assert note.status(0) == "RUNNING"
    assert page.locator("progress").evaluate("bar => bar.value") > 0
    playwright.expect(page.locator(".text").filter(has_text="told 1")).to_be_visible()

    playwright.expect(page.get_by_text("finished 150 epochs")).to_be_visible(timeout=200_000)
    page.screenshot(path=screenshots / "zeppelin-still.png")
    seen = page.evaluate("window.seen")
    drawn = seen[next(index for index, one in enumerate(seen) if one) :]
    assert all(drawn), "once there, the chart is there at every moment"
    page.reload()
    playwright.expect(page.locator("section figure img")).to_be_visible()


def test_a_dashboard_is_live_while_the_training_paragraph_shows_nothing(
    zeppelin, open_page, wait_for, screenshots
):
    note = zeppelin.note(
        "%python.ipython\n%keras_spark dashboard",
        cell("history = model.fit(x, y, epochs=100)", "--name digits"),
    )
    assert note.run(0)["code"] == "SUCCESS"
    page = open_page(note)
    board = page.locator("section").first
    playwright.expect(board).to_contain_text("The next training of this note is shown here.")

    note.start(1)
    playwright.expect(board).to_contain_text("Epoch", timeout=60_000)
    pictures = set()
    wait_for(
        lambda: pictures.add(board.locator("img").get_attribute("src")) or len(pictures) > 3, "it to grow"
    )
    assert note.status(1) == "RUNNING"
    board.screenshot(path=screenshots / "zeppelin-dashboard.png")
    playwright.expect(board).to_contain_text("Finished 100 epochs", timeout=200_000)
    assert board.locator("img").evaluate("image => image.naturalWidth") > 400
