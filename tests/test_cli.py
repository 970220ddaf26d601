from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request

import nbformat
import pytest
from lifeline import ENDS_WITH_US

from nbkeras import cli, demo
from nbkeras.errors import ClusterError, NbkerasError
from nbkeras.spark import java

TRAINED = """
from nbkeras.notebook import hosts
from nbkeras.run.run import Run
run = Run("digits", model=None, epochs=3, workers=1)
shown = hosts.display(run)
for epoch, loss in enumerate([0.5, 0.25, 0.125]):
    run.record_epoch(epoch, {"loss": loss})
    if epoch != 1:
        shown.update()
run.end("finished")
shown.finish()
accuracy = 0.9625
"""


@pytest.fixture
def quickstart(tmp_path, monkeypatch):
    """Puts a notebook with the given cells in the place of the quickstart."""

    def put(*cells: str) -> None:
        written = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        path = tmp_path / demo.NAME
        nbformat.write(written, path)
        monkeypatch.setattr(demo, "notebook", lambda: path)

    return put


@pytest.fixture
def started(monkeypatch):
    """The commands that would have replaced this process."""
    commands = []

    def execv(_program, command):
        commands.append(command)
        sys.exit(0)

    monkeypatch.setattr(os, "execv", execv)
    return commands


@pytest.mark.parametrize("words", [["--help"], []])
def test_help_names_every_command(capsys, words):
    with pytest.raises(SystemExit) as ended:
        sys.exit(cli.main(words))

    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert "demo" in said
    assert "doctor" in said
    assert "zeppelin" in said


@pytest.mark.parametrize("words", [["no-such-command"], ["demo", "--no-such-option"], ["zeppelin", "DIR"]])
def test_what_it_does_not_know_gives_the_usage_and_exits_2(words, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(words)

    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("usage: nbkeras")


def test_an_error_is_one_line_and_exits_1(monkeypatch, capsys):
    def fail(**_):
        raise ClusterError("no Java")

    monkeypatch.setattr(demo, "execute", fail)

    assert cli.main(["demo", "--execute"]) == 1
    assert capsys.readouterr().err == "nbkeras: no Java\n"


def test_an_interrupt_exits_as_a_shell_expects(monkeypatch):
    def interrupt(**_):
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "execute", interrupt)

    assert cli.main(["demo", "--execute"]) == 130


def test_the_demo_copies_the_notebook_and_becomes_jupyterlab_on_loopback(tmp_path, started, capsys):
    folder = tmp_path / "somewhere" / "new"

    with pytest.raises(SystemExit):
        cli.main(["demo", "--folder", str(folder)])

    copy = folder / demo.NAME
    assert copy.read_bytes() == demo.notebook().read_bytes()
    links = re.findall(r"\]\(([\w/]+\.ipynb)\)", copy.read_text())
    assert links
    assert [link for link in links if not (folder / link).exists()] == []
    assert started[0][:3] == [sys.executable, "-m", "jupyterlab"]
    assert "--ServerApp.ip=127.0.0.1" in started[0]
    assert str(copy) in capsys.readouterr().out


def test_the_demo_keeps_a_copy_that_somebody_worked_on(tmp_path, started, capsys):
    (tmp_path / demo.NAME).write_text("my own")

    with pytest.raises(SystemExit):
        cli.main(["demo", "--folder", str(tmp_path)])

    assert (tmp_path / demo.NAME).read_text() == "my own"
    assert "your copy" in capsys.readouterr().out


def test_the_demo_without_jupyterlab_says_what_to_type(tmp_path, monkeypatch):
    monkeypatch.setattr(demo.importlib.util, "find_spec", lambda _name: None)

    with pytest.raises(NbkerasError, match=r"pip install 'nbkeras\[demo\]'"):
        demo.open_in_jupyterlab(tmp_path)


@pytest.mark.process
def test_jupyterlab_comes_up_with_the_notebook(tmp_path, wait_for):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    code = "from nbkeras.cli import main; main(['demo', '--no-browser', '--folder', 'lab'])"
    environment = os.environ | {"JUPYTER_PORT": str(port), "JUPYTER_CONFIG_DIR": str(tmp_path / "config")}
    lab = subprocess.Popen(
        [*ENDS_WITH_US, sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        printed = next(filter(None, map(re.compile(r"http://127\S+").search, lab.stderr)))[0]
        assert f":{port}/lab/tree/{demo.NAME}?token=" in printed
        contents = printed.replace("/lab/tree/", "/api/contents/") + "&content=0"
        answers = []

        def answered():
            with contextlib.suppress(urllib.error.URLError), urllib.request.urlopen(contents) as answer:
                answers.append(answer.read())
            return answers

        wait_for(answered, "the server to listen: it prints its address a little earlier")
        assert json.loads(answers[0])["type"] == "notebook"
    finally:
        lab.send_signal(signal.SIGTERM)
        lab.communicate()


GREETS = "with wait.shown('java'):\n    print('hello from a cell')"


def test_the_demo_can_be_executed_and_prints_each_epoch_once_and_the_accuracy(quickstart, capsys):
    quickstart("%load_ext nbkeras\nfrom nbkeras import wait", GREETS, TRAINED)

    assert cli.main(["demo", "--execute"]) == 0

    said = capsys.readouterr().out.splitlines()
    assert said[1:] == [
        "Starting Java and Spark…",
        "hello from a cell",
        "epoch 1 of 3  loss 0.5",
        "epoch 2 of 3  loss 0.25",
        "epoch 3 of 3  loss 0.125",
        "final test accuracy 0.9625",
    ]


def test_a_cell_that_fails_is_one_line_and_exits_1(quickstart, capsys):
    quickstart("print('working', end='')\nraise ValueError('two\\nlines')", TRAINED)

    assert cli.main(["demo", "--execute"]) == 1
    said = capsys.readouterr()
    assert said.out.endswith("\nworking\n")
    assert said.err == "nbkeras: the quickstart failed: ValueError: two\n"


def test_a_kernel_that_dies_is_one_line_and_exits_1(quickstart, capsys):
    quickstart("import os; os._exit(3)")

    assert cli.main(["demo", "--execute"]) == 1

    said = capsys.readouterr().err
    assert said.startswith("nbkeras: the quickstart failed: ")
    assert said.count("\n") == 1


def test_the_demo_finds_java_before_it_starts_anything(quickstart, monkeypatch, capsys):
    def fail():
        raise ClusterError("no Java 17")

    quickstart(TRAINED)
    monkeypatch.setattr(java, "ensure", fail)

    assert cli.main(["demo", "--execute"]) == 1
    assert capsys.readouterr() == ("", "nbkeras: no Java 17\n")
