from __future__ import annotations

import fcntl
import importlib.metadata
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cloudpickle
import hypothesis
import peers
import pytest
import waiting

from nbkeras.engine.transport import tls
from nbkeras.engine.transport.events import Server

QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

# A busy machine may take long over any example.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")


@pytest.fixture(scope="session")
def chromium() -> Path:
    """The browser on this machine; tests that need one are skipped where there is none."""
    found = next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    if found is None:
        pytest.skip(f"no browser: none of {', '.join(CHROMIUM_NAMES)} is on PATH")
    return Path(found)


@pytest.fixture(scope="session")
def browser(chromium):
    """A browser that shows nothing and calls nobody by itself."""
    playwright = pytest.importorskip("playwright.sync_api")
    playwright.expect.set_options(timeout=1000 * waiting.LIMIT)
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, headless=True, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def as_in_a_notebook(request):
    """Workers cannot import the test's file, as they cannot import a notebook."""
    cloudpickle.register_pickle_by_value(request.module)
    yield
    cloudpickle.unregister_pickle_by_value(request.module)


@pytest.fixture
def screenshots() -> Path:
    """Where pictures for the eye go; they are kept."""
    folder = Path(os.environ.get("NBKERAS_SCREENSHOTS", "/tmp/nbkeras-screenshots"))  # noqa: S108  # for people
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session", name="wait_for")
def _wait_for() -> Callable[..., None]:
    """Wait for a condition; the only thing that a test may wait for."""
    return waiting.wait_for


@pytest.fixture
def versions(monkeypatch):
    """Versions of packages that the test sets; None for one that is not installed."""
    real = importlib.metadata.version
    pretended = {}

    def version(distribution: str) -> str:
        found = pretended.get(distribution, "")
        if found is None:
            raise importlib.metadata.PackageNotFoundError(distribution)
        return found or real(distribution)

    monkeypatch.setattr(importlib.metadata, "version", version)
    return pretended


@pytest.fixture(scope="session")
def overlay(request: pytest.FixtureRequest) -> Callable[..., Path]:
    """Give the folder with a version of a package that shadows the installed one; kept between runs."""

    def overlay(package: str, version: str) -> Path:
        folder = Path(request.config.cache.mkdir(f"{package}-{version}"))
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # another test process may be at it
            if not (folder / package).is_dir():
                wanted = f"{package}=={version}"
                pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder]
                done = subprocess.run([*pip, wanted], check=False, capture_output=True, text=True)
                if done.returncode:
                    pytest.skip(f"{wanted} cannot be had: {done.stderr.strip().splitlines()[-1]}")
        return folder

    return overlay


@pytest.fixture(scope="session", params=["6.30.1", "7.3.0", "7.4.0"])
def ipykernel(request: pytest.FixtureRequest, overlay: Callable[..., Path]) -> tuple[str, Path]:
    """An ipykernel as its version and the folder that shadows the installed one."""
    return request.param, overlay("ipykernel", request.param)


@pytest.fixture
def heard():
    """Take and keep what an event port hears."""
    return peers.Heard()


@pytest.fixture(scope="session")
def certificate():
    return tls.certificate("spark.ssl.enabled")


@pytest.fixture(params=["clear", "encrypted"])
def server(request, heard, certificate):
    """An event port, in the clear and over TLS."""
    context = tls.notebook(certificate) if request.param == "encrypted" else None
    with Server("127.0.0.1", peers.SECRET, heard, 1 << 22, context) as server:
        server.certificate = certificate.pem if context else None
        yield server
