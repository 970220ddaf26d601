import io
import itertools
import json
import math
import re
import struct
import sys
import types
import unicodedata

import ipywidgets.comm
import pytest

import nbkeras
from nbkeras.notebook import frontend, hosts, panel, text
from nbkeras.notebook.hosts import jupyter, pace, terminal
from nbkeras.notebook.quiet import QuietLine
from nbkeras.notebook.view import View, encode
from nbkeras.notebook.words import PANEL
from nbkeras.run.run import Run


def started(epochs=0, *, asked=50, workers=2, **more):
    run = Run("digits", model=None, epochs=asked, workers=workers, **more)
    for epoch in range(epochs):
        run.record_epoch(epoch, {"loss": 1 / (epoch + 1), "val_loss": 2 / (epoch + 1)})
    return run


def decode(state, points):
    """Read the wire format as decode in series.js does."""
    pairs = iter(struct.iter_unpack("<ff", points))
    return {curve["name"]: list(itertools.islice(pairs, curve["points"])) for curve in state["curves"]}


class Wire:
    """A comm that keeps what was sent on it."""

    def __init__(self):
        self.sent = []
        self.closed = False
        self.receive = None

    def create(self, **_):
        return self

    comm_id = "wire"

    def send(self, data=None, *, buffers=None, **_):
        self.sent.append((data, buffers))

    def close(self, *_, **__):
        self.closed = True

    def on_msg(self, receive):
        self.receive = receive

    def click(self, content):
        self.receive({"content": {"data": {"method": "custom", "content": content}}, "buffers": []})


@pytest.fixture
def wire(monkeypatch):
    wire = Wire()
    monkeypatch.setattr(ipywidgets.comm, "create_comm", wire.create)
    return wire


@pytest.fixture
def slot(monkeypatch):
    """What was displayed, and how it was replaced."""
    shown = []

    class Slot:
        def update(self, bundle, **_):
            shown.append(bundle)

    monkeypatch.setattr(jupyter, "_display", lambda what, **_: shown.append(what) or Slot())
    return shown


@pytest.fixture
def clock(monkeypatch):
    now = types.SimpleNamespace(monotonic=100.0, thread=0.0)
    time = types.SimpleNamespace(monotonic=lambda: now.monotonic, thread_time=lambda: now.thread)
    monkeypatch.setattr(jupyter, "time", time)
    monkeypatch.setattr(pace, "time", time)
    return now


def test_a_snapshot_on_the_wire_holds_every_point():
    run = started(3)

    state, points = encode(run.snapshot())

    curves = decode(state, points)
    assert curves["loss"] == [(1, 1), (2, 0.5), (3, pytest.approx(1 / 3))]
    assert curves["val_loss"] == [(1, 2), (2, 1), (3, pytest.approx(2 / 3))]


def test_what_is_measured_beside_the_history_comes_behind_it_and_is_no_second_time_there():
    run = Run("digits", None, epochs=3, workers=1)
    run.record_epoch(0, {"loss": 0.5})
    run.record_epoch(1, {"loss": 0.4}, {"learning_rate": 0.1, "seconds_per_epoch": 2.0})
    state, points = encode(run.snapshot())
    assert [curve["name"] for curve in state["curves"]] == ["loss", "learning_rate", "seconds_per_epoch"]
    assert state["aside"] == ["learning_rate", "seconds_per_epoch"]
    assert [curve["points"] for curve in state["curves"]] == [2, 1, 1]
    assert [curve["last"] for curve in state["curves"]] == [0.4, 0.1, 2.0]
    assert [curve["best"] for curve in state["curves"]] == [(2, 0.4), None, None]
    assert (state["more"], len(points)) == (0, 4 * 8)
    run.record_epoch(2, {"loss": 0.3, "learning_rate": 0.2}, {"learning_rate": 0.2})
    state, _ = encode(run.snapshot())
    assert [curve["name"] for curve in state["curves"]] == ["loss", "learning_rate", "seconds_per_epoch"]
    assert state["aside"] == ["seconds_per_epoch"]
    assert list(run.history) == ["loss", "learning_rate"]


def test_a_snapshot_is_json_and_small_after_10_000_epochs():
    run = started()
    for epoch in range(10_000):
        run.record_epoch(epoch, dict.fromkeys(["loss", "val_loss", "auc", "val_auc"], math.sin(epoch)))

    state, points = encode(run.snapshot())

    assert len(points) <= 4 * 400 * 8
    assert len(json.dumps(state, allow_nan=False)) < 2000


def test_nan_and_infinity_travel_as_words():
    run = started()
    run.record_epoch(0, {"loss": math.nan, "auc": math.inf, "mae": 1e300})

    state, _ = encode(run.snapshot())

    json.dumps(state, allow_nan=False)
    assert [curve["last"] for curve in state["curves"]] == ["NaN", "∞", 1e300]
    assert [curve["points"] for curve in state["curves"]] == [0, 0, 1]


def test_the_view_says_what_it_shows_where_widgets_are_unknown(wire):
    view = View(started())

    data, _ = view._repr_mimebundle_()

    assert data["text/plain"] == "Training digits"
    assert "application/vnd.jupyter.widget-view+json" in data


def test_the_script_loads_nothing_from_the_network(wire):
    view = View(started())

    assert "import" not in view._esm
    assert "http" not in view._esm.replace("http://www.w3.org/2000/svg", "")
    assert "url(" not in view._css


def test_the_stop_button_stops_the_run_and_other_messages_do_nothing(wire):
    run = started()
    View(run)

    for strange in ({"type": "start"}, {}, "stop", None, ["stop"]):
        wire.click(strange)

    assert not run.stopping.is_set()
    wire.click({"type": "stop"})
    assert run.stopping.is_set()


def test_the_page_pauses_resumes_and_sets_the_learning_rate(wire):
    run = started()
    View(run)

    wire.click({"type": "pause", "ask": "1"})
    assert run.pausing.is_set()
    wire.click({"type": "resume", "ask": "2"})
    assert not run.pausing.is_set()
    wire.click({"type": "learning_rate", "ask": "3", "value": "0.25"})
    assert run.steering.rate.value == 0.25


def test_what_is_said_again_is_done_once(wire):
    run = started()
    View(run)

    for _ in range(3):
        wire.click({"type": "learning_rate", "ask": "1", "value": "0.25"})

    assert run.steering.rate.number == 1


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ({"type": "learning_rate", "value": "-1"}, "learning rate -1.0 is no positive number"),
        ({"type": "learning_rate", "value": "<b>"}, "learning rate '<b>' is no positive number"),
        ({"type": "learning_rate"}, "learning rate 'None' is no positive number"),
        ({"type": "pause"}, "digits cannot pause: nobody hears it"),
    ],
)
def test_the_next_snapshot_brings_what_was_refused(wire, slot, clock, message, words):
    run = started(1)
    run.steering.refuse("nobody hears it")
    live = jupyter.Live(run)
    live.update()
    wire.sent.clear()

    wire.click({**message, "ask": "7"})
    assert wire.sent == []  # nothing may be sent by the thread that hears
    clock.monotonic += 0.3
    live.update()

    (answer,) = [data["state"]["state"]["answers"][message["type"]] for data, _ in wire.sent]
    assert answer["ask"] == "7"
    assert words in answer["error"]


def test_the_kernel_forgets_who_made_the_line_from_the_page(wire):
    wire._reply_subshell_id = None  # as ipykernel 7.4 leaves it when the comm was opened
    heard = []

    QuietLine(heard.append)
    wire.click("a")

    assert "_reply_subshell_id" not in vars(wire)
    assert heard == ["a"]
    assert len(wire.sent) == 0


def test_every_view_of_a_run_is_fed_and_replaced(wire, slot, clock):
    run = started(1, background=True)
    live = jupyter.Live(run)
    jupyter.show(run)
    live.update()
    wire.sent.clear()
    run.record_epoch(1, {"loss": 0.5, "val_loss": 1.0})
    clock.monotonic += 0.3

    live.update()

    assert [data["state"]["state"]["logged"] for data, _ in wire.sent] == [2, 2]
    run.end("finished")
    live.finish()
    assert [type(shown).__name__ for shown in slot] == ["View", "View", "dict", "dict"]
    jupyter.show(run)
    assert "<script" in slot[-1]["text/html"]
    assert "<script" not in slot[-2]["text/html"]


def test_a_run_at_work_that_was_never_live_is_shown_as_a_picture(wire, slot):
    jupyter.show(started(2))

    assert set(slot[0]) == {"text/html", "image/png", "text/plain"}
    assert "<script" not in slot[0]["text/html"]


def test_a_terminal_shows_a_run_in_words(capsys):
    nbkeras.show(started(2))

    assert capsys.readouterr().out.startswith("digits at work since ")


def test_a_name_cannot_end_the_script_of_an_ended_run():
    run = Run("</script><img src=x>", model=None, epochs=1, workers=1)
    run.record_epoch(0, {"</script>": 0.5, "loss": 1.0})
    run.end("finished")

    page = panel.bundle(run.snapshot())["text/html"]

    assert page.count("</script>") == 1
    assert page.endswith("</script>")
    assert "<img src=x>" not in page


@pytest.mark.parametrize("name", ["view.js", "ended.js", "builder.js", "runs.js"])
def test_a_script_is_put_together_of_every_file_it_needs_once(name):
    made = frontend.script(name)

    files = re.findall(r"^// -- (\S+) --$", made, re.MULTILINE)
    names = re.findall(r"^(?:async )?(?:function|const|let) (\w+)", made, re.MULTILINE)
    assert files[-1] == name
    assert len(files) == len(set(files)) > 1
    assert len(names) == len(set(names))  # they share one scope
    assert not re.findall(r"^import|^export (?!default)", made, re.MULTILINE)


def test_nothing_is_sent_when_nothing_changed(wire, slot, clock):
    live = jupyter.Live(started(1))
    live.update()
    wire.sent.clear()

    for _ in range(36):
        clock.monotonic += 0.25
        live.update()

    assert wire.sent == []


def test_a_sign_of_life_is_sent_every_ten_seconds(wire, slot, clock):
    live = jupyter.Live(started(1))
    wire.sent.clear()

    for _ in range(130):
        clock.monotonic += 0.25
        live.update()

    assert 2 <= len(wire.sent) <= 4


def test_at_most_four_snapshots_a_second_are_sent_each_in_one_message(wire, slot, clock):
    run = started()
    live = jupyter.Live(run)
    run.record_epoch(0, {"loss": 1.0})
    live.update()
    wire.sent.clear()

    for epoch in range(1, 1001):
        clock.monotonic += 0.01
        run.record_epoch(epoch, {"loss": 1 / epoch})
        live.update()

    assert 30 <= len(wire.sent) <= 40
    for data, buffers in wire.sent:
        assert data["method"] == "update"
        assert set(data["state"]) == {"state"}
        assert data["buffer_paths"] == [["points"]]
        assert len(buffers) == 1


def test_the_first_epoch_is_sent_at_once(wire, slot, clock):
    run = started()
    live = jupyter.Live(run)
    wire.sent.clear()
    clock.monotonic += 0.01
    run.record_epoch(0, {"loss": 1.0})

    live.update()

    assert len(wire.sent) == 1


def test_a_display_that_costs_much_is_sent_less_often(wire, slot, clock, monkeypatch):
    run = started(1)
    live = jupyter.Live(run)
    live.update()
    monkeypatch.setattr(View, "show", lambda *_: setattr(clock, "thread", clock.thread + 0.004))

    for epoch in range(1, 1001):
        clock.monotonic += 0.1
        run.record_epoch(epoch, {"loss": 1.0})
        live.update()

    assert clock.thread <= 0.0051 * 100


def test_at_the_end_the_picture_replaces_the_view_and_the_view_is_closed(wire, slot, clock):
    run = started(2)
    live = jupyter.Live(run)
    run.end("finished")

    live.finish()

    assert [type(shown).__name__ for shown in slot] == ["View", "dict"]
    assert set(slot[1]) == {"text/html", "image/png", "text/plain"}
    assert wire.sent[-1][0]["state"]["state"]["status"] == "finished"
    assert wire.closed


def test_a_view_that_a_reloaded_page_shows_stays_open(wire, slot, clock):
    run = started(2, background=True)
    live = jupyter.Live(run)
    for page in (0.1, 0.2):
        wire.click({"type": "shown", "page": page})
    run.end("finished")

    live.finish()

    assert not wire.closed


def test_a_headless_notebook_gets_a_line_each_ten_seconds_and_the_picture(slot, clock, capsys):
    run = started()
    shown = jupyter.Headless(run)
    for epoch in range(1000):
        clock.monotonic += 0.1
        run.record_epoch(epoch, {"loss": 1.0})
        shown.update()
    run.end("finished")

    shown.finish()

    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "epoch 1 of 50  loss 1"
    assert len(lines) == 11
    assert [set(bundle) for bundle in slot] == [{"text/html", "image/png", "text/plain"}]


def test_a_terminal_gets_a_line_for_each_phase_and_epoch(capsys):
    run = started(asked=2, workers=1)
    lines = terminal.Lines(run)
    run.enter("slots")
    lines.update()
    run.enter("training")
    run.note("BatchNormalization sees each worker's rows only.")
    for epoch in range(2):
        run.record_epoch(epoch, {"loss": 0.25}, partial=epoch == 1)
        lines.update()
        lines.update()
    run.end("stopped")
    lines.finish()

    *said, last = capsys.readouterr().out.splitlines()
    assert said == [
        "Waiting for room for the worker on Spark",
        "BatchNormalization sees each worker's rows only.",
        "epoch 1 of 2  loss 0.25",
        "epoch 2 of 2 (unfinished)  loss 0.25",
    ]
    assert last.startswith("digits stopped after 2 epochs in ")


class Screen(io.StringIO):
    """A terminal, as far as one line is cleared and written again."""

    def isatty(self):
        return True

    def lines(self):
        return [line.rsplit("\r\x1b[K", 1)[-1] for line in self.getvalue().split("\n")]


@pytest.mark.parametrize(("columns", "language"), [(80, "en"), (40, "en"), (40, "zh")])
def test_the_last_line_of_a_terminal_is_the_place_in_the_epoch(monkeypatch, columns, language):
    screen = Screen()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("NBKERAS_LANG", language)
    run = started(asked=3, workers=1)
    lines = terminal.Lines(run)
    run.enter("training")
    run.record_progress(0, 1, 1000, 0.0, 0.001)
    run.record_epoch(0, {"loss": 0.25})
    run.record_progress(1, 400, 1000, 0.0, 0.001)
    lines.update()
    first, place = screen.lines()
    run.record_progress(1, 900, 1000, 0.0, 0.001, 0.2)
    lines.update()
    *_, later = screen.lines()
    run.note("A worker was lost.")
    lines.update()
    run.record_epoch(1, {"loss": 0.125})
    run.end("finished")
    lines.finish()

    begun = {"en": "Epoch 2 of 3: batch 400 of 1,000  ━", "zh": "第 2/3 轮"}[language]
    assert place.startswith(begun)
    assert place != later
    if columns == 80:
        assert place.split("  ")[1] == "━" * 8 + "─" * 12
        assert re.fullmatch(r"about .+ left", place.split("  ")[2])
        assert later.split("  ")[2] == "loss 0.2"
    wide = [1 + (unicodedata.east_asian_width(sign) in "WF") for sign in place]
    assert sum(wide) < columns
    assert screen.lines()[1] == "A worker was lost."
    assert screen.lines()[0] == first
    assert len(screen.lines()) == 5  # an epoch, a note, an epoch, the end, and nothing of the bar
    assert not any("━" in line for line in screen.lines())


def test_a_terminal_says_what_a_start_waits_for_and_a_file_does_not(monkeypatch, capsys):
    with hosts.waiting("java"):
        pass
    assert capsys.readouterr().out == ""
    screen = Screen()
    monkeypatch.setattr(sys, "stdout", screen)
    with hosts.waiting("java"):
        assert screen.lines() == ["Starting Java and Spark…"]
    assert screen.lines() == [""]


def test_an_epoch_that_takes_long_says_in_a_file_how_far_it_has_come(monkeypatch, capsys):
    now = 0.0
    monkeypatch.setattr(terminal.time, "monotonic", lambda: now)
    run = started(asked=3, workers=1)
    lines = terminal.Lines(run)
    run.enter("training")
    for now in range(0, 150, 10):  # seconds
        run.record_progress(0, 1 + now, 1000, 0.0, 0.001)
        lines.update()

    said = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in said] == [
        "Epoch 1 of 3: batch 71 of 1,000",
        "Epoch 1 of 3: batch 141 of 1,000",
    ]
    assert all("━" not in line and "\x1b" not in line for line in said)


@pytest.mark.parametrize(
    ("workers", "words"),
    [
        (1, "the worker waits and keeps its place on Spark"),
        (2, "the workers wait and keep their places on Spark"),
    ],
)
def test_a_pause_is_said_when_it_is_asked_for_and_when_it_is_there(capsys, workers, words):
    run = started(asked=3, workers=workers)
    lines = terminal.Lines(run)
    run.enter("training")
    run.record_progress(1, 4, 10, 0.0, 0.001)
    run.pause()
    assert text.phase(run.snapshot()) == PANEL["phase_pausing"] == "Pausing after this batch"
    run.enter("paused")
    lines.update()
    assert capsys.readouterr().out == f"Paused in epoch 2 of 3: {words}\n"
    run.resume()
    run.enter("training")
    assert text.phase(run.snapshot()) == "Epoch 2 of 3: batch 4 of 10"
    run.pause()
    run.stop()
    assert text.phase(run.snapshot()) == "Stopping after this batch"


def test_a_display_that_fails_does_not_end_the_training(monkeypatch, capsys):
    class Broken:
        def update(self):
            raise OSError("no front end")

        finish = update

    monkeypatch.setattr(hosts, "_choose", lambda _: Broken())
    run = started(1)
    shown = hosts.display(run)

    shown.update()
    shown.update()
    shown.finish()

    assert run.notes == ["The live chart stopped (OSError: no front end); the training goes on."]
    assert "loss 1" in capsys.readouterr().out


@pytest.mark.usefixtures("wire", "slot")
@pytest.mark.parametrize(
    ("shell", "expected"),
    [
        (None, "Lines"),
        (types.SimpleNamespace(), "Lines"),
        (types.SimpleNamespace(kernel=types.SimpleNamespace(_allow_stdin=True)), "Live"),
        (types.SimpleNamespace(kernel=types.SimpleNamespace(_allow_stdin=False)), "Headless"),
    ],
)
def test_the_host_is_chosen_by_what_runs_the_cell(monkeypatch, shell, expected):
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))

    assert type(hosts._choose(started())).__name__ == expected
    assert hosts.headless() is (expected == "Headless")


def test_the_phases_of_a_stream_are_said_once_not_with_each_micro_batch(capsys):
    run = Run("flow", model=None, epochs=1, workers=2)
    lines = terminal.Lines(run)
    for batch in range(3):
        for phase in ("waiting", "preparing", "slots", "starting", "training"):
            run.enter(phase)
            lines.update()
        run.go_on(batch + 1)
        run.record_epoch(batch, {"loss": 0.5})
    lines.update()

    said = capsys.readouterr().out.splitlines()
    assert [line for line in said if not line.startswith("epoch")] == [
        "Waiting for rows of the stream",
        "Waiting for room for 2 workers on Spark",
        "Starting 2 trainers",
    ]
    assert len(said) == 6
