import itertools
import json
import math
import struct
import sys
import types

import ipywidgets.comm
import pytest

from nbkeras.notebook import hosts
from nbkeras.notebook.hosts import jupyter, pace, terminal
from nbkeras.notebook.view import View, encode
from nbkeras.run import Run


def started(epochs=0, *, asked=50, workers=2, **more):
    run = Run("digits", model=None, epochs=asked, workers=workers, **more)
    for epoch in range(epochs):
        run.record_epoch(epoch, {"loss": 1 / (epoch + 1), "val_loss": 2 / (epoch + 1)})
    return run


def decode(state, points):
    """Read the wire format as view.js does."""
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
    view = View(started().snapshot(), on_stop=lambda: None)

    data, _ = view._repr_mimebundle_()

    assert data["text/plain"] == "Training digits"
    assert "application/vnd.jupyter.widget-view+json" in data


def test_the_script_loads_nothing_from_the_network(wire):
    view = View(started().snapshot(), on_stop=lambda: None)

    assert "import" not in view._esm
    assert "http" not in view._esm.replace("http://www.w3.org/2000/svg", "")
    assert "url(" not in view._css


def test_the_stop_button_stops_the_run_and_other_messages_do_nothing(wire):
    run = started()
    View(run.snapshot(), on_stop=run.stop)

    for strange in ({"type": "start"}, {}, "stop", None, ["stop"]):
        wire.click(strange)

    assert not run.stopping.is_set()
    wire.click({"type": "stop"})
    assert run.stopping.is_set()


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
    monkeypatch.setattr(live._view, "show", lambda _: setattr(clock, "thread", clock.thread + 0.004))

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
    wire.click({"type": "shown"})
    wire.click({"type": "shown"})
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
        "Waiting for a free Spark slot",
        "BatchNormalization sees each worker's rows only.",
        "epoch 1 of 2  loss 0.25",
        "epoch 2 of 2 (unfinished)  loss 0.25",
    ]
    assert last.startswith("digits stopped after 2 epochs in ")


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
