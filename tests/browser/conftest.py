from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import nbformat
import pytest
from waking import woken

import nbkeras

playwright = pytest.importorskip("playwright.sync_api")
pytest.importorskip("jupyterlab")

READ_POINTS = """() => Object.fromEntries(
    [...document.querySelectorAll(".nbkeras-curve")].map((curve) => [
        curve.dataset.curve,
        [...curve.querySelectorAll("circle")].map((dot) => [+dot.dataset.epoch, +dot.dataset.value]),
    ])
)"""

# The last chart is replaced by the picture before a test can look at it.
KEEP_POINTS = f"""() => {{
    const read = {READ_POINTS};
    new MutationObserver(() => {{
        if (document.querySelector(".nbkeras-curve")) window.lastPoints = read();
    }}).observe(document.body, {{ childList: true, subtree: true }});
}}"""

KERNEL_IS_READY = """() => {
    const session = jupyterapp.shell.currentWidget?.sessionContext;
    return session?.isReady && session.session?.kernel?.status === "idle";
}"""

IS_CONNECTED = """() =>
    jupyterapp.shell.currentWidget?.sessionContext.session?.kernel?.connectionStatus === "connected"
"""

POINTS_OF_LINES = """(lines) => Math.max(
    0, ...lines.map((line) => line.getAttribute("d").split(/[ML]/).length - 1)
)"""

CELL_IS_ACTIVE = "(cell) => jupyterapp.shell.currentWidget.content.activeCellIndex === cell"


class Lab:
    """A JupyterLab server on this machine."""

    def __init__(self, root: Path, wait_for) -> None:
        self.root, self.wait_for = root, wait_for
        self.files = root / "files"
        self.files.mkdir()
        shutil.copy(Path(__file__).with_name("fed.py"), self.files)
        self.url = ""
        self.token = secrets.token_hex()
        self.set("apputils-extension/notification", fetchNews="false", checkForUpdates=False)

    def set(self, plugin: str, **values: object) -> None:
        """Change settings of JupyterLab, for pages that are opened from now on."""
        file = self.root / "settings" / "@jupyterlab" / f"{plugin}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values))

    @contextlib.contextmanager
    def served(self):
        environment = os.environ | {
            "JUPYTER_CONFIG_DIR": str(self.root / "config"),
            "JUPYTER_DATA_DIR": str(self.root / "data"),
            "JUPYTER_RUNTIME_DIR": str(self.root / "runtime"),
            "IPYTHONDIR": str(self.root / "ipython"),
            "JUPYTERLAB_SETTINGS_DIR": str(self.root / "settings"),
        }
        command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", "--port=0"]
        options = [
            "--allow-root",  # in a container
            f"--IdentityProvider.token={self.token}",
            f"--ServerApp.root_dir={self.files}",
            "--LabApp.expose_app_in_browser=True",
            "--LabApp.extension_manager=readonly",  # the other asks the network
        ]
        with (self.root / "lab.log").open("w") as log:
            server = subprocess.Popen([*command, *options], env=environment, stdout=log, stderr=log)
            try:
                written = lambda: list((self.root / "runtime").glob("jpserver-*.json"))  # noqa: E731
                self.wait_for(written, "JupyterLab to start")
                self.wait_for(lambda: written()[0].read_text().endswith("}"), "JupyterLab to start")
                self.url = json.loads(written()[0].read_text())["url"]
                with woken(lambda: (self.root / "runtime").glob("kernel-*.json")):
                    yield self
            finally:
                server.terminate()
                server.wait(30)

    def end_kernels(self) -> None:
        """End every kernel: a page that is closed leaves its own at work, and all that it has started."""
        headers = {"Authorization": f"token {self.token}"}
        with httpx.Client(base_url=self.url, headers=headers, timeout=60) as server:
            for session in server.get("api/sessions").json():
                server.delete(f"api/sessions/{session['id']}").raise_for_status()

    def add_kernel(self, version: str, *overlays: Path) -> None:
        """Offer a kernel with this version of ipykernel."""
        folder = self.root / "data" / "kernels" / f"python-{version}"
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        path = os.pathsep.join(map(str, [*overlays, Path(nbkeras.__file__).parent.parent]))
        environment = {"PYTHONPATH": path, "PYSPARK_PYTHON": sys.executable}
        spec = {"argv": command, "display_name": version, "language": "python", "env": environment}
        (folder / "kernel.json").write_text(json.dumps(spec))

    def write(self, name: str, cells: list[str], version: str) -> None:
        """Put a notebook on the server."""
        kernel = {"name": f"python-{version}", "display_name": version, "language": "python"}
        notebook = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(cell) for cell in cells], metadata={"kernelspec": kernel}
        )
        nbformat.write(notebook, self.files / name)


class Notebook:
    """A notebook that is open in the browser."""

    def __init__(self, lab: Lab, page: playwright.Page, name: str) -> None:
        self.lab, self.page, self.name = lab, page, name
        self.cells = page.locator(".jp-Notebook .jp-CodeCell")
        self.chart = page.locator(".nbkeras")
        self.stop = page.get_by_role("button", name="Stop", exact=True)
        self.picture = page.locator(".jp-OutputArea figure img")

    def open(self, *, busy: bool = False) -> None:
        self.page.goto(
            f"{self.lab.url}lab/tree/{self.name}?reset&token={self.lab.token}", wait_until="domcontentloaded"
        )
        playwright.expect(self.cells.first).to_be_visible(timeout=90_000)
        if not busy:
            self.page.wait_for_function(KERNEL_IS_READY, timeout=90_000)

    def wait_for_connection(self) -> None:
        """Wait until the page reaches its kernel, which may be busy."""
        self.page.wait_for_function(IS_CONNECTED)

    def run(self, cell: int) -> None:
        self.cells.nth(cell).locator(".cm-content").click()
        # The click is done before JupyterLab has taken note of it.
        self.page.wait_for_function(CELL_IS_ACTIVE, arg=cell)
        self.page.evaluate("() => { jupyterapp.commands.execute('notebook:run-cell'); }")
        playwright.expect(self._prompt(cell)).not_to_have_text("[ ]:")

    def restart_kernel(self) -> None:
        self.page.evaluate("jupyterapp.shell.currentWidget.sessionContext.restartKernel()")
        self.page.wait_for_function(KERNEL_IS_READY, timeout=90_000)

    def is_busy(self, cell: int) -> bool:
        return self._prompt(cell).inner_text().strip() == "[*]:"

    def expect_done(self, cell: int, seconds: float = 120) -> None:
        playwright.expect(self._prompt(cell)).to_have_text(re.compile(r"\[\d+\]:"), timeout=seconds * 1000)

    def output(self, cell: int) -> str:
        return self.cells.nth(cell).locator(".jp-Cell-outputArea").inner_text()

    def points(self) -> dict[str, list[list[float]]]:
        """The points that are on the screen, by curve."""
        return self.page.evaluate(READ_POINTS)

    def drawn(self, panel: playwright.Locator | None = None) -> int:
        """The points of the loss: of its line, for more than 60 epochs have no dot each."""
        lines = (panel or self.page).locator("[data-curve=loss] .nbkeras-line")
        return lines.evaluate_all(POINTS_OF_LINES)

    def keep_points(self) -> None:
        """Have the page keep what was drawn last, also when the chart is gone."""
        self.page.evaluate(KEEP_POINTS)

    def last_points(self) -> dict[str, list[list[float]]]:
        return self.page.evaluate("window.lastPoints")

    def saved(self) -> nbformat.NotebookNode:
        """Save and read the file."""
        self.page.evaluate("jupyterapp.commands.execute('docmanager:save')")
        return nbformat.read(self.lab.files / self.name, as_version=4)

    def _prompt(self, cell: int) -> playwright.Locator:
        return self.cells.nth(cell).locator(".jp-InputPrompt").first


@pytest.fixture(scope="session")
def lab(tmp_path_factory, wait_for):
    with Lab(tmp_path_factory.mktemp("lab"), wait_for).served() as lab:
        yield lab


@pytest.fixture
def open_notebook(lab, browser, screenshots):
    """Open a notebook of these cells, on the installed ipykernel or another one."""
    with contextlib.ExitStack() as stack:

        def open_notebook(name: str, cells: list[str], kernel=("installed",), **page) -> Notebook:
            lab.add_kernel(*kernel)
            stack.callback(lab.end_kernels)
            opened = browser.new_page(**{"viewport": {"width": 1200, "height": 900}} | page)
            opened.set_default_timeout(60_000)  # as for all that is expected
            stack.callback(opened.close)
            # These explain a failure.
            stack.callback(opened.screenshot, path=screenshots / f"last-{name}.png")
            tell = sys.stdout.write
            opened.on("console", lambda message: tell(f"browser {message.type}: {message.text}\n"))
            opened.on("pageerror", lambda error: tell(f"browser error: {error}\n"))
            stack.callback(lambda: tell(opened.locator("body").inner_text()))
            lab.write(f"{name}-{kernel[0]}.ipynb", cells, kernel[0])
            notebook = Notebook(lab, opened, f"{name}-{kernel[0]}.ipynb")
            notebook.open()
            return notebook

        yield open_notebook


@pytest.fixture
def complaints(lab):
    """What page and kernels have raised; of the page from the moment at which it is watched."""
    raised = []
    log = lab.root / "lab.log"
    before = log.stat().st_size

    def complaints(page=None):
        if page is not None:
            page.on("pageerror", lambda error: raised.append(str(error)))
        said = log.read_text(errors="replace")[before:]
        return [*raised, *(line for line in said.splitlines() if line.startswith("Traceback"))]

    return complaints
