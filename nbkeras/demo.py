"""Demo: opens the quickstart notebook in JupyterLab, or runs it here and prints the result."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from nbkeras import bundled
from nbkeras.errors import NbkerasError
from nbkeras.spark import class_data, java

if TYPE_CHECKING:
    from nbformat import NotebookNode

NAME = "01_quickstart.ipynb"

#: Code that the kernel runs before the notebook's first cell: print each epoch and each wait.
_WATCHED = """
import contextlib
from nbkeras.notebook import hosts
from nbkeras.notebook.hosts.jupyter import Headless
from nbkeras.notebook.words import PLACES
Headless.every = 0
hosts.waiting = lambda what: contextlib.nullcontext(print(PLACES[f"wait_{what}"], flush=True))
"""
#: Code that another process runs beside JupyterLab.
_PREPARE = "from nbkeras.cli import main; main(['prepare'])"
#: Code that it runs after the last cell.
_ACCURACY = 'print(f"final test accuracy {accuracy:.4f}")'


def notebook() -> Path:
    """Return the path of the quickstart, in an installed package or in a checkout.

    Example:
        >>> notebook().name
        '01_quickstart.ipynb'
    """
    return bundled.notebook(NAME)


def open_in_jupyterlab(folder: Path, *, browser: bool = True) -> NoReturn:
    """Copy the notebooks into a folder and replace this process by the JupyterLab that shows the quickstart.

    Copies that exist already stay unchanged.

    Args:
        folder: created if it does not exist.
        browser: whether JupyterLab opens a browser.
    """
    _require("jupyterlab")
    home = java.ensure()
    copy = folder.absolute() / NAME
    if copy.exists():
        print(f"Opening your copy, {copy}.", flush=True)
    else:
        print(f"Opening {copy}.", flush=True)
    _copy_into(copy.parent)
    command = [
        *(sys.executable, "-m", "jupyterlab"),
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.root_dir={copy.parent}",
        f"--LabApp.default_url=/lab/tree/{NAME}",  # so that the printed address leads there too
    ]
    if not browser:
        command.append("--no-browser")
    _prepare(home)
    if os.geteuid() == 0:
        command.append(
            "--allow-root"
        )  # JupyterLab would refuse to start; a container often has no other user
    os.execv(sys.executable, command)  # noqa: S606  # so that Ctrl-C and the exit status are JupyterLab's


def _prepare(home: Path) -> None:
    """Let the next Spark on a Java start sooner, while somebody reads the first cells."""
    if class_data.path(home).exists():
        return
    # JupyterLab, which takes the place of this process, would never ask how a child of it has ended.
    if (child := os.fork()) == 0:
        subprocess.Popen(
            [sys.executable, "-c", _PREPARE],
            start_new_session=True,  # Ctrl-C in JupyterLab's terminal is for JupyterLab
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os._exit(0)
    os.waitpid(child, 0)


def execute() -> int:
    """Run the quickstart without a browser, print each epoch and the accuracy, and return 0.

    If a cell fails, print one line and return 1.
    """
    _require("nbclient")
    import nbformat

    java.ensure()
    quickstart = nbformat.read(notebook(), as_version=4)
    before, behind = map(nbformat.v4.new_code_cell, (_WATCHED, _ACCURACY))
    quickstart.cells = [before, *quickstart.cells, behind]
    print(f"Running {NAME} on a local Spark.", flush=True)
    with tempfile.TemporaryDirectory(prefix="nbkeras-demo-") as folder:
        return _run(quickstart, folder)


def _run(quickstart: NotebookNode, folder: str) -> int:
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, DeadKernelError

    class PrintingClient(NotebookClient):
        in_line = False

        def process_message(self, msg: dict[str, Any], cell: NotebookNode, cell_index: int) -> Any:
            if msg["msg_type"] == "stream":
                where = sys.stdout if msg["content"]["name"] == "stdout" else sys.stderr
                print(msg["content"]["text"], end="", file=where, flush=True)
                self.in_line = not msg["content"]["text"].endswith("\n")
            return super().process_message(msg, cell, cell_index)

    client = PrintingClient(quickstart, kernel_name="python3", resources={"metadata": {"path": folder}})
    try:
        with (Path(folder) / "kernel.log").open("w") as log:
            client.execute(stderr=log)  # the kernel's own log; the output of cells arrives as messages
    except CellExecutionError as error:
        reason = f"{error.ename}: {error.evalue}"
    except DeadKernelError as error:
        reason = str(error)
    else:
        return 0
    if client.in_line:
        print(flush=True)
    print(f"nbkeras: the quickstart failed: {reason.splitlines()[0]}", file=sys.stderr)
    return 1


def _copy_into(folder: Path) -> None:
    """Copy the notebooks that are not there yet: the quickstart leads to all others."""
    ours = notebook().parent
    for one in (*ours.glob("*.ipynb"), *ours.glob("zh/*.ipynb")):
        copy = folder / one.relative_to(ours)
        if not copy.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(one, copy)


def _require(module: str) -> None:
    if importlib.util.find_spec(module) is None:
        install = f"{sys.executable} -m pip install 'nbkeras[demo]'"
        raise NbkerasError(f"the demo needs {module}, which is not installed: type {install}")
