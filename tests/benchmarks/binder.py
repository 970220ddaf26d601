"""The quickstart as on Binder: JupyterLab on one core, in a control group of 2 GB, seen by a browser outside.

Needs root, for the group, and Chromium. What is counted is all that JupyterLab, its kernel, Spark's Java and
the trainer hold together, pages of files included.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import any_size
import results
from playwright.sync_api import sync_playwright

LIMIT = 2 * 10**9
_CHROMIUM = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run")
_OPEN = "() => document.querySelectorAll('.jp-Notebook .jp-CodeCell').length > 3"
_IS_READY = """() => {
    const session = window.jupyterapp?.shell.currentWidget?.sessionContext;
    return session?.isReady && session.session?.kernel?.status === "idle";
}"""
_RUN = "() => { jupyterapp.commands.execute('notebook:run-all-cells'); }"
_HAS_POINT = "() => [...document.querySelectorAll('.nbkeras-line')].some((one) => one.getAttribute('d'))"
_HAS_ENDED = """() => [...document.querySelectorAll(".jp-OutputArea-output")]
    .some((one) => one.innerText.includes("of the test digits are right"))"""


def main() -> None:
    core = {max(os.sched_getaffinity(0))}
    with TemporaryDirectory() as folder, any_size.group(LIMIT) as (join, most):
        config = Path(folder, "config")
        config.mkdir()
        shown = {"LabApp": {"expose_app_in_browser": True}, "ServerApp": {"port": 0}}
        (config / "jupyter_server_config.json").write_text(json.dumps(shown))

        def enter() -> None:
            join()
            os.sched_setaffinity(0, core)

        begun = time.monotonic()
        demo = Path(sys.executable).with_name("nbkeras")
        log = Path(folder, "log")
        with log.open("w") as said:
            lab = subprocess.Popen(
                [demo, "demo", "--no-browser"],
                cwd=folder,
                env=os.environ | {"JUPYTER_CONFIG_DIR": str(config)},
                stdout=said,
                stderr=said,
                preexec_fn=enter,  # noqa: PLW1509  # only this process starts it, and it has no threads yet
            )
        try:
            found = _looked_at(log, begun)
            found["most, pages of files included (MB)"] = round(most() / 1e6)
        finally:
            lab.terminate()
            lab.wait()
    print(found)
    results.keep("binder", [found])


def _looked_at(log: Path, begun: float) -> dict[str, float]:
    """Seconds as somebody in a browser has them."""
    while (address := re.search(r"http://127\.0\.0\.1:\d+/lab\S*", log.read_text())) is None:
        time.sleep(0.1)
    found = {"the server answers (s)": time.monotonic() - begun}
    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=shutil.which("chromium"), args=list(_CHROMIUM))
        page = chromium.new_page()
        page.set_default_timeout(180_000)
        opened = time.monotonic()
        page.goto(address[0])
        page.wait_for_function(_OPEN)
        found["the notebook is open (s)"] = time.monotonic() - opened
        page.wait_for_function(_IS_READY)
        run = time.monotonic()
        page.evaluate(_RUN)
        page.wait_for_function(_HAS_POINT)
        found["the chart's first point, from the first cell (s)"] = time.monotonic() - run
        page.wait_for_function(_HAS_ENDED)
        found["the model is scored (s)"] = time.monotonic() - run
        chromium.close()
    return {name: round(value, 1) for name, value in found.items()}


if __name__ == "__main__":
    main()
