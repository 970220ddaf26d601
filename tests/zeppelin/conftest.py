from __future__ import annotations

import sys
from pathlib import Path

import pytest
from zeppelin import assemble
from zeppelin.server import Zeppelin

from nbkeras import java

ROOT = Path(__file__).parents[2]
EDITION = pytest.StashKey[str]()

# Zeppelin before 0.11 looks for a package by the name it had long ago.
PYTHON = f"""#!/bin/sh
case "$*" in
    "-m pip freeze") "{sys.executable}" "$@" | sed s/^jupyter_client/jupyter-client/ ;;
    *) exec "{sys.executable}" "$@" ;;
esac
"""

PROPERTIES = {
    "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}",
    "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "python",  # Zeppelin's own stubs are of 2020
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "zeppelin.IPythonInterpreter.precode": "%load_ext nbkeras",
    "zeppelin.python.gatewayserver_address": "127.0.0.1",
}


@pytest.fixture(scope="session")
def zeppelin(request, tmp_path_factory, wait_for):
    """A server whose kernels know nbkeras."""
    java.ensure()
    try:
        home = assemble.assemble(Path(request.config.cache.mkdir("zeppelin")))
    except assemble.Unavailable as reason:
        pytest.skip(str(reason))
    request.config.stash[EDITION] = assemble.describe(home)
    root = tmp_path_factory.mktemp("zeppelin")
    python = root / "python"
    python.write_text(PYTHON)
    python.chmod(0o755)
    with Zeppelin(home, root, wait_for).served() as zeppelin:
        zeppelin.configure("python", PROPERTIES | {"zeppelin.python": str(python)})
        yield zeppelin


@pytest.fixture(scope="session")
def plain(zeppelin):
    """The name of an interpreter that is no IPython."""
    zeppelin.add_interpreter("plain", "python", {"zeppelin.python.useIPython": "false"})
    return "plain"


def pytest_terminal_summary(terminalreporter, config):
    if EDITION in config.stash:
        terminalreporter.section("Zeppelin")
        terminalreporter.line(config.stash[EDITION])
