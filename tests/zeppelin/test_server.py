"""The server that the other tests run on is a real one."""

from __future__ import annotations

from waiting import wait_for

SHOW = """%python.ipython
from IPython.display import HTML, display
print(type(z).__name__)
display(HTML("<b>bold</b>"))
"""

SLEEP = """
import time
z.getInterpreterContext().setProgress(7)
time.sleep(600)
"""


def outputs(result):
    return [(one["type"], one["data"].strip()) for one in result["msg"]]


def test_a_paragraph_prints_and_shows_html(zeppelin):
    note = zeppelin.note(SHOW)
    result = note.run(0)
    assert result["code"] == "SUCCESS", result
    assert outputs(result) == [("TEXT", "PyZeppelinContext"), ("HTML", "<b>bold</b>")]
    assert outputs(note.result(0)) == outputs(result), "it is saved as it was shown"


def test_python_without_ipython_runs_too(zeppelin, plain):
    note = zeppelin.note(f"%{plain}\nprint(type(z).__name__, 'get_ipython' in globals())")
    assert outputs(note.run(0)) == [("TEXT", "PyZeppelinContext False")]


def test_an_error_in_a_paragraph_is_reported(zeppelin):
    note = zeppelin.note("%python.ipython\n1 / 0")
    result = note.run(0)
    assert result["code"] == "ERROR"
    assert "ZeroDivisionError" in result["msg"][0]["data"]


def test_a_form_is_filled_in(zeppelin):
    note = zeppelin.note("%python.ipython\nprint(z.input('layers', '1'))")
    assert outputs(note.run(0)) == [("TEXT", "1")]
    assert outputs(note.run(0, params={"layers": "3"})) == [("TEXT", "3")]


def test_a_changed_text_is_what_runs(zeppelin):
    note = zeppelin.note("%python.ipython\nprint(1)")
    note.set_text(0, "%python.ipython\nprint(2)")
    assert outputs(note.run(0)) == [("TEXT", "2")]


def test_a_saved_note_can_be_imported(zeppelin):
    note = zeppelin.note("%python.ipython\nprint(3)")
    note.run(0)
    again = zeppelin.import_note(note.exported())
    assert again.id != note.id
    assert outputs(again.result(0)) == [("TEXT", "3")]


def test_a_listener_hears_output_while_a_paragraph_runs_and_cancel_ends_it(zeppelin):
    note = zeppelin.note(SHOW + SLEEP)
    with zeppelin.listen(note) as heard:
        note.start(0)
        wait_for(lambda: heard.of("PARAGRAPH_APPEND_OUTPUT"), "text")
        wait_for(lambda: [m for m in heard.of("PARAGRAPH_UPDATE_OUTPUT") if "bold" in m["data"]], "HTML")
        wait_for(lambda: [m for m in heard.of("PROGRESS") if m["progress"] == 7], "progress")
        assert note.status(0) == "RUNNING"
        assert note.progress(0) == 7
        note.cancel(0)
        assert note.wait(0) == "ABORT"
    times = [message["received"] for message in heard.messages]
    assert times == sorted(times)
