from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import nbformat
import playwright.sync_api as playwright
import pytest
import waiting
from lifeline import ENDS_WITH_US
from waking import woken

import nbkeras

INSTALLED = importlib.metadata.version("ipykernel")
FAILED = pytest.StashKey[bool]()
#: Files of tests that train on Spark, in their order: the kernel of the first has it for all of them.
ON_SPARK = ("test_builder.py", "test_spark.py", "test_runs.py")
#: What kernels import from beside the notebooks.
MODULES = ("fed.py", "leftovers.py", "reported.py")

READ_POINTS = """() => Object.fromEntries(
    [...document.querySelectorAll(".nbkeras-curve")].map((curve) => [
        curve.dataset.curve,
        [...curve.querySelectorAll("circle")].map((dot) => [+dot.dataset.epoch, +dot.dataset.value]),
    ])
)"""

# The last chart is replaced by the picture before a test can look at it.
KEEP_POINTS = f"""() => {{
    const read = {READ_POINTS};
    window.keeper?.disconnect();
    window.keeper = new MutationObserver(() => {{
        if (document.querySelector(".nbkeras-curve")) window.lastPoints = read();
    }});
    window.keeper.observe(document.body, {{ childList: true, subtree: true }});
}}"""

KERNEL_IS_READY = """() => {
    const session = jupyterapp.shell.currentWidget?.sessionContext;
    return session?.isReady && session.session?.kernel?.status === "idle";
}"""

IS_CONNECTED = """() =>
    jupyterapp.shell.currentWidget?.sessionContext.session?.kernel?.connectionStatus === "connected"
"""

#: A whole traceback in a log, with the line before it, which may say whose it is.
TRACEBACK = re.compile(r"(?:^.*\n)?^Traceback.*(?:\n[ \t].*)*(?:\n.+)?", re.MULTILINE)

#: Of the longest line of the loss.
POINTS = """(root) => Math.max(0, ...[...root.querySelectorAll("[data-curve=loss] .nbkeras-line")]
    .map((line) => line.getAttribute("d").split(/[ML]/).length - 1))"""
HAS_POINTS = f"([root, enough]) => ({POINTS})(root) >= enough"

#: Has the page show the file as it is now, on this kernel.
TAKE_FILE = """async (kernel) => {
    const { context, sessionContext } = jupyterapp.shell.currentWidget;
    if (sessionContext.session.kernel.name !== kernel) await sessionContext.changeKernel({ name: kernel });
    await context.revert();
}"""

#: Runs code in the idle kernel, and forgets what this page has kept.
FORGET = """async (code) => {
    const { kernel } = jupyterapp.shell.currentWidget.sessionContext.session;
    const { content } = await kernel.requestExecute({ code, silent: true, store_history: false }).done;
    if (content.status !== "ok") throw new Error(JSON.stringify(content));
    Object.keys(sessionStorage).filter((key) => key.startsWith("nbkeras"))
        .forEach((key) => sessionStorage.removeItem(key));
    window.keeper?.disconnect();
    for (const name of ["evil", "keeper", "lastPoints", "lost", "words"]) delete window[name];
}"""

SET_THEME = "(theme) => jupyterapp.commands.execute('apputils:change-theme', { theme })"

# The page is covered while a theme is loaded.
THEME_IS_SET = """(theme) => document.body.dataset.jpThemeName === theme
    && !document.getElementById("jupyterlab-splash")"""

#: JupyterLab has taken note of the page's width.
FILLS_THE_WINDOW = """(width) => {
    const { right } = document.querySelector(".jp-SideBar.jp-mod-right").getBoundingClientRect();
    return innerWidth === width && Math.round(right) === width;
}"""

CELL_IS_ACTIVE = "(cell) => jupyterapp.shell.currentWidget.content.activeCellIndex === cell"


class Lab:
    """A JupyterLab server on this machine."""

    def __init__(self, root: Path, wait_for) -> None:
        self.root, self.wait_for = root, wait_for
        self.files = root / "files"
        self.files.mkdir()
        for module in MODULES:
            shutil.copy(Path(__file__).with_name(module), self.files)
        self.url = ""
        self.token = secrets.token_hex()
        settings = root / "settings" / "@jupyterlab" / "apputils-extension"
        settings.mkdir(parents=True)
        news = settings / "notification.jupyterlab-settings"
        news.write_text(json.dumps({"fetchNews": "false", "checkForUpdates": False}))

    @contextlib.contextmanager
    def served(self):
        environment = os.environ | {
            "JUPYTER_CONFIG_DIR": str(self.root / "config"),
            "JUPYTER_DATA_DIR": str(self.root / "data"),
            "JUPYTER_RUNTIME_DIR": str(self.root / "runtime"),
            "IPYTHONDIR": str(self.root / "ipython"),
            "JUPYTERLAB_SETTINGS_DIR": str(self.root / "settings"),
        }
        command = [
            *ENDS_WITH_US,
            sys.executable,
            "-m",
            "jupyterlab",
            "--no-browser",
            "--ip=127.0.0.1",
            "--port=0",
        ]
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
                server.wait(waiting.LIMIT)

    def end_kernels(self) -> None:
        """End every kernel: a page that is closed leaves its own at work, and all that it has started."""
        headers = {"Authorization": f"token {self.token}"}
        with httpx.Client(base_url=self.url, headers=headers, timeout=waiting.LIMIT) as server:
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

    def tidy(self) -> None:
        """Remove the files by which tests and kernels tell each other something."""
        for file in self.files.iterdir():
            if file.is_file() and file.suffix != ".ipynb" and file.name not in MODULES:
                file.unlink()

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
        playwright.expect(self.cells.first).to_be_visible()
        if not busy:
            self.wait_for_kernel()

    def fill(self, cells: list[str], version: str) -> None:
        """Put other cells into the page that is open, and keep its kernel where it has this version."""
        self.lab.write(self.name, cells, version)
        self.page.evaluate(TAKE_FILE, f"python-{version}")
        playwright.expect(self.cells).to_have_count(len(cells))
        self.wait_for_kernel()

    def restore(self) -> None:
        """End what is at work, and forget it in the kernel, in the page and among the files."""
        busy = self.page.locator(".jp-InputPrompt").filter(has_text="[*]:")
        if busy.count():
            self.page.evaluate("jupyterapp.commands.execute('notebook:interrupt-kernel')")
            playwright.expect(busy).to_have_count(0)
        self.wait_for_kernel()
        self.page.evaluate(FORGET, "import leftovers; leftovers.clear()")
        self.page.mouse.move(0, 0)
        self.set_theme("Light")
        self.lab.tidy()

    def set_theme(self, theme: str) -> None:
        """Show all of JupyterLab in the light or in the dark."""
        name = f"JupyterLab {theme}"
        if not self.page.evaluate(THEME_IS_SET, name):
            self.page.evaluate(SET_THEME, name)
            self.page.wait_for_function(THEME_IS_SET, arg=name)

    def resize(self, width: int, height: int = 900) -> None:
        """Show the page in this size."""
        self.page.set_viewport_size({"width": width, "height": height})
        self.page.wait_for_function(FILLS_THE_WINDOW, arg=width)

    def wait_for_kernel(self) -> None:
        """Wait until the kernel is there and idle."""
        self.page.wait_for_function(KERNEL_IS_READY)

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
        self.wait_for_kernel()

    def is_busy(self, cell: int) -> bool:
        return self._prompt(cell).inner_text().strip() == "[*]:"

    def expect_done(self, cell: int) -> None:
        playwright.expect(self._prompt(cell)).to_have_text(re.compile(r"\[\d+\]:"))

    def output(self, cell: int) -> str:
        return self.cells.nth(cell).locator(".jp-Cell-outputArea").inner_text()

    def read(self, script: str, arg: object = None) -> Any:
        """Run a script in the page behind its next frame, in which the page draws what was asked for."""
        self.page.evaluate("() => new Promise(requestAnimationFrame)")
        return self.page.evaluate(script, arg)

    def points(self) -> dict[str, list[list[float]]]:
        """The points that are on the screen, by curve."""
        return self.read(READ_POINTS)

    def drawn(self, panel: playwright.Locator | None = None) -> int:
        """The points of the loss: of its line, for more than 60 epochs have no dot each."""
        return self.read(POINTS, (panel or self.page.locator("body")).element_handle())

    def wait_for_points(self, enough: int, panel: playwright.Locator | None = None) -> None:
        """Wait until so many are drawn; the page looks for itself, now and then."""
        root = (panel or self.page.locator("body")).element_handle()
        self.page.wait_for_function(HAS_POINTS, arg=[root, enough], polling=100)

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


def tell(words: str) -> None:
    """Say what explains a failure."""
    sys.stdout.write(f"{words}\n")


class Desk:
    """The one page, its kernel and its Spark that the tests share: each costs more than most tests."""

    def __init__(self, lab: Lab, browser: playwright.Browser) -> None:
        self._lab, self._browser = lab, browser
        self._kind: dict = {}
        self.notebook: Notebook | None = None

    def open(self, cells: list[str], kernel: tuple, *, fresh: bool, size: tuple, **kind) -> Notebook:
        """Put cells into the page.

        It is a new one where there is none of this kind; with a new kernel too where the test asks.
        Nothing in it moves by itself, which would keep a processor busy, unless the test asks for that.
        """
        kind = {"reduced_motion": "reduce", **kind}
        self._lab.add_kernel(*kernel)
        if self.notebook is not None and not fresh and kind == self._kind:
            self.notebook.resize(*size)
            self.notebook.fill(cells, kernel[0])
        else:
            self.close()
            if fresh:
                self.clear()
            page = self._browser.new_page(viewport=dict(zip(("width", "height"), size, strict=True)), **kind)
            page.set_default_timeout(1000 * waiting.LIMIT)
            page.on("console", lambda message: tell(f"browser {message.type}: {message.text}"))
            page.on("pageerror", lambda error: tell(f"browser error: {error}"))
            self._lab.write("notebook.ipynb", cells, kernel[0])
            self._kind, self.notebook = kind, Notebook(self._lab, page, "notebook.ipynb")
            self.notebook.open()
            if not fresh:
                self.notebook.fill(cells, kernel[0])  # the kernel that is there may be of another version
        return self.notebook

    def close(self) -> None:
        """Close the page; its kernel is there for the next one."""
        if self.notebook is not None:
            self.notebook.page.close()
            self.notebook = None

    def clear(self) -> None:
        """Close the page, and end its kernel with all that it has started."""
        self.close()
        self._lab.end_kernels()
        self._lab.tidy()


def _turn(item: pytest.Item) -> int:
    """The place of a test among the others: of the file, but for the one that restarts the kernel."""
    restarts = item.name == "test_a_kernel_that_was_restarted_is_named"
    return len(ON_SPARK) if restarts else [*ON_SPARK, "", item.path.name].index(item.path.name)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What trains on Spark comes first, on one Spark; others end the kernel, and its Spark with it."""
    places = [at for at, item in enumerate(items) if item.path.parent == Path(__file__).parent]
    ours = sorted((items[at] for at in places), key=_turn)
    for at, item in zip(places, ours, strict=True):
        items[at] = item


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item):
    """Keep whether a test has failed."""
    report = yield
    item.stash[FAILED] = item.stash.get(FAILED, False) or report.failed
    return report


@pytest.fixture(scope="session")
def desk(lab, browser):
    desk = Desk(lab, browser)
    yield desk
    desk.clear()


@pytest.fixture
def open_notebook(request, desk, screenshots):
    """Open a notebook of these cells, on the installed ipykernel or another one.

    The page and the kernel of the test before are taken again, restored. What a test that failed has
    left is thrown away.
    """
    name = ""

    def open_notebook(
        called: str, cells: list[str], kernel=(INSTALLED,), *, fresh=False, size=(1200, 900), **kind
    ) -> Notebook:
        nonlocal name
        name = called
        return desk.open(cells, kernel, fresh=fresh, size=size, **kind)

    yield open_notebook
    if not name or desk.notebook is None:
        return
    page = desk.notebook.page
    if request.node.stash.get(FAILED, False):
        try:
            page.screenshot(path=screenshots / f"last-{name}.png")
            tell(page.locator("body").inner_text())
        finally:
            desk.clear()
        return
    try:
        desk.notebook.restore()
    except BaseException:
        desk.clear()
        raise


@pytest.fixture
def complaints(lab):
    """What page and kernels have raised; of the page from the moment at which it is watched."""
    raised, watched = [], []
    log = lab.root / "lab.log"
    before = log.stat().st_size

    def hear(error):
        raised.append(str(error))

    def complaints(page=None):
        if page is not None:
            page.on("pageerror", hear)
            watched.append(page)
        said = log.read_text(errors="replace")[before:]
        return [*raised, *TRACEBACK.findall(said)]

    yield complaints
    for page in watched:
        page.remove_listener("pageerror", hear)
