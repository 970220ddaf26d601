"""Tests that are killed leave nothing at work."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from processes import family, is_alive

_BEGIN = """
import sys
from pathlib import Path
from waiting import wait_for
folder = Path(sys.argv[1])
"""
_END = """:
    print("up", flush=True)
    sys.stdin.read()
"""
SERVERS = {
    "cluster": "from standalone import Cluster\nwith Cluster(folder, workers=1)",
    "connect": "from connectserver import ConnectServer\nwith ConnectServer(folder, 'local', sys.executable)",
    "jupyterlab": "from browser.conftest import Lab\nwith Lab(folder, wait_for).served()",
}


@pytest.mark.soak  # of tests that were killed
@pytest.mark.cluster
@pytest.mark.parametrize("server", SERVERS)
def test_servers_end_with_the_tests_that_have_started_them(tmp_path, wait_for, server):
    here = str(Path(__file__).parent)
    path = os.pathsep.join([here, str(Path(here).parent), os.environ.get("PYTHONPATH", "")])
    tests = subprocess.Popen(
        [sys.executable, "-c", _BEGIN + SERVERS[server] + _END, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": path},
    )
    with tests:
        assert tests.stdout.readline() == b"up\n"
        started = family(tests.pid)
        assert any(one.name() in {"java", "python"} for one in started)
        psutil.Process(tests.pid).kill()
    wait_for(lambda: not any(map(is_alive, started)), "the servers to end")
