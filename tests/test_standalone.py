"""The cluster that the tests start: what it stands for is so."""

from __future__ import annotations

import subprocess
import sys

import pytest
from standalone import environment


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    return environment(tmp_path_factory.mktemp("executors"))


def run(python, code):
    return subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, check=False)


def test_the_executors_python_has_what_a_training_needs_but_not_nbkeras(python):
    done = run(python, "import sys, keras.src, tensorflow, pyarrow, pyspark; print(sys.prefix)")

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(python.parent.parent) != sys.prefix
    assert "No module named 'nbkeras'" in run(python, "import nbkeras").stderr
