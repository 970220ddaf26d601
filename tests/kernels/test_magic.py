"""The magic in real kernels of several versions, on a real Spark."""

import ast
import re

import pytest
import waiting

from nbkeras.run.run import Run

#: With torch, as with any_backend: test_headless.py has the notebook's own.
FIT = """%%keras_spark --backend torch {options}
model = make_model()
history = model.fit(train_df, y="label", validation_data=test_df, epochs={epochs}, batch_size=64)
"""


def test_a_cell_trains_shows_its_chart_live_and_leaves_a_picture(session):
    cell = session.run(FIT.format(options="--name digits", epochs=5))
    # Some seconds after its end; a later cell would read it as its own.
    cell.until(lambda: cell.of("comm_close"))

    assert not cell.of("error"), cell.text()
    history = ast.literal_eval(session.value("history.history"))
    assert len(history["loss"]) == len(history["val_accuracy"]) == 5
    assert history["val_accuracy"][-1] > 0.8

    [shown] = [content for content in cell.of("display_data") if "application/vnd" in str(content["data"])]
    [replaced] = cell.of("update_display_data")
    assert replaced["transient"] == shown["transient"]
    assert set(replaced["data"]) == {"text/html", "image/png", "text/plain"}
    assert re.match(r"digits finished 5 epochs in \d", replaced["data"]["text/plain"])
    last = cell.snapshots()[-1]
    assert last["status"] == "finished"
    curves = {curve["name"]: curve["last"] for curve in last["curves"]}
    assert {name: curves.pop(name) for name in history} == pytest.approx(
        {name: values[-1] for name, values in history.items()}
    )
    assert list(curves) == last["aside"] == ["learning_rate", "seconds_per_epoch"]


def test_what_takes_seconds_before_the_first_chart_is_said_with_a_bar_that_goes(session):
    [shown] = session.setup.of("display_data")
    [gone] = session.setup.of("update_display_data")
    assert shown["data"]["text/html"].endswith("</progress> Importing Keras…")
    assert gone["transient"] == shown["transient"]
    assert set(gone["data"].values()) == {""}


def test_the_first_interrupt_stops_and_the_cell_ends_normally(session):
    cell = session.start(FIT.format(options="--name digits", epochs=5000))
    cell.until(lambda: cell.epochs >= 2)

    session.manager.interrupt_kernel()
    cell.done()

    assert not cell.of("error"), cell.text()
    assert re.search(r"digits stopped after \d+ of 5,000 epochs", cell.text())
    epochs = int(session.value("len(history.history['loss'])"))
    assert 2 <= epochs < 5000
    assert float(session.value("model.evaluate(digits.data / 16, digits.target, verbose=0)[1]")) > 0.15


def test_the_second_interrupt_aborts_and_the_next_cell_runs(session):
    cell = session.start(FIT.format(options="--name digits", epochs=5000))
    cell.until(lambda: cell.epochs >= 1)

    session.manager.interrupt_kernel()
    session.manager.interrupt_kernel()
    cell.done()

    # The stop may have been quicker than the second interrupt.
    if "stopped after" not in cell.text():
        [error] = cell.of("error")
        assert error["ename"] in {"Aborted", "KeyboardInterrupt"}
        assert len(error["traceback"]) == 1 or error["ename"] == "KeyboardInterrupt"
    assert session.value("1 + 1") == "2"
    again = session.run(FIT.format(options="", epochs=1))
    assert not again.of("error"), again.text()


SLOW = """
import os, pathlib, time
here = os.getpid()

class Slow(keras.layers.Layer):
    def call(self, x):
        if os.getpid() != here:
            pathlib.Path({begun!r}).touch()
            time.sleep(3600)
        return x

slow = keras.Sequential([keras.Input((64,)), Slow(), keras.layers.Dense(10, "softmax")])
slow.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])

def jobs():
    end, tracker = time.monotonic() + {limit}, spark.sparkContext.statusTracker()
    while tracker.getActiveJobsIds() and time.monotonic() < end:
        time.sleep(0.1)
    return len(tracker.getActiveJobsIds())
"""


@pytest.mark.parametrize(
    "method",
    [pytest.param("evaluate(train_df, y='label')", marks=pytest.mark.soak), "predict(digits.data)"],
)
def test_an_interrupt_ends_an_evaluation_or_a_prediction_in_one_line(session, tmp_path, method):
    begun = tmp_path / "begun"
    session.run(SLOW.format(begun=str(begun), limit=waiting.LIMIT))
    cell = session.start(f"%%keras_spark --backend torch\nslow.{method}")
    cell.until(begun.exists)

    session.manager.interrupt_kernel()
    cell.done()

    [error] = cell.of("error")
    name = method.partition("(")[0]
    said = f"Aborted: {name} was interrupted; the model is as it was before"
    assert error["traceback"] == [said]
    assert "py4j" not in cell.text()
    assert session.value("jobs()") == "0"


@pytest.mark.soak  # test_versions.py has it without Spark
def test_a_background_run_is_stopped_by_the_buttons_message(session):
    cell = session.run(FIT.format(options="--background --name behind", epochs=5000))
    assert Run.__name__ in session.value("history")
    cell.until(lambda: cell.epochs >= 1)

    session.send(cell.view, {"type": "stop"})
    cell.until(lambda: cell.of("update_display_data"))

    assert session.value("history.wait().status") == "'stopped'"
    assert "behind stopped after" in cell.text()


def test_a_background_run_is_stopped_by_name(session):
    cell = session.run(FIT.format(options="--background --name behind", epochs=5000))
    cell.until(lambda: cell.epochs >= 1)

    assert "Stopping behind after the batch in work." in session.run("%keras_spark stop behind").text()
    assert session.value("history.wait().status") == "'stopped'"


def test_a_cell_without_fit_is_trained(session):
    cell = session.run(
        "%%keras_spark --backend torch --data train_df --label label --validation test_df --epochs 2\n"
        "model = make_model()"
    )

    assert not cell.of("error"), cell.text()
    assert "finished 2 epochs" in cell.text()


def test_what_explain_prints_runs_as_it_is(session):
    explained = session.run(FIT.format(options="--explain", epochs=2)).text()

    cell = session.run(explained)

    assert not cell.of("error"), cell.text()
    assert "finished 2 epochs" in cell.text()


def test_an_error_is_one_line_and_the_next_cell_runs(session):
    cell = session.run('%%keras_spark\nmodel = make_model()\nmodel.fit(train_df, y="lable")')

    [error] = cell.of("error")
    assert error["ename"] == "DataError"
    assert len(error["traceback"]) == 1
    assert "lable" in error["evalue"]
    assert session.value("1 + 1") == "2"


def test_an_exception_of_the_body_shows_the_users_lines_only(session):
    cell = session.run("%%keras_spark\ndef divide():\n    1 / 0\ndivide()")

    [error] = cell.of("error")
    shown = re.sub(r"\x1b\[[\d;]*m", "", "\n".join(error["traceback"]))
    assert error["ename"] == "ZeroDivisionError"
    assert "1 / 0" in shown
    assert "nbkeras" not in shown


def test_status_names_the_spark(session):
    assert "local[2]" in session.run("%keras_spark status").text()


def test_options_are_completed(session):
    code = "%%keras_spark --ba"
    reply = session.client.complete(code, reply=True, timeout=waiting.LIMIT)["content"]

    assert reply["matches"] == ["--backend", "--background", "--batch-size"]
