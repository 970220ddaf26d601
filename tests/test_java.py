from __future__ import annotations

import os
from pathlib import Path

import pytest

from nbkeras.errors import ClusterError
from nbkeras.spark import java

COMPLETE, STRIPPED = 0, 1


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine without any Java."""
    (tmp_path / "path").mkdir()
    (tmp_path / "home").mkdir()
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.delenv("CONDA_PREFIX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(java, "_USUAL_PLACES", (str(tmp_path / "usual" / "*"), "~/.jdk/*"))
    return tmp_path


def put_java(home: Path, version: str = "17.0.9", modules: int = COMPLETE) -> Path:
    """A script that answers as ``java`` does."""
    executable = home / "bin" / "java"
    executable.parent.mkdir(parents=True)
    executable.write_text(
        f"""#!/bin/sh
case "$1" in
    --add-modules*) exit {modules} ;;
esac
echo "    java.home = {home}" >&2
echo "    java.version = {version}" >&2
"""
    )
    executable.chmod(0o755)
    return home


def put_downloader(machine: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    """A library install-jdk that does what the test says."""
    library = machine / "library"
    library.mkdir()
    (library / "jdk.py").write_text(f"import pathlib, time\ndef install(version, *, path):\n    {body}\n")
    monkeypatch.setenv("PYTHONPATH", str(library))


def test_a_machine_without_java_has_none(machine):
    assert java.find() is None


def test_java_home_comes_before_path(machine, monkeypatch):
    monkeypatch.setenv("JAVA_HOME", str(put_java(machine / "chosen", "21.0.1")))
    on_path = put_java(machine / "other")
    (machine / "path" / "java").symlink_to(on_path / "bin" / "java")

    assert java.find() == java.Java(machine / "chosen", "21.0.1", complete=True)


def test_a_link_on_path_leads_to_the_home_of_java(machine):
    home = put_java(machine / "somewhere")
    (machine / "path" / "java").symlink_to(home / "bin" / "java")

    assert java.find().home == home


def test_java_is_found_where_conda_puts_it(machine, monkeypatch):
    monkeypatch.setenv("CONDA_PREFIX", str(machine / "conda"))
    home = put_java(machine / "conda" / "lib" / "jvm")

    assert java.find().home == home


@pytest.mark.parametrize(
    ("version", "modules"), [("11.0.2", COMPLETE), ("1.8.0_402", STRIPPED), ("17.0.9", STRIPPED)]
)
def test_a_java_that_spark_cannot_use_is_passed_over(machine, monkeypatch, version, modules):
    monkeypatch.setenv("JAVA_HOME", str(put_java(machine / "chosen", version, modules)))
    usable = put_java(machine / "usual" / "jdk-17")

    assert java.find().home == usable


def test_a_program_called_java_that_fails_is_passed_over(machine, monkeypatch):
    broken = put_java(machine / "broken")
    (broken / "bin" / "java").write_text("#!/bin/sh\nexit 1\n")
    monkeypatch.setenv("JAVA_HOME", str(broken))

    assert java.find() is None


@pytest.mark.parametrize(("spark", "usable"), [((3, 5), False), ((4, 0), False), ((4, 1), True)])
def test_java_25_needs_spark_4_1(monkeypatch, spark, usable):
    monkeypatch.setattr(java, "_spark_version", lambda: spark)

    problem = java.Java(Path("/opt/jdk-25"), "25.0.1", complete=True).problem

    assert (problem is None) is usable


@pytest.mark.parametrize(
    ("version", "major"), [("1.8.0_402", 8), ("11.0.22", 11), ("17", 17), ("17.0.15", 17), ("25-ea", 25)]
)
def test_the_major_version_is_what_people_call_it(version, major):
    assert java.Java(Path("/opt/jdk"), version, complete=True).major == major


def test_ensure_sets_java_home_and_is_quiet(machine, monkeypatch, capsys):
    home = put_java(machine / "usual" / "jdk-17")
    monkeypatch.setenv("JAVA_HOME", "")

    assert java.ensure() == home
    assert os.environ["JAVA_HOME"] == str(home)
    assert capsys.readouterr().out == ""


def test_ensure_says_when_it_replaces_a_java_home(machine, monkeypatch, capsys):
    old = put_java(machine / "old", "11.0.2")
    monkeypatch.setenv("JAVA_HOME", str(old))
    home = put_java(machine / "usual" / "jdk-17")

    java.ensure()

    assert os.environ["JAVA_HOME"] == str(home)
    assert capsys.readouterr().out == f"JAVA_HOME={old} is not a Java that Spark can run on; using {home}.\n"


def test_a_missing_java_is_installed_into_the_home_and_said_so(machine, monkeypatch, capsys):
    monkeypatch.setenv("JAVA_HOME", "")
    script = put_java(machine / "made") / "bin" / "java"
    put_downloader(
        machine,
        monkeypatch,
        "home = pathlib.Path(path) / f'jdk-{version}'; (home / 'bin').mkdir(parents=True); "
        f"java = home / 'bin' / 'java'; java.write_text(pathlib.Path({str(script)!r}).read_text()); "
        "java.chmod(0o755)",
    )

    java.ensure()

    said = capsys.readouterr().out
    assert "installing one into" in said
    assert "Java 17.0.9 is in" in said
    assert [place.name for place in (machine / "home" / ".jdk").iterdir()] == ["jdk-17"]


def test_a_download_that_fails_is_one_line_that_says_what_to_type(machine, monkeypatch):
    monkeypatch.setenv("JAVA_HOME", str(put_java(machine / "old", "11.0.2")))
    put_downloader(machine, monkeypatch, "raise OSError('host\\nunreachable')")

    with pytest.raises(ClusterError) as caught:
        java.ensure()

    message = str(caught.value)
    assert "\n" not in message
    assert "Java 11.0.2 in" in message
    assert "unreachable" in message
    assert "apt-get install" in message
    assert "brew install" in message
    assert "conda install" in message
    assert os.environ["JAVA_HOME"] == str(machine / "old")
    assert list((machine / "home" / ".jdk").iterdir()) == []


def test_a_home_that_cannot_be_written_is_one_line_too(machine):
    (machine / "home" / ".jdk").write_text("a file where the directory would be")

    with pytest.raises(ClusterError, match="none could be downloaded"):
        java.ensure()
