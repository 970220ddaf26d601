"""What is said in a trainer becomes lines for the notebook, and still comes where it went before."""

from __future__ import annotations

import io
import logging
import sys
import warnings

import pytest

from nbkeras.worker import spoken

pytestmark = pytest.mark.usefixtures("any_backend")


def say(text):
    sys.stdout.write(text)


@pytest.fixture
def heard(monkeypatch):
    """What is told of a function's words, and what has come out of its streams."""

    def heard(speak):
        under = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
        monkeypatch.setattr(sys, "stdout", under)
        monkeypatch.setattr(sys, "stderr", under)
        # Those of pytest, which a trainer has not.
        monkeypatch.setattr(logging.getLogger(), "handlers", [])
        lines = []
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            with spoken.forwarded(lines.append):
                speak()
        assert sys.stdout is sys.stderr is under
        return lines, under.buffer.getvalue().decode()

    return heard


def test_prints_warnings_and_loggers_are_told_once_and_written_on(heard):
    def speak():
        for _ in range(3):
            say("stopped early\n")
            warnings.warn("no such metric", stacklevel=1)
            logging.getLogger("keras.own").warning("%d rows are gone", 3)
            logging.getLogger("tensorflow").warning("a retracing")

    lines, written = heard(speak)
    assert sorted(lines) == ["3 rows are gone", "UserWarning: no such metric", "a retracing", "stopped early"]
    assert written.count("stopped early") == 3
    assert "UserWarning: no such metric" in written


def test_a_progress_bar_is_told_as_it_ends_and_grows_for_ever_nowhere(heard):
    def speak():
        for step in range(5000):
            say(f"\rstep {step} of 5000")
        assert len(sys.stdout._begun) < 40
        say("." * 100_000)
        assert len(sys.stdout._begun) <= spoken.LONGEST + 1
        say("\nthe last line")

    lines, _ = heard(speak)
    assert lines[0].startswith("step 4999 of 5000....")
    assert lines[1:] == ["the last line"]


def test_so_many_lines_are_told_and_that_there_are_more(heard):
    lines, written = heard(lambda: [say(f"line {number}\n") for number in range(1000)])
    assert len(lines) == spoken.MOST + 1
    assert lines[-1] == f"more than {spoken.MOST} lines were said: the rest is left out"
    assert written.count("\n") == 1000


def test_what_is_badly_said_raises_nothing_and_filters_of_the_users_own_hold(heard):
    def speak():
        warnings.filterwarnings("ignore", message="of old")
        warnings.warn("of old", stacklevel=1)
        logging.getLogger("tensorflow").warning("%d rows", "many")

    assert not [line for line in heard(speak)[0] if "of old" in line]


def test_the_streams_are_those_that_they_were(heard):
    def speak():
        assert (sys.stdout.encoding, sys.stdout.writable()) == ("utf-8", True)
        sys.stdout.buffer.write(b"bytes")

    assert heard(speak) == ([], "bytes")
