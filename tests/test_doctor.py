from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from nbkeras import doctor
from nbkeras.cli import main
from nbkeras.spark import java


def check(name: str) -> doctor.Check:
    return next(check for check in doctor.examine() if check.name == name)


def test_a_machine_that_has_everything_gives_a_table_of_ok_and_exits_0(capsys, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")

    assert main(["doctor"]) == 0

    lines = capsys.readouterr().out.splitlines()
    names = [line.split()[0] for line in lines]
    assert names == ["Python", "Java", "Spark", "Keras", "TensorFlow", "pandas", "ipykernel", "JupyterLab"]
    assert {line.split()[2] for line in lines} == {"ok"}


def test_a_missing_package_is_said_with_what_to_type_and_exits_1(versions, capsys):
    versions["keras"] = None

    assert main(["doctor"]) == 1

    assert f"type: {sys.executable} -m pip install 'keras>=" in capsys.readouterr().out


@pytest.mark.parametrize(("version", "forgets"), [("6.30.1", False), ("7.3.0", True), ("7.4.0", False)])
def test_a_kernel_that_may_forget_a_cell_is_said_and_no_error(versions, version, forgets):
    versions["ipykernel"] = version

    found = check("ipykernel")

    assert ("wait for ever" in found.problem) == forgets
    assert found.remedy.endswith("'ipykernel>=7.4'") == forgets
    assert not (found.problem and found.needed)


def test_pandas_3_is_too_new(versions):
    versions["pandas"] = "3.0.1"

    found = check("pandas")

    assert found.problem == "nbkeras needs pandas<3,>=2.2"
    assert found.remedy.endswith("'pandas<3,>=2.2'")


def test_jupyterlab_is_optional(versions, capsys):
    versions["jupyterlab"] = None

    assert main(["doctor"]) == 0
    assert "jupyterlab is not installed" in capsys.readouterr().out


def test_a_missing_java_is_said_with_the_commands_that_install_one(monkeypatch):
    monkeypatch.setattr(java, "candidates", lambda: iter(()))

    found = check("Java")

    assert found.version == "missing"
    assert "apt-get install" in found.remedy


def test_an_old_java_is_named(monkeypatch):
    old = java.Java(Path("/opt/jdk-11"), "11.0.2", complete=True)
    monkeypatch.setattr(java, "candidates", lambda: iter([old]))

    assert check("Java").problem == "Java 11.0.2 in /opt/jdk-11 is older than 17"


def test_the_cpu_only_tensorflow_is_a_tensorflow(versions, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    versions |= {"tensorflow": None, "tensorflow-cpu": "2.21.0"}

    assert check("TensorFlow") == doctor.Check("TensorFlow", "2.21.0")


def test_the_cpu_only_tensorflow_may_be_too_old(versions, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    versions |= {"tensorflow": None, "tensorflow-cpu": "2.4.0"}

    assert check("TensorFlow").problem.startswith("nbkeras needs tensorflow-cpu>=")


def test_the_backend_is_the_one_that_keras_would_use(versions, monkeypatch, tmp_path):
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    versions |= {"torch": None}
    (tmp_path / "keras.json").write_text('{"backend": "torch"}')

    assert check("PyTorch").version == "missing"


def test_without_a_choice_the_backend_is_tensorflow(versions, monkeypatch, tmp_path):
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))

    assert check("TensorFlow").version


def test_a_python_that_is_too_old_is_reported_with_how_to_get_another(monkeypatch):
    monkeypatch.setattr(doctor.platform, "python_version", lambda: "3.9.1")

    found = check("Python")
    assert found.problem.startswith("nbkeras needs Python ")
    assert found.remedy.endswith("-m venv .venv")


def test_an_unknown_backend_is_reported(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "theano")

    assert check("Backend").problem == "nbkeras knows tensorflow, torch, jax"


def test_the_doctor_imports_nothing_heavy():
    heavy = "{'tensorflow', 'keras', 'pyspark', 'pandas', 'jupyterlab'}"
    code = f"import sys; from nbkeras import doctor; doctor.examine(); print({heavy} & set(sys.modules))"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "set()\n"
