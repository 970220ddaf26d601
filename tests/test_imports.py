"""What TensorFlow says of the machine when a notebook imports it: with a package that says the same."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from lifeline import ENDS_WITH_US

pytestmark = pytest.mark.process

#: As TensorFlow 2.21 writes them on a machine without a GPU, past Python's own stream.
_OF_THE_MACHINE = """\
WARNING: All log messages before absl::InitializeLog() is called are written to STDERR
I0000 00:00:1795667206.670876    2748 cudart_stub.cc:31] Could not find cuda drivers on your machine.
2026-11-26 04:27:06.670: E external/xla/cuda_fft.cc:467] Unable to register cuFFT factory: there is one.
To enable the following instructions: AVX2 FMA, in other operations, rebuild TensorFlow.
"""
_FAILED_QUERY = "E0000 00:00:1795667221.561    2748 cuda_platform.cc:52] failed call to cuInit: INTERNAL"
_OTHERS = (
    "W0000 00:00:1795667221.561    2748 gpu_device.cc:9] Cannot dlopen some GPU libraries.\n"
    "ImportWarning: of Python\n"
)

_PACKAGE = f"""
import os
os.write(2, {(_OF_THE_MACHINE + _OTHERS).encode()!r})
if "BROKEN" in os.environ:
    raise ImportError("it is broken")
class config:
    @staticmethod
    def list_physical_devices():
        if "WITHOUT" in os.environ:
            raise RuntimeError("a plug-in is broken")
        os.write(2, {_FAILED_QUERY.encode()!r} + b"\\n")
"""


@pytest.fixture
def said(tmp_path):
    """What a script with such a TensorFlow writes to stderr."""
    (tmp_path / "tensorflow.py").write_text(_PACKAGE)

    def said(script, **environment):
        settings = {key: value for key, value in os.environ.items() if key != "TF_CPP_MIN_LOG_LEVEL"}
        script = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{script}"
        done = subprocess.run(
            [*ENDS_WITH_US, sys.executable, "-c", script],
            env=settings | environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stderr

    return said


_BEFORE = "from nbkeras.notebook import imports; imports.without_words(); import tensorflow"
_AFTER = "import tensorflow; from nbkeras.notebook import imports; imports.without_words()"


def test_what_it_says_of_the_machine_is_left_out_and_all_else_comes_through(said):
    assert said(_BEFORE) == _OTHERS


def test_after_its_import_the_first_question_for_devices_says_nothing(said):
    assert said(_AFTER) == _OF_THE_MACHINE + _OTHERS


def test_a_question_for_devices_that_fails_does_not_end_the_import(said):
    assert said(_BEFORE, WITHOUT="") == _OTHERS


def test_a_user_that_asks_for_all_messages_sees_all(said):
    assert said(_BEFORE, TF_CPP_MIN_LOG_LEVEL="0") == _OF_THE_MACHINE + _OTHERS


def test_where_it_cannot_be_imported_all_is_shown(said):
    assert said(_BEFORE, BROKEN="").startswith(_OF_THE_MACHINE + _OTHERS + "Traceback")


def test_to_look_for_it_does_not_end_the_silence(said):
    assert said(f"import importlib.util; importlib.util.find_spec('tensorflow'); {_BEFORE}") == _OTHERS
    searched = _BEFORE.replace("import tensorflow", "import importlib.util as u; u.find_spec('tensorflow')")
    assert said(f"{searched}; import tensorflow") == _OTHERS
