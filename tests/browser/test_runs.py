"""The panel of runs in JupyterLab: sorted, compared, with the code and the weights of each."""

from __future__ import annotations

import json
import re

import pytest
from browser.accessibility import findings
from playwright.sync_api import expect

TRAIN = """%%keras_spark --workers 1 --name {name}
keras.utils.set_random_seed({epochs})
model.compile(keras.optimizers.SGD({rate}), "mse", metrics=["mae"])
model.fit(x, y, epochs={epochs}, batch_size=8, validation_split=0.25, verbose=0)  # {name}
after["{name}"] = model.get_weights()
"""

SETUP = """
%load_ext nbkeras
import keras, numpy as np, nbkeras
spark = nbkeras.local_spark()
x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
y = x.sum(axis=1)
after = {}
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "tanh"), keras.layers.Dense(1)])
"""

CHECK = """
import json
now = model.get_weights()
print(json.dumps({name: all(map(np.array_equal, kept, now)) for name, kept in after.items()}))
"""

#: Runs without any training.
MADE = """
%load_ext nbkeras
import math, nbkeras
from nbkeras.run.run import Run

def made(name, rate, epochs=40, status="finished", **curves):
    run = Run(name, None, epochs, workers=2)
    run.settings = {"workers": 2, "batch_size": 32, "optimizer": "Adam", "learning_rate": rate,
                    "loss": "sparse_categorical_crossentropy", "features": ["features"]}
    run.code = f"model.compile(keras.optimizers.Adam({rate}))\\nmodel.fit(df, y='label', epochs={epochs})"
    run.record_rows(0, 1797)
    for epoch in range(epochs):
        loss = 2.3 * math.exp(-epoch * rate * 90) + 0.05 + 0.02 * math.sin(epoch)
        logs = {"loss": loss, "accuracy": 1 - loss / 2.5,
                "val_loss": loss * 1.15 + 0.0006 * epoch, "val_accuracy": 0.97 - loss / 2.6}
        run.record_epoch(epoch, {**logs, **{name: curve(epoch) for name, curve in curves.items()}})
    run.record_progress(epochs - 1, 10, 10, 41_234.0)
    if status != "running":
        run.end(status, RuntimeError("no") if status == "failed" else None, seconds=epochs * 1.37)
    nbkeras.api.runs.append(run)
    return run

"""

FEW = (
    MADE
    + """
made("digits, small steps", 0.0005, 60)
made("digits, Adam", 0.001)
made("digits, large steps", 0.004, 25)
made("digits, too large", 0.02, 12, "failed")
made("tonight", 0.002, 30, "running")
"""
)

HOSTILE = (
    MADE
    + """
evil = "<img src=x onerror='window.evil=1'>"
made(evil, 0.001, 12, **{evil: lambda epoch: epoch, "f1_score": lambda epoch: [0.5, float("nan")]})
made("not a number", 0.001, 12, loss=lambda epoch: float("nan"), val_loss=lambda epoch: float("inf"))
made("long " * 60, 0.001, 10_000)
made("\\u202eright to left %html", 0.001, 3)
nbkeras.api.runs.append(Run("empty", None, 2, workers=1))
for number in range(200):
    made(f"run {number}", 0.001, 5)
"""
)


def panel_of(notebook, cell):
    notebook.run(cell)
    panel = notebook.page.get_by_role("region", name="Runs", exact=True).first
    expect(panel.locator("tbody tr").first).to_be_visible()
    return panel


def tick(panel, name):
    panel.get_by_role("checkbox", name=f"Compare {name}", exact=True).check()


def column(panel, index):
    return (
        panel.locator(".nbkeras-table").first.locator(f"tbody tr > :nth-child({index + 1})").all_inner_texts()
    )


def weights_now(notebook, cell):
    notebook.run(cell)
    notebook.expect_done(cell)
    return json.loads(notebook.output(cell).strip().splitlines()[-1])


def test_trained_runs_are_sorted_compared_read_and_loaded(open_notebook, complaints):
    slow, fast = (
        TRAIN.format(name="slow", epochs=3, rate=0.001),
        TRAIN.format(name="fast", epochs=4, rate=0.05),
    )
    cells = [SETUP, slow, fast, "%keras_spark runs", CHECK, CHECK.replace("now =", "now  =")]
    notebook = open_notebook("runs", cells)
    complaints(notebook.page)
    for cell in range(3):
        notebook.run(cell)
        notebook.expect_done(cell)
    panel = panel_of(notebook, 3)

    # Sorted by the mouse and by the keyboard.
    assert column(panel, 1) == ["fast", "slow"]  # the newest first
    head = panel.get_by_role("columnheader", name="best", exact=True)
    expect(head).to_have_attribute("aria-sort", "none")
    head.get_by_role("button").click()
    expect(head).to_have_attribute("aria-sort", "descending")
    assert column(panel, 1) == ["slow", "fast"]
    head.get_by_role("button").press("Enter")
    expect(head).to_have_attribute("aria-sort", "ascending")
    assert column(panel, 1) == ["fast", "slow"]
    expect(panel.locator(":focus")).to_have_text(re.compile("best"))

    # Compared.
    tick(panel, "slow")
    tick(panel, "fast")
    compared = panel.get_by_role("region", name="Compared runs")
    expect(compared.locator("figcaption")).to_have_text(["loss", "mae"])
    curves = compared.locator(".nbkeras-curve")
    expect(curves).to_have_count(8)
    expect(compared.locator(".nbkeras-best")).to_have_count(4)
    names = [curves.nth(at).get_attribute("data-curve") for at in range(4)]
    assert sorted(names) == ["fast loss", "fast val_loss", "slow loss", "slow val_loss"]
    settings = compared.get_by_role("region", name="Settings that differ")
    expect(settings.get_by_role("row")).to_have_count(3)
    assert [row.split() for row in settings.get_by_role("row").all_inner_texts()][1:] == [
        ["epochs", "3", "4"],
        ["learning_rate", "0.001", "0.05"],
    ]
    expect(compared.get_by_role("region", name="Best values").get_by_role("row")).to_have_count(3)

    # The code.
    panel.get_by_role("button", name="Show the code of slow").click()
    code = panel.get_by_role("region", name="Code of slow").first
    expect(code.locator("pre")).to_have_text(slow.partition("\n")[2])
    notebook.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    code.get_by_role("button", name="Copy").click()
    expect(code.get_by_role("button", name="Copied")).to_be_visible()
    assert notebook.page.evaluate("navigator.clipboard.readText()") == slow.partition("\n")[2]
    code.get_by_role("button", name="Close").click()
    expect(panel.locator("pre")).to_have_count(0)

    # The weights.
    assert weights_now(notebook, 4) == {"slow": False, "fast": True}
    panel.get_by_role("button", name="Load the weights of slow").click()
    expect(panel.get_by_text("The weights of slow are in its model now.")).to_be_visible()
    assert weights_now(notebook, 5) == {"slow": True, "fast": False}
    assert complaints() == []


def test_hostile_and_many_runs_break_nothing(open_notebook, complaints):
    notebook = open_notebook("hostile-runs", [HOSTILE, "%keras_spark runs", "'alive'"])
    complaints(notebook.page)
    notebook.run(0)
    notebook.expect_done(0)
    panel = panel_of(notebook, 1)
    expect(panel.locator("tbody tr")).to_have_count(200)
    expect(panel.get_by_text("5 older runs are in nbkeras.runs")).to_be_visible()
    notebook.run(2)
    notebook.expect_done(2)
    assert complaints() == []


def test_runs_of_any_name_and_without_numbers_are_compared(open_notebook, complaints, screenshots):
    few = HOSTILE.replace("range(200)", "range(2)")
    notebook = open_notebook("odd-runs", [few, "%keras_spark runs"])
    complaints(notebook.page)
    notebook.run(0)
    notebook.expect_done(0)
    panel = panel_of(notebook, 1)
    boxes = panel.get_by_role("checkbox")
    expect(boxes).to_have_count(7)
    for at in range(6):
        boxes.nth(at + 1).check()
    expect(boxes.nth(0)).to_be_disabled()
    expect(panel.get_by_text("Up to 6 runs are compared at once")).to_be_visible()
    compared = panel.get_by_role("region", name="Compared runs")
    expect(compared.locator("figure").first).to_be_visible()
    expect(compared.get_by_text("NaN")).not_to_have_count(0)
    for sort in ("run", "status", "best", "at epoch", "epochs", "seconds", "rows/s", "workers", "began"):
        panel.get_by_role("columnheader", name=sort, exact=True).get_by_role("button").click()
    panel.screenshot(path=screenshots / "runs-odd.png")
    assert notebook.page.evaluate("window.evil") is None
    assert panel.locator("img").count() == 0
    assert panel.evaluate("root => root.scrollWidth - root.clientWidth") <= 0
    assert complaints() == []


@pytest.mark.parametrize(
    ("width", "theme"),
    [
        (400, "Dark"),
        *(
            pytest.param(*more, marks=pytest.mark.soak)
            for more in [(1000, "Light"), (1000, "Dark"), (400, "Light")]
        ),
    ],
)
def test_it_can_be_read_in_any_light_and_width(open_notebook, screenshots, complaints, theme, width):
    notebook = open_notebook(f"runs-{theme}-{width}", [FEW, "%keras_spark runs"], size=(1500, 1400))
    notebook.set_theme(theme)
    complaints(notebook.page)
    notebook.run(0)
    notebook.expect_done(0)
    panel = panel_of(notebook, 1)
    panel.evaluate("(root, width) => { root.style.width = `${width}px`; }", width)
    for name in ("digits, small steps", "digits, Adam", "digits, large steps"):
        tick(panel, name)
    compared = panel.get_by_role("region", name="Compared runs")
    expect(compared.get_by_role("region", name="Settings that differ")).to_be_visible()
    panel.get_by_role("button", name="Show the code of digits, Adam").click()
    expect(panel.locator("pre")).to_be_visible()
    panel.get_by_role("button", name="Load the weights of digits, Adam").click()
    expect(panel.locator(".nbkeras-answer")).to_contain_text("run 'digits, Adam' has no weights")
    notebook.page.mouse.move(0, 0)
    panel.screenshot(path=screenshots / f"runs-{theme}-{width}.png")
    assert panel.evaluate("root => root.scrollWidth - root.clientWidth") <= 0
    assert findings(notebook.page, ".nbkeras-runs") == []
    chart = compared.get_by_role("application").first
    chart.focus()
    chart.press("End")
    expect(panel.locator(".nbkeras-values").first).to_contain_text("epoch 60")
    assert complaints() == []
