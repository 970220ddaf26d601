"""Training in a paragraph of a real Zeppelin, as a page of it sees and stores it."""

from __future__ import annotations

import base64
import io
import itertools
import json
import re
from pathlib import Path

import jupyter_client
import pytest
from PIL import Image
from waiting import LIMIT, wait_for

DIGITS = """
import keras, numpy as np
keras.utils.set_random_seed(7)
rng = np.random.default_rng(0)
x = rng.normal(size=(2000, 8)).astype("float32")
y = (x.sum(axis=1) > 0).astype("int32")
model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(8, activation="relu"), keras.layers.Dense(2)])
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile("adam", loss, metrics=["accuracy"])
"""


class Held:
    """A training that pauses after some of its 20 epochs until the test lets it go on: it has seen them.

    Args:
        folder: where the two meet.

    Attributes:
        code: makes ``held``, a callback that says something after each epoch, as a user's own may.
    """

    epochs = (3, 7, 11, 15)

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # What waited in the callback itself would keep the chart waiting too.
        self.code = f"""
import nbkeras, pathlib, threading, time
def go_on(run, file):
    while not file.exists():
        time.sleep(0.02)
    run.resume()
def tell(epoch, logs):
    print("<told>", epoch)
    if epoch in {self.epochs}:
        run = nbkeras.api.runs[-1]
        run.pause()
        threading.Thread(target=go_on, args=(run, pathlib.Path({str(folder)!r}, str(epoch)))).start()
held = keras.callbacks.LambdaCallback(on_epoch_end=tell)
"""

    def go_on(self, has_seen):
        """Let it go on, again and again, when the test has seen as many charts, and this epoch."""
        try:
            for number, epoch in enumerate(self.epochs, 1):
                wait_for(lambda: has_seen(number, epoch), f"what is shown of epoch {epoch}")  # noqa: B023  # called here
                self._folder.joinpath(str(epoch)).touch()
        finally:
            for epoch in self.epochs:
                # What waits for ever keeps the interpreter from the paragraphs of all later tests.
                self._folder.joinpath(str(epoch)).touch()


def cell(body, options="", setup=DIGITS):
    return f"%python.ipython\n%%keras_spark {options}\n{setup}{body}\n"


def texts(result):
    return "".join(one["data"] for one in result["msg"] if one["type"] == "TEXT")


def pages(result):
    return [one["data"] for one in result["msg"] if one["type"] == "HTML"]


def picture(html):
    """The one picture in it, decoded."""
    (data,) = re.findall(r'src="data:image/png;base64,([^"]+)"', html)
    image = Image.open(io.BytesIO(base64.b64decode(data)))
    image.load()
    return image


def printed(note, number):
    result = note.run(number)
    assert result["code"] == "SUCCESS", result
    return texts(result)


def cancel_at_a_chart(note):
    """Cancel the first paragraph once it shows a chart; what it keeps is the last one, of a stop."""
    with note.zeppelin.listen(note) as heard:
        note.start(0)
        wait_for(lambda: any("<img" in one["data"] for one in updates(heard)), "a chart")
        note.cancel(0)
        assert note.wait(0) == "ABORT"
    (html,) = pages(note.result(0))
    assert "stopped after" in html
    picture(html)


def run_held(note, number, held):
    """Run a paragraph that trains held; what was heard of it."""
    with note.zeppelin.listen(note) as heard:

        def has_heard(charts, epoch):
            pictures = re.findall('src="(data:[^"]+)"', "".join(one["data"] for one in updates(heard)))
            return len(set(pictures)) >= charts and max(heard.progress(), default=0) >= 5 * epoch

        note.start(number)
        held.go_on(has_heard)
        assert note.wait(number) == "FINISHED", note.result(number)
    return heard


@pytest.fixture(scope="module")
def trained(zeppelin, tmp_path_factory):
    """A training that was listened to: the note, what was heard, and the result."""
    held = Held(tmp_path_factory.mktemp("held"))
    note = zeppelin.note(
        cell(
            f'print("before <b>")\n{held.code}\nhistory = model.fit(x, y, epochs=20, callbacks=[held])\n'
            'print("after", len(history.history["loss"]))',
            "--workers 1",
        ),
    )
    return note, run_held(note, 0, held)


def updates(heard):
    """What was heard of the output that holds the chart."""
    return [one for one in heard.of("PARAGRAPH_UPDATE_OUTPUT") if one["type"] == "HTML" and one["data"]]


def test_exactly_one_output_is_replaced_while_the_paragraph_runs_always_with_a_whole_chart(trained):
    _, heard = trained
    shown = updates(heard)
    assert len({one["index"] for one in shown}) == 1
    charts = [one for one in shown if "<img" in one["data"]]
    assert len({picture(one["data"]).tobytes() for one in charts}) > 3
    first = shown.index(charts[0])
    assert all("<img" in one["data"] for one in shown[first:]), "a chart that is there stays there"
    assert all("Training run" in one["data"] for one in shown[1:first])
    cleared = [
        one for one in heard.of("PARAGRAPH_UPDATE_OUTPUT") if not one["data"] and one["type"] == "HTML"
    ]
    assert not cleared, "an empty output between two charts would flicker"


PACED = """%python.ipython
from types import SimpleNamespace
from nbkeras.notebook import hosts
from nbkeras.notebook.hosts import pace
from nbkeras.run.run import Run
now, real = 0.0, pace.time
pace.time = SimpleNamespace(monotonic=lambda: now, thread_time=lambda: 0.0)
run = Run("paced", model=None, epochs=100, workers=1)
shown = hosts.display(run)
for epoch in range(100):
    now += 0.1
    run.record_epoch(epoch, {"loss": 1 / (epoch + 1)})
    shown.update()
run.end("finished")
shown.finish()
pace.time = real
"""


def test_updates_come_one_to_four_times_a_second(zeppelin):
    note = zeppelin.note(PACED)
    with zeppelin.listen(note) as heard:
        result = note.run(0)
        wait_for(lambda: [one for one in updates(heard) if "finished 100" in one["data"]], "the last update")
    assert result["code"] == "SUCCESS", result
    # Ten seconds of its own clock, of which a busy machine knows nothing.
    assert 10 <= len([one for one in updates(heard) if "epoch" in one["data"]]) <= 40


def test_the_progress_bar_rises(trained):
    _, heard = trained
    progress = heard.progress()
    assert progress == sorted(progress)
    assert len(set(progress)) > 3
    assert max(progress) > 50


def test_what_the_user_prints_arrives_whole_and_apart_from_the_chart(trained):
    note, heard = trained
    said = texts(note.result(0))
    assert re.findall(r"<told> (\d+)\n", said) == [str(epoch) for epoch in range(20)]
    assert said.index("before <b>") < said.index("<told> 0") < said.index("after 20")
    assert not any("told" in one["data"] or "before" in one["data"] for one in updates(heard))


def test_the_stored_note_has_the_last_chart(trained):
    note, _ = trained
    (html,) = pages(note.result(0))
    assert picture(html).width > 400
    assert "finished 20 epochs" in html
    assert "<th" in html
    kinds = [one["type"] for one in note.result(0)["msg"]]
    assert kinds.index("HTML") < len(kinds) - 1, "the chart stands where it was opened, prints behind it"


@pytest.mark.soak
def test_the_history_is_that_of_plain_keras(zeppelin):
    fit = "model.fit(x, y, epochs=3, shuffle=False, verbose=0).history"
    note = zeppelin.note(
        f"%python.ipython\n{DIGITS}theirs = {fit}",
        cell(f"ours = {fit}", "--workers 2"),
        "%python.ipython\nprint(ours.keys() == theirs.keys(), [name for name in theirs "
        "if not np.allclose(ours[name], theirs[name], rtol=1e-5, atol=0)])",
    )
    printed(note, 0)
    printed(note, 1)
    assert printed(note, 2) == "True []\n"


@pytest.mark.soak
def test_the_same_cell_gives_the_same_history_in_jupyter(zeppelin, tmp_path):
    body = "history = model.fit(x, y, epochs=3)\n"
    told = "import json\nprint('history', json.dumps(history.history))"
    note = zeppelin.note(cell(body + told, "--workers 2"))
    here = printed(note, 0)

    manager, client = jupyter_client.manager.start_new_kernel(kernel_name="python3", cwd=str(tmp_path))
    said = []

    def hear(message):
        if message["msg_type"] == "stream":
            said.append(message["content"]["text"])

    try:
        text = cell(body + told, "--workers 2").removeprefix("%python.ipython\n")
        client.execute_interactive("%load_ext nbkeras", timeout=LIMIT)
        reply = client.execute_interactive(text, timeout=LIMIT, output_hook=hear)
        assert reply["content"]["status"] == "ok", reply["content"]
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    there = "".join(said)
    histories = [json.loads(re.search(r"history (\{.*\})", text)[1]) for text in (here, there)]
    assert histories[0].keys() == histories[1].keys()
    for name, values in histories[0].items():
        assert values == pytest.approx(histories[1][name], rel=1e-5)


@pytest.mark.parametrize("workers", [pytest.param(1, marks=pytest.mark.soak), 2])
def test_cancel_in_an_epoch_keeps_weights_and_history_and_the_paragraph_runs_again(zeppelin, workers):
    note = zeppelin.note(
        cell(
            "before = model.get_weights()[0]\nhistory = model.fit(x, y, epochs=9000)", f"--workers {workers}"
        ),
        "%python.ipython\nprint(len(history.history['loss']) > 0, (model.get_weights()[0] != before).any())",
    )
    cancel_at_a_chart(note)
    assert printed(note, 1) == "True True\n"
    note.set_text(0, cell("history = model.fit(x, y, epochs=2)"))
    assert note.run(0)["code"] == "SUCCESS"


def test_an_error_is_one_line(zeppelin):
    note = zeppelin.note(cell("model.fit(x, y[:7])"), cell("model.fit(x, y)", "--wrokers 2"))
    assert re.fullmatch(r"DataError: [^\n]+", texts(note.run(0)).strip())
    assert texts(note.run(1)).strip() == "OptionError: unknown option --wrokers; did you mean --workers?"


def test_evaluate_predict_status_stop_report_and_compare_work(zeppelin):
    note = zeppelin.note(
        "%python.ipython\nimport pandas as pd, nbkeras\nspark = nbkeras.local_spark()\n"
        "df = spark.createDataFrame(pd.DataFrame({'a': [0.0, 1.0] * 20, 'b': 1.0, 'label': [0, 1] * 20}))",
        cell(
            "import keras\nm = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])\n"
            "m.compile('sgd', 'mse')\nm.fit(df, y='label')\nloss = m.evaluate(df, y='label')\n"
            "scored = m.predict(df)\nprint('loss', loss > 0)\nz.show(scored.limit(3).toPandas())",
            setup="",
        ),
        "%python.ipython\n%keras_spark status",
        "%python.ipython\n%keras_spark stop",
        "%python.ipython\n%keras_spark report df label --model m --worst 2",
        "%python.ipython\nrows = spark.range(40).selectExpr('id AS a', '2 * id + 1 AS label')\n"
        "%keras_spark compare rows label --models linear --task regression",
    )
    assert note.run(0)["code"] == "SUCCESS"
    result = note.run(1)
    assert "loss True\n" in texts(result), result
    (table,) = [one["data"] for one in result["msg"] if one["type"] == "TABLE"]
    assert table.splitlines()[0].split("\t") == ["a", "b", "label", "prediction"]
    assert len(table.strip().splitlines()) == 4
    assert "local[*]" in printed(note, 2)
    assert printed(note, 3) == "No training is at work.\n"
    result = note.run(4)
    report, tables = pages(result), [one["data"] for one in result["msg"] if one["type"] == "TABLE"]
    assert len(tables) == 1, result
    (table,) = tables
    assert "<figure" in report[0]
    assert table.splitlines()[0].split("\t") == ["a", "b", "label", "_actual", "_predicted", "_loss"]
    assert len(table.strip().splitlines()) == 3
    result = note.run(5)
    shown, tables = pages(result), [one["data"] for one in result["msg"] if one["type"] == "TABLE"]
    assert any("linear won" in one for one in shown), result
    (table,) = tables
    assert {line.partition("\t")[0] for line in table.strip().splitlines()} == {"model", "baseline", "linear"}


def test_a_form_shows_its_code_and_trains_when_train_is_ticked(zeppelin):
    note = zeppelin.note(
        "%python.ipython\nimport pandas as pd, nbkeras\nspark = nbkeras.local_spark()\n"
        "frame = spark.createDataFrame(pd.DataFrame({'a': [0.0, 1.0] * 20, 'b': 1.0, 'label': [0, 1] * 20}))",
        "%python.ipython\n%keras_spark form frame",
    )
    assert note.run(0)["code"] == "SUCCESS"
    first = note.run(1)
    assert 'keras.layers.Dense(1, activation="sigmoid")' in texts(first)
    assert not pages(first)
    fields = note.stored()["paragraphs"][1]["settings"]["forms"]
    assert {"Label", "Features", "Hidden layers", "Epochs", "Train"} <= fields.keys()

    wrong = note.run(1, params={"Hidden layers": "8, many", "Train": ["Train"]})
    assert texts(wrong).strip() == (
        "OptionError: Hidden layers: takes whole numbers from 1, such as 64, 32; got 'many'"
    )
    assert note.stored()["paragraphs"][1]["settings"]["forms"].keys() == fields.keys()

    trained = note.run(1, params={"Hidden layers": "8", "Epochs": "3", "Train": ["Train"]})
    assert "keras.layers.Dense(8" in texts(trained)
    (html,) = pages(trained)
    assert "finished 3 epochs" in html


def angular(heard):
    """The values of dashboards that a page was told of."""
    return [one["angularObject"] for one in heard.of("ANGULAR_OBJECT_UPDATE")]


def bound_charts(heard):
    return {one["object"] for one in angular(heard) if one["name"] == "nbkeras_chart"}


@pytest.mark.soak
def test_a_dashboard_shows_live_what_another_paragraph_trains(zeppelin, tmp_path):
    held = Held(tmp_path)
    note = zeppelin.note(
        "%python.ipython\n%keras_spark dashboard",
        cell(f"{held.code}\nmodel.fit(x, y, epochs=20, callbacks=[held])", "--name '<digits>'"),
    )
    board = note.run(0)
    assert [one["type"] for one in board["msg"]] == ["ANGULAR"]
    with zeppelin.listen(note) as heard:
        note.start(1)
        held.go_on(lambda charts, _: len(bound_charts(heard)) >= charts)
        assert note.wait(1) == "FINISHED", note.result(1)
    bound = angular(heard)
    assert {one["paragraphId"] for one in bound} == {note.paragraphs[0]}
    values = {
        name: [one["object"] for one in group]
        for name, group in itertools.groupby(
            sorted(bound, key=lambda one: one["name"]), lambda one: one["name"]
        )
    }
    for name in values:
        assert name in board["msg"][0]["data"]
    assert values["nbkeras_title"][-1] == "Training <digits>", "Angular escapes what it binds"
    assert len(set(values["nbkeras_chart"])) > 2
    assert "Finished 20 epochs" in values["nbkeras_phase"][-1]


def test_a_run_in_the_background_is_shown_to_its_end_and_stored(zeppelin):
    note = zeppelin.note(
        cell("run = model.fit(x, y, epochs=20)\nrun.pause()\nprint('at once')", "--background --workers 1"),
        "%python.ipython\nrun.resume(); run.wait(); print(run.status)",
    )
    result = note.run(0)
    assert "at once\n" in texts(result)
    assert "finished" not in "".join(pages(result))
    assert printed(note, 1) == "finished\n"
    wait_for(lambda: "finished 20 epochs" in "".join(pages(note.result(0))), "the last chart in the note")


def test_names_and_notes_of_a_run_are_text_wherever_they_are_shown(zeppelin):
    name = "%html <script>alert(1)</script>"
    note = zeppelin.note(
        "%python.ipython\nfrom browser.fed import show\n"
        f"run = show(3, name={name!r})\nprint('%nothing of ours')\nprint('50 % <b>')"
    )
    result = note.run(0)
    (html,) = pages(result)
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert texts(result) == "%nothing of ours\n50 % <b>\n"


def test_the_help_is_text_from_its_first_line_to_its_last(zeppelin):
    note = zeppelin.note("%python.ipython\n%%keras_spark?", cell("model.fit(x, y)", "--explain"))
    result = note.run(0)
    assert {one["type"] for one in result["msg"]} == {"TEXT"}
    assert "%keras_spark dashboard" in texts(result)
    result = note.run(1)
    assert {one["type"] for one in result["msg"]} == {"TEXT"}
    assert "nbkeras.on_spark" in texts(result)


def test_ten_thousand_epochs_keep_the_note_small(zeppelin):
    note = zeppelin.note(
        "%python.ipython\nfrom nbkeras.notebook import hosts\nfrom nbkeras.run.run import Run\n"
        "run = Run('long', model=None, epochs=10_000, workers=2)\nshown = hosts.display(run)\n"
        "for epoch in range(10_000):\n"
        "    logs = {'loss': 1 / (epoch + 1), 'accuracy': (epoch * 7919 % 1000) / 1000}\n"
        "    run.record_epoch(epoch, logs | {f'val_{name}': value / 2 for name, value in logs.items()})\n"
        "    shown.update()\n"
        "run.end('finished')\nshown.finish()"
    )
    result = note.run(0)
    assert "finished 10000 epochs" in pages(result)[0].replace(",", ""), result
    assert len(note.exported()) < 200_000


#: What has ended may take a moment to be gone.
LEFT = """%python.ipython
import gc, os, psutil, threading, time
from waiting import LIMIT
gc.collect()
me = psutil.Process()
def kept():
    family = {one.pid for one in me.children(recursive=True) if one.status() != "zombie"}
    ports = {one.laddr.port for one in me.net_connections("inet") if one.status == "LISTEN"}
    return family, ports, sorted(one.name for one in threading.enumerate() if "nbkeras" in one.name)
def settled(is_settled):
    end = time.monotonic() + LIMIT
    while not is_settled(now := kept()) and time.monotonic() < end:
        time.sleep(0.1)
    return now
before = settled(lambda now: not now[2])
"""

COMPARE = """
after = settled(lambda now: now[1:] == before[1:] and now[0] <= before[0])
print(before[1:] == after[1:], after[2], after[0] - before[0])
"""


@pytest.mark.soak
def test_runs_in_a_row_leave_nothing_behind(zeppelin):
    note = zeppelin.note(
        LEFT,
        cell("history = model.fit(x, y, epochs=2)"),
        f"%python.ipython\n{COMPARE}",
    )
    note.run(1)
    note.run(0)
    for _ in range(20):
        result = note.run(1)
        assert result["code"] == "SUCCESS", result
        assert len(pages(result)) == 1
    assert printed(note, 2) == "True [] set()\n"
    assert len(note.exported()) < 100_000


@pytest.mark.soak
def test_plain_python_shows_the_chart_and_says_how_to_get_the_magics(zeppelin, plain):
    code = DIGITS.replace("\n\n", "\n")
    note = zeppelin.note(
        f"%{plain}\nimport nbkeras\n{code}print('before')\n"
        "run = nbkeras.fit(model, x, y, epochs=30)\nprint('after', run.status)"
    )
    with zeppelin.listen(note) as heard:
        result = note.run(0)
    (html,) = pages(result)
    picture(html)
    assert "need Zeppelin&#x27;s IPython mode: nbkeras zeppelin says how to get it" in html
    said = texts(result)
    assert "before\n" in said
    assert said.endswith("after finished\n")
    assert len(updates(heard)) > 3


@pytest.mark.soak
def test_a_chart_is_shown_where_the_paragraph_has_printed_all_that_zeppelin_takes(zeppelin):
    note = zeppelin.note(cell("print('c' * 103_000)\nhistory = model.fit(x, y, epochs=2)", "--workers 1"))
    result = note.run(0)
    assert result["code"] == "SUCCESS", result
    warning, html = pages(result)
    assert "102400" in warning, "Zeppelin says itself that it takes no more"
    assert "finished 2 epochs" in html


@pytest.mark.soak
def test_a_chart_outlives_the_clearing_of_the_output(zeppelin):
    clears = (
        "from IPython.display import HTML, clear_output, display\n"
        "def clear(epoch, logs):\n"
        "    if epoch % 10 == 5:\n"
        "        clear_output()\n"
        "        display(HTML(f'<b>mine {epoch}</b>'))\n"
    )
    fit = "model.fit(x, y, epochs=20, callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=clear)])"
    note = zeppelin.note(cell(f"{clears}history = {fit}\nprint('end')", "--workers 1"))
    result = note.run(0)
    # Where the chart was opened anew between the two, Zeppelin puts it behind the HTML that came last.
    assert any(one["data"].endswith("end\n") for one in result["msg"]), result
    assert sum("finished 20 epochs" in html for html in pages(result)) == 1
    assert sum("mine 15" in html for html in pages(result)) == 1


@pytest.mark.soak
def test_what_threads_print_while_the_chart_opens_is_kept(zeppelin):
    note = zeppelin.note(
        "%python.ipython\nimport itertools, threading, time\nfrom browser.fed import show\n"
        "over = threading.Event()\n"
        "def tell():\n"
        "    for number in itertools.count():\n"
        "        if over.is_set():\n"
        "            return print('told', number)\n"
        "        print(f'line {number}')\n"
        "        time.sleep(0.002)\n"
        "teller = threading.Thread(target=tell)\n"
        "teller.start()\n"
        "run = show(2, pause=0.01)\n"
        "over.set()\nteller.join()"
    )
    result = note.run(0)
    said = "".join(one["data"] for one in result["msg"])
    (told,) = re.findall(r"told (\d+)", said)
    assert [int(number) for number in re.findall(r"line (\d+)", said)] == list(range(int(told)))


@pytest.mark.soak
def test_a_dashboard_is_of_its_own_note(zeppelin):
    board = zeppelin.note("%python.ipython\n%keras_spark dashboard")
    other = zeppelin.note("%python.ipython\nfrom browser.fed import show\nrun = show(2, pause=0.01)")
    board.run(0)
    with zeppelin.listen(other) as heard:
        assert other.run(0)["code"] == "SUCCESS"
    assert not heard.of("ANGULAR_OBJECT_UPDATE")
