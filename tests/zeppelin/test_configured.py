"""What ends the kernel of the interpreter python: it comes before all that would have to start anew then."""

from __future__ import annotations

import json

import psutil
import pytest
from waiting import wait_for
from zeppelin.test_server import outputs

from nbkeras.cli import main


@pytest.mark.soak
def test_a_restart_ends_the_kernel(zeppelin):
    note = zeppelin.note("%python.ipython\nkept = 1\nimport os; print(os.getpid())", "%python.ipython\nkept")
    pid = int(outputs(note.run(0))[0][1])
    assert pid in {one.pid for one in zeppelin.processes()}
    zeppelin.restart("python")
    wait_for(lambda: not psutil.pid_exists(pid), "the kernel to end")
    assert note.run(1)["code"] == "ERROR", "a new kernel knows nothing of the old one"


def test_what_is_wrong_with_a_server_is_named_and_the_written_file_fixes_it(zeppelin, tmp_path, capsys):
    address = f"http://127.0.0.1:{zeppelin.port}"
    name, kept = "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION", "zeppelin.python.maxResult"
    before = {key: one["value"] for key, one in zeppelin.setting("python")["properties"].items()}
    try:
        zeppelin.configure("python", {name: "upb", kept: "77"})
        assert main(["zeppelin", "--server", address]) == 1
        assert name in capsys.readouterr().out

        assert main(["zeppelin", "--server", address, "--write", str(tmp_path)]) == 0
        body = json.loads((tmp_path / "python.json").read_text())
        zeppelin.call("PUT", "/interpreter/setting/python", body)
        assert main(["zeppelin", "--server", address]) == 0
        assert zeppelin.setting("python")["properties"][kept]["value"] == "77"
    finally:
        zeppelin.configure("python", before)
