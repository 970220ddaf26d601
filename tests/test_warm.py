"""What is ready before a training: Spark's classes in memory, a server of trainers. Costs 8 CPU seconds."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import jvm
import processes
import psutil
import pytest

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


def test_the_users_own_options_stay_and_come_first(kept, monkeypatch):
    monkeypatch.setenv("SPARK_SUBMIT_OPTS", "-Xss4m")
    with class_data.used():
        assert os.environ["SPARK_SUBMIT_OPTS"].startswith(f'-Xss4m -XX:SharedArchiveFile="{kept}"')
    assert os.environ["SPARK_SUBMIT_OPTS"] == "-Xss4m"


def test_a_file_that_the_user_names_is_the_one(kept, monkeypatch):
    monkeypatch.setenv("SPARK_SUBMIT_OPTS", "-XX:SharedArchiveFile=/my.jsa")
    with class_data.used():
        assert os.environ["SPARK_SUBMIT_OPTS"] == "-XX:SharedArchiveFile=/my.jsa"


def test_without_a_file_java_starts_as_ever(cache):
    with class_data.used():
        assert "SPARK_SUBMIT_OPTS" not in os.environ


def test_a_session_that_fails_leaves_no_file_and_says_what_it_takes(cache, monkeypatch):
    monkeypatch.setattr(class_data, "_SESSION", "raise SystemExit('no room in here')")
    with pytest.raises(
        ClusterError, match=r"Java has written no .*\.jsa \(no room in here\): \d+ MB are free"
    ):
        class_data.make(class_data.path(java.ensure()))
    assert [one for one in cache.rglob("*") if one.is_file()] == []


def test_what_is_prepared_already_is_not_prepared_again(kept, monkeypatch, capsys):
    monkeypatch.delattr(class_data, "make")
    assert cli.main(["prepare"]) == 0
    assert capsys.readouterr().out == f"Spark starts quickly here already, by {kept}.\n"


def test_preparing_says_that_it_takes_a_while_and_what_it_has_made(cache, monkeypatch, capsys):
    monkeypatch.setattr(class_data, "make", lambda place: place.write_bytes(b"x" * 2_000_000))
    class_data.path(java.ensure()).parent.mkdir()
    assert cli.main(["prepare"]) == 0
    begun, done = capsys.readouterr().out.splitlines()
    assert begun.startswith("Preparing a quick start of Spark")
    assert done.endswith(f"by {class_data.path(java.ensure())}, 2 MB.")


def test_the_demo_prepares_beside_jupyterlab_and_leaves_no_child(cache, monkeypatch, wait_for):
    said = cache / "said"
    monkeypatch.setattr(demo, "_PREPARE", f"import pathlib; pathlib.Path({str(said)!r}).write_text('done')")
    demo._prepare()
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
