"""What is ready before a training: Spark's classes in memory, a server of trainers. Costs 25 CPU seconds."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import jvm
import processes
import psutil
import pytest
from lifeline import ENDS_WITH_US

import nbkeras
from nbkeras import cli, demo
from nbkeras.driver.training import warm
from nbkeras.errors import ClusterError
from nbkeras.spark import class_data, java


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty folder for what is kept, and no file of the tests."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("SPARK_SUBMIT_OPTS", raising=False)
    return tmp_path


@pytest.fixture
def kept(cache):
    """A file that looks like that of this Java and this Spark."""
    place = class_data.path(java.ensure())
    place.parent.mkdir()
    place.write_bytes(b"x" * 2_000_000)
    return place


@pytest.mark.on("local")
def test_java_has_sparks_classes_from_the_file(spark):
    if not jvm.ARCHIVE.exists():  # made before the first test, where all are run
        pytest.fail("python tests/jvm.py makes the file")
    mapped = Path(f"/proc/{java_of(spark).pid}/maps").read_text(encoding="utf-8")
    assert str(jvm.ARCHIVE) in mapped


def java_of(spark):
    return psutil.Process(int(spark._jvm.java.lang.ProcessHandle.current().pid()))


def test_a_spark_that_starts_takes_the_file_of_its_java_and_its_spark(kept):
    with class_data.used():
        assert f'"{kept}"' in os.environ["SPARK_SUBMIT_OPTS"]
    assert "SPARK_SUBMIT_OPTS" not in os.environ


def test_the_users_own_options_stay_and_have_the_last_word(kept, monkeypatch):
    monkeypatch.setenv("SPARK_SUBMIT_OPTS", "-Xlog:gc")
    with class_data.used() as file:
        assert os.environ["SPARK_SUBMIT_OPTS"].startswith(f'-XX:SharedArchiveFile="{kept}" ')
        assert os.environ["SPARK_SUBMIT_OPTS"].endswith(" -Xlog:gc")
    assert os.environ["SPARK_SUBMIT_OPTS"] == "-Xlog:gc"
    assert file == kept


def test_a_file_that_the_user_names_is_the_one(kept, monkeypatch):
    monkeypatch.setenv("SPARK_SUBMIT_OPTS", "-XX:SharedArchiveFile=/my.jsa")
    with class_data.used() as file:
        assert os.environ["SPARK_SUBMIT_OPTS"] == "-XX:SharedArchiveFile=/my.jsa"
    assert file is None


def test_without_a_file_java_starts_as_ever(cache):
    with class_data.used():
        assert "SPARK_SUBMIT_OPTS" not in os.environ


def test_a_session_that_fails_leaves_no_file_and_says_what_it_takes(cache, monkeypatch):
    monkeypatch.setattr(class_data, "_SESSION", "raise SystemExit('no room in here')")
    said = r"Java has written no .*\.jsa \(no room in here\): it takes about 160 MB, and \d+ MB are free"
    with pytest.raises(ClusterError, match=said):
        class_data.make(class_data.path(java.ensure()))
    assert [one for one in cache.rglob("*") if one.is_file()] == []


def test_an_interrupt_ends_the_session_and_leaves_no_file(cache, monkeypatch, wait_for):
    monkeypatch.setattr(class_data, "_SESSION", "import time; time.sleep(3600)")

    def sessions():
        return [one for one in psutil.Process().children() if "time.sleep(3600)" in str(one.cmdline())]

    def interrupt():
        wait_for(sessions, "the small session to begin")
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        class_data.make(class_data.path(java.ensure()))
    assert sessions() == []
    assert [one for one in cache.rglob("*") if one.is_file()] == []


def test_a_folder_that_cannot_be_written_is_one_line(cache):
    (cache / "nbkeras").write_text("a file")
    with pytest.raises(ClusterError, match=r"cannot be written \(File exists\): set XDG_CACHE_HOME"):
        class_data.make(class_data.path(java.ensure()))


def test_a_new_file_takes_the_place_of_those_of_other_versions(kept, monkeypatch):
    of_java, _, state = kept.stem.partition("-")
    old, other = kept.with_name(f"{of_java}-0123.jsa"), kept.with_name(f"0123-{state}.jsa")
    half, at_work = kept.with_name("99999999.part"), kept.with_name(f"{os.getppid()}.part")
    for one in (old, other, half, at_work):
        one.touch()
    monkeypatch.setattr(class_data, "_run", lambda made, _: made.write_bytes(b"new"))
    class_data.make(kept)
    assert {*kept.parent.iterdir()} == {kept, other, at_work}
    assert kept.read_bytes() == b"new"


def test_another_spark_in_the_same_place_has_another_file(cache, monkeypatch, tmp_path):
    (tmp_path / "jars").mkdir()
    jar = tmp_path / "jars" / "spark-core.jar"
    jar.write_text("old")
    monkeypatch.setenv("SPARK_HOME", str(tmp_path))
    before = class_data.path(java.ensure())
    jar.write_text("newer")
    after = class_data.path(java.ensure())
    assert before != after
    assert before.stem.partition("-")[0] == after.stem.partition("-")[0]


@pytest.mark.process
def test_a_damaged_file_is_removed_and_spark_starts_without_it(kept, monkeypatch, tmp_path):
    monkeypatch.setenv("SPARK_SUBMIT_OPTS", " ".join(jvm.SHORT_LIVED))
    with jvm.ARCHIVE.open("rb") as whole:
        kept.write_bytes(whole.read(50_000_000))
    code = "import nbkeras; print(nbkeras.local_spark().range(3).count())"
    done = subprocess.run(
        [*ENDS_WITH_US, sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "3"
    assert not kept.exists()


def test_what_is_prepared_already_is_not_prepared_again(kept, monkeypatch, capsys):
    monkeypatch.delattr(class_data, "make")
    assert cli.main(["prepare"]) == 0
    assert capsys.readouterr().out == f"Spark starts sooner here already, by {kept}.\n"


def test_preparing_says_that_it_takes_a_while_and_what_it_has_made(cache, monkeypatch, capsys):
    monkeypatch.setattr(class_data, "make", lambda place: place.write_bytes(b"x" * 2_000_000))
    class_data.path(java.ensure()).parent.mkdir()
    assert cli.main(["prepare"]) == 0
    begun, done = capsys.readouterr().out.splitlines()
    assert begun.startswith("Making a file from which Spark starts sooner")
    assert done.endswith(f"by {class_data.path(java.ensure())}, 2 MB.")


def test_the_demo_prepares_beside_jupyterlab_and_leaves_no_child(cache, monkeypatch, wait_for):
    said = cache / "said"
    monkeypatch.setattr(demo, "_PREPARE", f"import pathlib; pathlib.Path({str(said)!r}).write_text('done')")
    demo._prepare(java.ensure())
    wait_for(said.exists, "the preparation to begin")
    assert [one for one in psutil.Process().children() if one.status() == psutil.STATUS_ZOMBIE] == []


@pytest.mark.on("local")
def test_a_block_has_a_server_ready_before_anything_is_trained(spark, monkeypatch, wait_for):
    monkeypatch.setattr(warm, "begun", {})
    with nbkeras.on_spark(backend="jax", spark=spark):
        pass
    wait_for(lambda: [one for one in processes.servers() if "jax" in str(one.cmdline())], "a server with JAX")


@pytest.mark.on("local")
def test_a_spark_gets_ready_once_for_each_backend(spark, monkeypatch):
    begun = []
    monkeypatch.setattr(warm, "begun", {})
    monkeypatch.setattr(warm, "_start", lambda _, backend: begun.append(backend))
    monkeypatch.setattr(warm.session, "thread", lambda _, work, __: Now(work))
    for backend in ("torch", "jax", "torch"):
        warm.begin(spark, backend)
    assert begun == ["torch", "jax"]


class Now:
    """A thread that works when it is started."""

    def __init__(self, work):
        self.start = work


@pytest.mark.on("local")
def test_a_python_that_is_not_the_notebooks_is_left_to_the_training(spark, monkeypatch):
    monkeypatch.setattr(warm, "begun", {})
    monkeypatch.setattr(warm.sys, "executable", f"{sys.executable}-other")
    monkeypatch.delattr(warm, "_start")
    warm.begin(spark, "torch")
    assert warm.begun == {}


def test_a_block_without_a_spark_or_with_one_that_has_ended_begins_nothing(monkeypatch):
    def ended():
        raise ClusterError("Java has ended")

    monkeypatch.setattr(warm, "begun", {})
    for found in (lambda: None, ended):
        monkeypatch.setattr(warm.session, "running", found)
        warm.begin(None, "torch")
    assert warm.begun == {}
