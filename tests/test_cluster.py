from __future__ import annotations

import inspect
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import cloudpickle
import pytest

from nbkeras.data.names import quoted
from nbkeras.spark import cluster, package


class Clock:
    """Time that passes where somebody sleeps, and nowhere else."""

    def __init__(self):
        self.now = 1_000_000.0

    def time(self):
        return self.now

    monotonic = time

    def sleep(self, seconds):
        self.now += seconds


def application(monkeypatch, age, *slots):
    """A session on a cluster, so many seconds after its start, whose slots are asked again and again."""
    asked, clock = iter(slots), Clock()
    monkeypatch.setattr(cluster, "slots", lambda _: next(asked, slots[-1]))
    monkeypatch.setattr(cluster, "time", clock)
    context = SimpleNamespace(startTime=1000 * (clock.now - age))
    settings = {"spark.master": "spark://node:7077"}
    return SimpleNamespace(conf=settings, sparkContext=context, _jsparkSession=None), asked


@pytest.mark.parametrize("workers", [4, None])
def test_executors_of_a_new_session_are_waited_for_and_that_is_said(monkeypatch, capsys, workers):
    spark, left = application(monkeypatch, 1, *[0] * 15, 2, 2, 4)

    cluster.settle(spark, workers)

    assert list(left) == []
    assert capsys.readouterr().out == "nbkeras: waiting for Spark's executors\n"


def test_nobody_waits_for_executors_of_an_old_session_nor_for_more_than_are_needed(monkeypatch, capsys):
    spark, left = application(monkeypatch, 3600, 2, 4)
    cluster.settle(spark, None)
    assert list(left) == [4]

    spark, left = application(monkeypatch, 1, 2, 4)
    cluster.settle(spark, 2)
    assert list(left) == [4]
    assert capsys.readouterr().out == ""


_IMPORT = """
import sys
import _frozen_importlib_external
if sys.argv[2] == "another Python":
    _frozen_importlib_external.MAGIC_NUMBER = b"none"
sys.path.insert(0, sys.argv[1])
import nbkeras.job.job, nbkeras.worker.fork_server
modules = [one for name, one in sys.modules.items() if name.split(".")[0] == "nbkeras"]
print({one.__file__.rsplit(".", 1)[1] for one in modules})
print({nbkeras.worker.fork_server.hire.__code__.co_filename.removeprefix(sys.argv[1])})
"""


@pytest.mark.parametrize(
    ("python", "told"),
    [
        ("this Python", ["{'pyc'}", "{'nbkeras.zip/nbkeras/worker/fork_server.py'}"]),
        ("another Python", ["{'py'}", "{'/nbkeras/worker/fork_server.py'}"]),
    ],
)
def test_workers_import_the_package_compiled_where_their_python_is_this_one(
    monkeypatch, tmp_path, python, told
):
    ours = SimpleNamespace(application=Clock(), add_package=lambda archive: shutil.copy(archive, tmp_path))
    monkeypatch.setattr(cluster, "link", lambda _: ours)
    cluster.ship(SimpleNamespace(conf={"spark.master": "spark://node:7077"}, sparkContext=None))

    command = [sys.executable, "-I", "-c", _IMPORT, tmp_path / "nbkeras.zip", python]
    assert subprocess.check_output(command, text=True).splitlines() == told


def test_a_function_that_is_carried_works_in_a_python_without_the_package(tmp_path):
    def work(batches: str) -> str:
        return quoted(batches)

    own = package.carried(work)
    assert inspect.get_annotations(own) == {"batches": str, "return": str}
    read = (
        "import pickle, sys; work = pickle.load(sys.stdin.buffer); print(work('a b'));"
        "import nbkeras; print(nbkeras.__file__)"
    )
    # Without the module site, nothing that is installed to be edited is found.
    packages = str(Path(pytest.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-S", "-c", read],
        input=cloudpickle.dumps(own),
        env={"PYTHONPATH": packages, "SPARK_LOCAL_DIRS": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        check=True,
    )
    said, place = done.stdout.decode().splitlines()
    assert said == "`a b`"
    assert place.startswith(str(tmp_path))
    assert "nbkeras.zip" in place


def test_two_threads_send_the_package_once(monkeypatch):
    sent, sending, go_on = [], threading.Event(), threading.Event()

    def add_package(archive):
        sent.append(archive)
        sending.set()
        go_on.wait(60)

    ours = SimpleNamespace(application=Clock(), add_package=add_package)
    monkeypatch.setattr(cluster, "link", lambda _: ours)
    monkeypatch.setattr(package, "write", lambda _: None)
    spark = SimpleNamespace(conf={"spark.master": "spark://node:7077"}, sparkContext=None)
    threads = [threading.Thread(target=cluster.ship, args=(spark,)) for _ in range(2)]
    threads[0].start()
    sending.wait(60)
    threads[1].start()
    threads[1].join(0.3)  # it would have sent it by then
    go_on.set()
    for one in threads:
        one.join()

    assert len(sent) == 1
