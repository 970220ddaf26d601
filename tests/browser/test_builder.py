"""The builder in JupyterLab: a network by clicks and by keys, and the cell that it becomes."""

from __future__ import annotations

import re

import pytest
from browser.accessibility import findings
from playwright.sync_api import expect

DATA = """
import nbkeras, pandas as pd
from sklearn.datasets import load_digits
spark = nbkeras.local_spark()
digits = load_digits()
rows = pd.DataFrame({"features": (digits.data / 16).tolist(), "label": digits.target}).head(100)
train_df = spark.createDataFrame(rows)
%load_ext nbkeras
"""


MODEL = """
import keras
L = keras.layers
mine = keras.Sequential([keras.Input((8, 8, 1)), L.Conv2D(4, 3), L.Flatten(), L.Dense(10, "softmax")])
fork = keras.Input((64,))
branched = keras.Model(fork, keras.layers.add([fork, keras.layers.Dense(64)(fork)]))
"""


class Built:
    """A builder that is open in a notebook."""

    def __init__(self, notebook) -> None:
        self.notebook = notebook
        self.panel = notebook.page.get_by_role("region", name="Build a network")
        self.code = self.panel.locator("pre code")
        self.alert = self.panel.get_by_role("alert")
        self.layers = self.panel.get_by_role("list", name="Layers")

    def choose(self, label: str, option: str) -> None:
        self.panel.get_by_label(label).select_option(option)

    def type(self, label: str, value: str) -> None:
        field = self.panel.get_by_label(label)
        field.fill(value)
        field.press("Enter")

    def button(self, name: str):
        return self.panel.get_by_role("button", name=name, exact=True)

    def press(self, name: str) -> None:
        self.button(name).click()

    def kinds(self) -> list[str]:
        return self.layers.locator("strong").all_inner_texts()


@pytest.fixture
def build(open_notebook):
    def build(name: str, *more: str, last: str = "", size=(1500, 1300), fresh=False) -> Built:
        setup = DATA + "".join(more)
        cells = [setup, "%keras_spark build train_df", "%keras_spark runs", "%keras_spark export", last]
        notebook = open_notebook(name, cells, size=size, fresh=fresh)
        notebook.run(0)
        notebook.expect_done(0)
        notebook.run(1)
        built = Built(notebook)
        expect(built.panel).to_be_visible()
        return built

    return build


def choose_a_network(built, screenshots):
    built.choose("Start from", "CNN")
    expect(built.code).to_contain_text("keras.layers.Conv2D(32, 3")
    built.choose("Another layer", "BatchNormalization")
    built.press("Add")
    expect(built.code).to_contain_text("keras.layers.BatchNormalization()")
    for number in (6, 5, 4):
        built.button(f"Move layer {number + 1}, BatchNormalization, up").press("Enter")
        expect(built.button(f"Move layer {number}, BatchNormalization, up")).to_be_focused()
    built.press("Conv2D 32, 3, same, relu")
    built.type("filters", "many")
    expect(built.alert).to_have_text("filters='many': use a whole number from 1")
    expect(built.button("Train")).to_be_disabled()
    built.panel.screenshot(path=screenshots / "builder-wrong.png")
    built.type("filters", "8")
    expect(built.alert).to_have_count(0)


def steer(chart, notebook, screenshots):
    """Lower the learning rate, pause, go on, stop."""
    notebook.wait_for_points(2)
    rate = chart.get_by_role("textbox", name="Learning rate")
    rate.fill("0.0001")
    rate.press("Enter")
    expect(chart).to_contain_text("learning rate 0.001 -> 0.0001 from epoch")
    chart.get_by_role("button", name="Pause", exact=True).click()
    expect(chart.locator(".nbkeras-phase")).to_contain_text("Paused in epoch")
    notebook.cells.nth(1).screenshot(path=screenshots / "builder-paused.png")
    reached = notebook.drawn()
    chart.get_by_role("button", name="Resume", exact=True).click()
    notebook.wait_for_points(reached + 1)
    chart.get_by_role("button", name="Stop", exact=True).click()
    expect(chart).to_contain_text("Stopped after")


def compare(notebook, cell, screenshots):
    notebook.run(cell)
    runs = notebook.page.get_by_role("region", name="Runs", exact=True).first
    for name in ("run 1", "run 2"):
        runs.get_by_role("checkbox", name=f"Compare {name}", exact=True).check()
    settings = runs.get_by_role("region", name="Settings that differ")
    expect(settings).to_contain_text("SGD")
    expect(settings).to_contain_text("Adam")
    notebook.cells.nth(cell).screenshot(path=screenshots / "builder-compared.png")


def test_a_network_is_built_trained_steered_compared_and_exported_by_clicks_alone(
    build, complaints, screenshots
):
    built = build("builder", fresh=True)
    notebook = built.notebook
    complaints(notebook.page)
    choose_a_network(built, screenshots)
    built.type("Epochs", "5000")
    expect(built.code).to_contain_text("epochs=5000")
    built.panel.screenshot(path=screenshots / "builder-light.png")
    built.press("Train")
    steer(notebook.chart.first, notebook, screenshots)

    built.choose("Optimizer", "SGD")
    built.type("Epochs", "2")
    built.type("Workers", "2")
    expect(built.code).to_contain_text("epochs=2,")
    built.press("Train")
    expect(notebook.chart).to_contain_text("Finished 2 epochs")
    notebook.cells.nth(1).screenshot(path=screenshots / "builder-trained.png")
    compare(notebook, 2, screenshots)

    notebook.run(3)
    expect(notebook.cells).to_have_count(6)
    cell = notebook.cells.nth(4).locator(".cm-content").inner_text()
    assert cell.startswith("%%keras_spark --workers 2\nimport keras")
    notebook.run(4)
    notebook.expect_done(4)
    expect(notebook.cells.nth(4).locator(".nbkeras")).to_contain_text("Finished 2 epochs")
    assert complaints() == []


#: Does so many sequences of some actions, each on anything that is there, and waits for a frame between them.
FUZZ = """async ([sequences, seed]) => {
    let state = seed;
    const random = (n) => (state = (state * 48271) % 2147483647) % n;
    const pick = (all) => all[random(all.length)];
    const typed = ["", "0", "3", "-1", "1e9", "3, 3", "NaN", "relu", "<b>", "99999999999999999999"];
    const kinds = "button, select, input, summary, [role=application], li[draggable]";
    let done = 0;
    for (let i = 0; i < sequences; i++) {
        for (let j = 0; j <= random(5); j++) {
            const one = pick([...document.querySelectorAll(".nbkeras-builder, .nbkeras, .nbkeras-runs")]
                .flatMap((root) => [...root.querySelectorAll(kinds)]).filter((one) => !one.disabled));
            if (one.tagName === "SELECT") {
                one.value = pick([...one.options]).value;
                one.dispatchEvent(new Event("change", { bubbles: true }));
            } else if (one.tagName === "INPUT" && one.type !== "checkbox" && one.type !== "range") {
                one.focus();
                one.value = pick(typed);
                one.dispatchEvent(new Event("input", { bubbles: true }));
                const key = pick(["Enter", "Escape"]);
                one.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
                one.dispatchEvent(new Event("change", { bubbles: true }));
            } else if (one.tagName === "LI" || one.getAttribute("role") === "application") {
                one.focus();
                const key = pick(["ArrowLeft", "ArrowRight", "Home", "End", "Delete", "ArrowUp", "Escape"]);
                one.dispatchEvent(new KeyboardEvent("keydown", { key, altKey: !random(2), bubbles: true }));
            } else one.click();
            done += 1;
            await new Promise(requestAnimationFrame);
        }
    }
    return done;
}"""


@pytest.mark.parametrize(
    ("sequences", "seeds"), [(10, [1]), pytest.param(100, [1, 2, 3, 4, 5], marks=pytest.mark.soak)]
)
def test_whatever_is_clicked_raises_nothing_in_the_page_nor_in_the_kernel(
    build, complaints, sequences, seeds
):
    built = build("fuzzed", MODEL)
    notebook = built.notebook
    complaints(notebook.page)
    notebook.run(2)
    expect(notebook.page.get_by_role("region", name="Runs", exact=True).first).to_be_visible()
    built.type("Epochs", "2")
    built.press("Train")
    expect(notebook.chart.first).to_contain_text("Finished 2 epochs")

    # A file that is downloaded is nothing that a page of tests can take hundreds of.

    def cancel(download):
        download.cancel()

    notebook.page.on("download", cancel)
    done = sum(notebook.page.evaluate(FUZZ, [sequences, seed]) for seed in seeds)
    notebook.page.remove_listener("download", cancel)

    assert done >= sequences * len(seeds)
    assert complaints() == []
    # All of it goes on working, once the kernel has done all that was clicked.
    built.choose("Start from", "MLP")
    built.type("Epochs", "7")
    expect(built.code).to_contain_text("epochs=7")


def test_a_kernel_that_is_busy_is_named_and_does_all_that_was_asked_in_its_order(build, wait_for):
    built = build("busy", last="import pathlib, time\nwhile not pathlib.Path('go').exists(): time.sleep(0.1)")
    notebook = built.notebook
    notebook.run(4)
    wait_for(lambda: notebook.is_busy(4), "the cell to run")

    built.press("Train")
    for _ in range(3):
        built.press("Add")
    built.press("Remove layer 1, Dense")
    # Who goes on meanwhile stays where he is, with what he has typed.
    epochs = built.panel.get_by_label("Epochs")
    epochs.fill("4")
    # Which of the two depends on whether the kernel reads beside its cells.
    reason = re.compile("Waiting for the cell that runs|The kernel has not answered yet")
    expect(notebook.page.get_by_text(reason).first).to_be_visible()
    (notebook.lab.files / "go").touch()

    expect(notebook.chart.first).to_contain_text("Finished 10 epochs")
    expect(built.layers.locator("strong")).to_have_text(["Dense"] * 5)
    expect(epochs).to_have_value("4")
    expect(epochs).to_be_focused()


def test_a_click_that_follows_typing_is_done_though_what_was_typed_is_taken_first(build):
    built = build("typed")
    page = built.notebook.page
    built.panel.get_by_label("Epochs").fill("1")
    built.button("Add").click(delay=200)  # as a hand does it
    expect(built.code).to_contain_text("epochs=1,")
    expect(built.layers.locator("strong")).to_have_count(4)
    # A list that opens keeps the pointer; what is chosen there is seen at once.
    built.panel.get_by_label("Optimizer").click(delay=100)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(built.code).to_contain_text("keras.optimizers.AdamW")


def test_what_is_selected_stays_so_when_the_answer_to_what_was_typed_before_comes(build):
    built = build("selected")
    page = built.notebook.page
    built.panel.get_by_label("Epochs").fill("3")
    page.keyboard.press("Tab")  # to the next field, with all of it selected
    expect(built.code).to_contain_text("epochs=3,")
    page.keyboard.insert_text("0.5")
    page.keyboard.press("Enter")
    expect(built.code).to_contain_text("validation_split=0.5")


def test_a_filter_goes_on_where_it_is_typed_when_the_answer_to_a_tick_comes(build):
    built = build(
        "filtered", "train_df = spark.range(9).selectExpr('id label', *[f'id c{i}' for i in range(50)])"
    )
    built.panel.get_by_text("50 of 50 chosen").click()
    ticked, field = built.panel.get_by_label("c0 (bigint)"), built.panel.get_by_label("Find a column")
    field.fill("c")
    # At once, before the kernel can have answered.
    ticked.evaluate("(tick, field) => { tick.click(); field.focus(); }", field.element_handle())
    expect(built.panel.get_by_text("49 of 50 chosen")).to_be_visible()
    built.notebook.page.keyboard.insert_text("49")
    expect(field).to_have_value("c49")
    # No list has all columns: the label is typed, too.
    label = built.panel.get_by_label("Label", exact=True)
    for typed, count in (("c", 40), ("c4", 11)):
        label.fill(typed)
        expect(built.panel.locator("datalist option")).to_have_count(count)
    label.fill("c49")
    label.press("Enter")
    expect(built.code).to_contain_text('y="c49"')


def test_layers_move_by_mouse_and_by_keys(build):
    built = build("moves")
    expect(built.layers.locator("strong")).to_have_text(["Dense"] * 3)
    built.choose("Another layer", "Dropout")
    built.press("Add")
    expect(built.layers.locator("strong")).to_have_text(["Dense", "Dense", "Dropout", "Dense"])

    row = built.layers.get_by_role("listitem").filter(has_text="Dropout")
    row.locator(".nbkeras-dot").drag_to(built.layers.get_by_role("listitem").nth(1))
    expect(built.layers.locator("strong")).to_have_text(["Dropout", "Dense", "Dense", "Dense"])

    dropout = built.panel.get_by_role("button", name="Dropout 0.5", exact=True)
    dropout.press("Alt+ArrowDown")
    expect(built.layers.locator("strong")).to_have_text(["Dense", "Dropout", "Dense", "Dense"])
    expect(dropout).to_be_focused()
    dropout.press("Delete")
    expect(built.layers.locator("strong")).to_have_text(["Dense"] * 3)


def test_keys_and_clicks_that_come_before_the_answer_are_for_the_layer_that_is_seen(build):
    built = build("hasty")
    built.choose("Another layer", "Dropout")
    built.press("Add")
    dropout = built.panel.get_by_role("button", name="Dropout 0.5", exact=True)
    up = """one => [1, 2].forEach(() => one.dispatchEvent(
        new KeyboardEvent("keydown", { key: "ArrowUp", altKey: true, bubbles: true })))"""
    dropout.evaluate(up)
    expect(built.layers.locator("strong")).to_have_text(["Dropout", "Dense", "Dense", "Dense"])
    remove = built.panel.get_by_role("button", name="Remove layer 1, Dropout", exact=True)
    remove.evaluate("one => { one.focus(); one.click(); one.click(); }")
    expect(built.layers.locator("strong")).to_have_text(["Dense"] * 3)
    expect(built.button("Dense 64, relu")).to_be_focused()
    built.type("Epochs", "4")
    expect(built.code).to_contain_text("epochs=4,")
    expect(built.layers.locator("strong")).to_have_text(["Dense"] * 3)


def test_ticks_that_come_before_the_answer_are_all_taken(build):
    rows = "train_df = spark.range(9).selectExpr('id label', *[f'id c{i}' for i in range(9)])"
    built = build("ticked", rows)
    built.panel.get_by_text("9 of 9 chosen").click()
    # Two at once, and a third when the answer to the first is drawn, before that to the second.
    ticks = """(root) => {
        const tick = (name) => root.querySelector(`[data-key="feature ${name}"]`).click();
        const drawn = new MutationObserver(() => { drawn.disconnect(); tick("c2"); });
        drawn.observe(root, { childList: true });
        tick("c0");
        tick("c1");
    }"""
    built.panel.evaluate(ticks)
    expect(built.code).to_contain_text('train_df.drop("c0", "c1", "c2")')
    expect(built.panel.get_by_text("6 of 9 chosen")).to_be_visible()


def test_loss_metrics_and_an_early_stop_are_chosen_and_columns_that_are_left_out_have_their_reason(
    build, screenshots
):
    columns = "'id / 2 label', 'id a', 'string(id % 3) word', 'current_date() day'"
    rows = f"train_df = spark.range(9).selectExpr({columns}, 'array(string(id)) tags', 'struct(id) pair')"
    built = build("chosen", rows)
    built.panel.get_by_text("2 left out: see why").click()
    expect(built.panel.get_by_text("tags (array<string>): lists of words")).to_be_visible()
    expect(built.panel.get_by_text("pair (struct<id:bigint>): several values")).to_be_visible()
    change_the_layers_of_a_column(built, screenshots)
    built.panel.get_by_text("3 of 3 chosen").click()
    for column in ("word (string)", "day (date)"):
        built.panel.get_by_label(column).uncheck()
    expect(built.code).not_to_contain_text("StringLookup")
    built.choose("Start from", "MLP")
    expect(built.code).to_contain_text("keras.Sequential")
    built.choose("Loss", "huber")
    built.panel.get_by_label("RootMeanSquaredError").check()
    built.type("Patience", "3")
    built.choose("Another layer", "Normalization")
    built.press("Add")
    expect(built.layers.locator("strong").first).to_have_text("Normalization")
    expect(built.code).to_contain_text("Normalization(axis=None, mean=4.0, variance=6.66667)")
    expect(built.code).to_contain_text('"huber", metrics=["mae", "RootMeanSquaredError"]')
    expect(built.code).to_contain_text("keras.callbacks.EarlyStopping(patience=3, restore_best_weights=True)")
    expect(built.code).to_have_text(re.compile(r"^%%keras_spark\s+import keras"))
    built.panel.screenshot(path=screenshots / "builder-chosen.png")


def change_the_layers_of_a_column(built, screenshots):
    built.choose("Start from", "text")
    expect(built.alert).to_contain_text("text takes one column of sentences alone, and a holds numbers")
    expect(built.code).to_contain_text("keras.layers.StringLookup(max_tokens=5)(x)")
    built.choose("Layers of a column", "word")
    built.press("StringLookup max_tokens=5")
    field = built.panel.get_by_label("max_tokens", exact=True)
    for typed in ("1", "8"):
        field.fill(typed)
        field.press("Enter")
        wrong = built.panel.get_by_text("max_tokens='1': use a whole number from 2")
        expect(wrong).to_have_count(1 if typed == "1" else 0)
    expect(built.code).to_contain_text("keras.layers.StringLookup(max_tokens=8)(x)")
    built.press("Remove layer 2, CategoryEncoding")
    built.choose("Another layer for word", "Embedding")
    built.press("Add to word")
    expect(built.code).to_contain_text("keras.layers.Embedding(1000, 32)(x)")
    built.choose("Another layer for word", "Flatten")
    built.press("Add to word")
    expect(built.panel.get_by_role("list", name="word").locator("strong")).to_have_text(
        ["StringLookup", "Embedding", "Flatten"]
    )
    expect(built.code).to_contain_text('x = inputs["word"] = keras.Input((1,), dtype="string", name="word")')
    built.panel.screenshot(path=screenshots / "builder-columns.png")
    assert findings(built.notebook.page, ".nbkeras-builder") == []


def test_a_model_made_by_hand_is_opened_or_refused_in_words(build):
    built = build("opened", MODEL)
    built.choose("Start from", "model mine")
    expect(built.layers.locator("strong")).to_have_text(["Conv2D", "Flatten", "Dense"])
    expect(built.code).to_contain_text("keras.Input((8, 8, 1))")
    built.choose("Start from", "model branched")
    expect(built.alert).to_contain_text("branches at")
    expect(built.layers.locator("strong")).to_have_text(["Conv2D", "Flatten", "Dense"])


@pytest.mark.soak
def test_an_autoencoder_learns_its_features(build):
    built = build("autoencoder")
    built.choose("Start from", "autoencoder")
    expect(built.code).to_contain_text('"`features` as target"')
    built.type("Epochs", "1")
    expect(built.code).to_contain_text("epochs=1")
    built.press("Train")
    expect(built.notebook.chart).to_contain_text("Finished 1 epoch")


def test_a_failure_of_a_training_is_shown_in_the_panel(build):
    built = build("failed")
    built.type("Workers", "99")
    built.press("Train")
    expect(built.alert).to_contain_text("99")
    expect(built.button("Train")).to_be_enabled()


@pytest.mark.parametrize(
    ("theme", "width"),
    [
        ("Dark", 760),
        *(pytest.param(*more, marks=pytest.mark.soak) for more in [("Dark", 1500), ("Light", 760)]),
    ],
)
def test_it_is_readable_for_everyone(build, screenshots, theme, width):
    built = build(f"builder-{theme}", size=(width, 1300))
    built.notebook.set_theme(theme)
    built.choose("Start from", "CNN")
    expect(built.code).to_contain_text("Conv2D")
    built.press("Conv2D 32, 3, same, relu")
    built.type("filters", "0")
    expect(built.alert).to_have_count(1)

    built.panel.screenshot(path=screenshots / f"builder-{theme}-{width}.png")
    assert findings(built.notebook.page, ".nbkeras-builder") == []
    overflow = built.panel.evaluate("root => root.scrollWidth - root.clientWidth")
    assert overflow <= 0


# It takes the Spark of the others with it: see conftest.py for its turn.
def test_a_kernel_that_was_restarted_is_named(build):
    built = build("restarted")
    built.notebook.restart_kernel()
    built.press("Add")
    expect(built.notebook.page.get_by_text("or it was restarted; then run this cell again")).to_be_visible()
