"""Reports are kept with the run whose weights they are of, within bounds, and beside its checkpoints."""

from __future__ import annotations

import json
from types import SimpleNamespace

import keras
import pandas as pd
import pytest

import nbkeras
from nbkeras.notebook import hosts
from nbkeras.notebook.hosts import zeppelin
from nbkeras.notebook.record import Runs
from nbkeras.notebook.reports import keeping
from nbkeras.notebook.reports import report as reports
from nbkeras.notebook.reports.opened import Opened
from nbkeras.run import registry
from nbkeras.run.run import Run

WORST = pd.DataFrame({"word": ["%html <b>", "b\tc"], "_loss": [2.0, float("nan")]})


def report(title="kinds", made=1.0, **more):
    return nbkeras.Report("classification", 3, {"accuracy": 0.5}, title=title, made=made, **more)


@pytest.fixture
def known(monkeypatch):
    """The runs of this test alone."""
    monkeypatch.setattr(registry, "kept", [])
    monkeypatch.setattr(registry, "runs", [])
    return Runs(registry.runs)


def ended(model=None, status="finished", name="run"):
    run = Run(name, model, 1, workers=1)
    run.record_epoch(0, {"loss": 1.0})
    run.end(status)
    registry.runs.append(run)
    return run


def test_a_model_is_that_of_the_run_whose_weights_it_has(known):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    assert registry.origin(model) is None
    first, second = ended(model), ended(model)
    ended(model, "failed")
    assert registry.origin(model) is second
    first.weights = SimpleNamespace(load=lambda _: None)
    first.load_weights()
    assert registry.origin(model) is first
    assert registry.origin(keras.Sequential()) is None


def test_reports_are_kept_with_their_run_and_forgotten_with_it(known):
    one, other = ended(name="one"), ended(name="other")
    both, alone, loose = report("both"), report("alone"), report("loose")
    version = one.version
    registry.keep(both, one, other)
    registry.keep(alone, one)
    registry.keep(loose)
    assert one.reports == (both, alone)
    assert one.version > version
    assert known.reports == [both, alone, loose]
    assert known.others == [loose]
    shown = known.bundle()
    assert "Reports on what no run has trained, in nbkeras.runs.reports: 1" in shown["text/plain"]
    assert ">2</td>" in shown["text/html"]
    known.forget(one)
    assert known.reports == [both, loose]
    assert other.reports == (both,)


def test_the_oldest_reports_go_where_there_are_many_or_large_ones(known, monkeypatch):
    run = ended()
    monkeypatch.setattr(registry, "MOST_KEPT", 2)
    for title in "abc":
        registry.keep(report(title), run)
    assert [one.title for one in run.reports] == ["b", "c"]
    large = report("large", worst=WORST)
    monkeypatch.setattr(registry, "MOST_BYTES", large.nbytes)
    registry.keep(large, run)
    assert [one.title for one in known.reports] == ["c", "large"]
    # The newest is kept, however large it is.
    registry.keep(report("larger", worst=pd.concat([WORST] * 9)), run)
    assert [one.title for one in run.reports] == ["larger"]


def test_the_folder_of_checkpoints_has_the_reports_without_rows_of_the_data(known, tmp_path):
    run = ended()
    run.folder = str(tmp_path / "there")
    for made in range(1, keeping._MOST + 2):
        keeping.keep(report(made=float(made), worst=WORST if made > keeping._MOST else None), run)
    assert len(run.reports) == keeping._MOST + 1
    found, wrong = keeping.read(run.folder)
    assert [one.made for one in found] == list(range(2, keeping._MOST + 2))
    assert wrong == []
    assert found[-1].worst is None
    assert "worst and sample are left out" in found[-1].notes[0]
    assert nbkeras.Report(**vars(found[0])) == run.reports[1]
    assert run.notes == []

    newest = max((tmp_path / "there").iterdir())
    newest.write_text(json.dumps({"format": "nbkeras report 9"}))
    found, (line,) = keeping.read(run.folder)
    assert len(found) == keeping._MOST - 1
    assert f"{newest.name} in {run.folder} cannot be read" in line


def test_a_folder_that_takes_no_report_is_a_note_and_the_report_is_kept_here(known, tmp_path):
    (tmp_path / "file").write_text("")
    run = ended()
    run.folder = str(tmp_path / "file" / "folder")
    keeping.keep(report(), run)
    assert len(run.reports) == 1
    (note,) = run.notes
    assert "a report is not kept in" in note
    assert "\n" not in note


class Compared:
    """Something else that is kept."""

    title = "Keras beside MLlib"

    def bundle(self):
        return {"text/plain": "a table", "text/html": "<table></table>", "image/png": "cGljdHVyZQ=="}

    def save(self, path):
        path.write_text("a table")

    def live(self):
        return {"board": "a table"}


def test_whatever_shows_itself_is_kept_and_opened(known):
    run, opened, compared, kept = ended(), Opened(), Compared(), report()
    registry.keep(kept, run)
    registry.keep(compared, run)
    opened.open(run.name, lambda: run.reports)
    listed, shown = opened.state()
    assert [one["title"] for one in listed["reports"]] == ["kinds", "Keras beside MLlib"]
    assert (listed["place"], shown) == (1, {"picture": "cGljdHVyZQ==", "board": "a table"})
    for place in (True, -1, 2, "0"):
        opened.choose(place)
        assert opened.state()[0]["place"] == 1
    opened.choose(0)
    assert opened.state()[1]["report"]["title"] == "kinds"
    registry.drop(kept)
    assert opened.state()[0]["place"] == 0
    opened.close()
    assert opened.state() == (None, {})


def test_zeppelin_gets_a_picture_and_tables_of_its_own(monkeypatch, capsys):
    pages = []
    z = SimpleNamespace(getInterpreterContext=lambda: None)
    monkeypatch.setattr(zeppelin, "context", lambda: z)
    output = SimpleNamespace(replace=pages.append)
    monkeypatch.setattr(zeppelin, "Output", lambda *_, **__: output)
    reports.show(report(worst=WORST))
    lines = capsys.readouterr().out.splitlines()
    (page,) = pages
    assert page.startswith("<figure")
    assert "word" not in page
    table = lines.index("%table word\t_loss")
    assert lines[table - 1] == "%html <b>worst rows</b>"
    assert lines[table + 1 : table + 3] == ["\u200b%html <b>\t2", "b c\t"]
    assert not hosts.has_scripts()
