"""Messages: each has one name, and one with a field that is missing or of another type is refused."""

from __future__ import annotations

from typing import get_args, get_type_hints

import pytest

from nbkeras.driver.training.inbox import Inbox
from nbkeras.transport import messages
from nbkeras.transport.wire import ProtocolError

PROGRESS = messages.Progress(type="progress", epoch=0, step=1, steps=2, rate=3.5, learning_rate=None, loss=1)


def test_a_message_that_fits_passes_as_it_is_with_what_its_channel_has_added():
    for event in (PROGRESS, {**PROGRESS, "seq": 3, "peer": "trainer-0"}):
        assert messages.event(event) is event


def test_optional_fields_may_be_missing_and_are_checked_where_they_are_there():
    rows = messages.Rows(type="rows", rank=0, rows=3)
    assert messages.event(rows) == rows
    with pytest.raises(ProtocolError, match=r"^rows: all is 1, not a bool$"):
        messages.event({**rows, "all": 1})


@pytest.mark.parametrize("field", [one for one in PROGRESS if one != "type"])
def test_a_field_that_is_missing_is_named(field):
    with pytest.raises(ProtocolError, match=rf"^progress: {field} is missing$"):
        messages.event({key: value for key, value in PROGRESS.items() if key != field})


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        ("progress", "epoch", "1"),
        ("progress", "epoch", True),
        ("progress", "epoch", 1.0),
        ("progress", "rate", None),
        ("progress", "loss", [1.0]),
        ("phase", "phase", "done"),
        ("phase", "phase", ["training"]),
        ("note", "sentence", {"a": 1}),
        ("ready", "nulls", {"a": "many"}),
        ("failure", "frames", [3]),
    ],
)
def test_a_field_of_another_type_is_refused(kind, field, value):
    events = {
        "progress": PROGRESS,
        "phase": {"type": "phase"},
        "note": {"type": "note"},
        "ready": {"type": "ready", "rows": 1, "validation": 0, "layout": {}},
        "failure": {"type": "failure", "rank": 0, "host": "here", "kind": "E", "message": "no"},
    }
    with pytest.raises(ProtocolError, match=f"^{kind}: {field} is "):
        messages.event({**events[kind], field: value})


@pytest.mark.parametrize("message", [{}, {"type": "unknown"}, {"type": ["stop"]}, {"type": None}])
def test_what_has_no_known_name_is_no_message(message):
    assert messages.event(message) is None
    assert messages.control(message) is None


def test_control_events_are_not_taken_for_events():
    assert messages.event(messages.Stop(type="stop")) is None
    assert messages.control(PROGRESS) is None


def test_each_name_stands_for_one_message():
    for union in (messages.WorkerEvent, messages.ControlEvent):
        assert len(messages._kinds(union)) == len(get_args(union))


def test_each_event_is_taken_by_the_notebook():
    names = {get_args(get_type_hints(one)["type"])[0] for one in get_args(messages.WorkerEvent)}
    # A sign of life says nothing more than that it is there.
    assert [name for name in sorted(names) if not hasattr(Inbox, f"_on_{name}")] == ["alive"]
