"""The main job in a real browser: a Keras cell trains on Spark and its chart is live."""

import json

import pytest
from playwright.sync_api import expect

DATA = """
%load_ext nbkeras
import keras, pyspark
from sklearn.datasets import load_digits
from nbkeras.spark import java
java.ensure()
spark = (
    pyspark.sql.SparkSession.builder.master("local[2]")
    .config("spark.driver.bindAddress", "127.0.0.1").config("spark.driver.host", "127.0.0.1")
    .config("spark.ui.enabled", "false").config("spark.ui.showConsoleProgress", "false")
    .getOrCreate()
)
digits = load_digits()
rows = [(row.tolist(), int(label)) for row, label in zip(digits.data / 16, digits.target)]
df = spark.createDataFrame(rows, "features array<double>, label int").cache()
train_df, test_df = df.randomSplit([0.8, 0.2], seed=1)
"""

# The kernel is busy when the wire is to be cut: a thread in it waits for a file.
CUT = """
import threading, time
from pathlib import Path
from nbkeras.transport.events import Server

servers, start_server = [], Server.__init__

def remember(self, *arguments, **options):
    start_server(self, *arguments, **options)
    servers.append(self)

def cut():
    while not Path("cut").exists():
        time.sleep(0.02)
    servers[-1].disconnect()
    Server.__init__ = start_server
    Path("cut").rename("was-cut")

Server.__init__ = remember
threading.Thread(target=cut, daemon=True).start()
"""

# The training stands still until a test has seen what there is of it, three times.
HOLD = """
import nbkeras

def grow_and_wait(run, time):
    reached = len(run.epoch_numbers)
    while len(run.epoch_numbers) == reached:
        sleep(0.02)
    run.pause()
    seen = Path(f"seen-{time}")
    while not seen.exists():
        sleep(0.02)
    seen.unlink()
    run.resume()

def hold():
    while not nbkeras.runs:
        sleep(0.02)
    for time in (1, 2, 3):
        grow_and_wait(nbkeras.runs[-1], time)

from time import sleep
threading.Thread(target=hold, daemon=True).start()
"""

TRAIN = """%%keras_spark --workers {workers} --name digits
model = keras.Sequential([
    keras.Input((64,)),
    keras.layers.Dense(64, activation="relu"),
    keras.layers.Dense(10, activation="softmax"),
])
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
history = model.fit(train_df, y="label", validation_data=test_df, epochs={epochs}, batch_size=32)
"""

HISTORY = "import json; print(json.dumps(history.history))"


def start(open_notebook, name, *kernel, epochs, workers=1, setup=""):
    cells = [DATA + setup, TRAIN.format(epochs=epochs, workers=workers), HISTORY]
    # The page is as most people have it: the bar moves until the first epoch is on its way.
    notebook = open_notebook(name, cells, *kernel, reduced_motion="no-preference")
    notebook.run(0)
    notebook.expect_done(0)
    notebook.keep_points()
    notebook.run(1)
    return notebook


def history(notebook):
    notebook.run(2)
    notebook.expect_done(2)
    return json.loads(notebook.output(2))


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.soak)])
def test_points_grow_while_the_cell_is_busy_and_equal_the_history(
    lab, open_notebook, wait_for, screenshots, workers
):
    was_cut = lab.files / "was-cut"
    name, setup = f"spark-{workers}", CUT + HOLD
    notebook = start(open_notebook, name, epochs=30, workers=workers, setup=setup)

    seen = []
    for time in (1, 2, 3):
        before = len(seen[-1]["loss"]) if seen else 0
        notebook.wait_for_points(before + 1)
        assert notebook.is_busy(1)
        seen.append(notebook.points())
        notebook.cells.nth(1).screenshot(path=screenshots / f"spark-live-{workers}.png")
        (lab.files / f"seen-{time}").touch()
        if time == 2:
            (lab.files / "cut").touch()
            wait_for(was_cut.exists, "the wire to be cut")
    notebook.expect_done(1)
    notebook.cells.nth(1).screenshot(path=screenshots / f"spark-still-{workers}.png")

    values = history(notebook)
    assert len(seen[0]["loss"]) < len(seen[1]["loss"]) < len(seen[2]["loss"])
    last = notebook.last_points()
    assert {name: len(dots) for name, dots in last.items()} == dict.fromkeys(values, 30)
    for points in [*seen, last]:
        for name, dots in points.items():
            assert [epoch for epoch, _ in dots] == list(range(1, len(dots) + 1))
            assert [value for _, value in dots] == pytest.approx(values[name][: len(dots)], rel=1e-6)
    assert "widgets" not in notebook.saved().metadata


def test_the_phases_are_said_from_the_first_second(open_notebook):
    notebook = start(open_notebook, "spark-phases", epochs=5000)

    expect(notebook.chart).to_be_visible()
    first, share = notebook.chart.evaluate(
        "chart => [chart.innerText, chart.querySelector('progress').position]"
    )
    notebook.stop.click()
    notebook.expect_done(1)

    assert any(word in first for word in ("Preparing", "Waiting", "Reading", "Starting", "Epoch"))
    assert share == -1 or "Epoch" in first  # a bar without a share moves to and fro


@pytest.mark.parametrize("way", ["button", pytest.param("toolbar", marks=pytest.mark.soak)])
def test_a_stop_keeps_the_epochs_and_ends_the_cell_normally(open_notebook, ipykernel, way):
    notebook = start(open_notebook, f"spark-stop-{way}", ipykernel, epochs=5000)
    notebook.wait_for_points(2)

    if way == "button":
        notebook.stop.click()
    else:
        notebook.page.get_by_title("Interrupt the kernel").click()

    notebook.expect_done(1)
    expect(notebook.chart).to_contain_text("Stopped after")
    assert "Traceback" not in notebook.output(1)
    values = history(notebook)
    assert 2 <= len(values["loss"]) < 5000
