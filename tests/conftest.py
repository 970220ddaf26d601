from __future__ import annotations

import importlib.metadata
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import cloudpickle
import fetched
import hypothesis
import peers
import processes
import psutil
import pytest
import waiting
from kernels.versions import ONE_VERSION

from nbkeras.transport import tls
from nbkeras.transport.events import Server

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

# A busy machine may take long over any example. A red test says the same again the next time.
hypothesis.settings.register_profile("fixed", deadline=None, derandomize=True)
hypothesis.settings.register_profile("random", deadline=None, max_examples=400)
hypothesis.settings.load_profile("fixed")


@pytest.fixture(autouse=True)
def _unseeded():
    """Another test's seed of TensorFlow, which gives every shuffle one, is forgotten."""
    if tf := sys.modules.get("tensorflow"):
        tf.random.set_seed(None)


@pytest.fixture(scope="session")
def chromium() -> Path:
    """The browser on this machine."""
    found = next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    assert found, f"no browser for the tests: none of {', '.join(CHROMIUM_NAMES)} is on PATH"
    return Path(found)


@pytest.fixture(scope="session")
def browser(chromium):
    """A browser that shows nothing and calls nobody by itself."""
    import playwright.sync_api as playwright

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


@pytest.fixture(scope="module")
def nothing_waits():
    """No model that earlier tests have predicted with waits for further rows, as it does for a minute.

    A test that strikes at the trainer of a run would meet its trainer.
    """
    own = processes.unnamed_files(psutil.Process())
    waiting.wait_for(
        lambda: not any(processes.unnamed_files(one) - own for one in processes.tasks()),
        "models of predictions to leave",
    )


@pytest.fixture
def predicts_on_spark(monkeypatch):
    """A few rows of arrays are predicted on Spark too, not in this process."""
    from nbkeras.driver import inference

    monkeypatch.setattr(inference, "FEW", 0)


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
def overlay() -> Callable[..., Path]:
    """Give the folder with a version of a package that shadows the installed one; kept between runs."""
    return fetched.package


@pytest.fixture(scope="module", params=ONE_VERSION)  # else tests of several files would take turns
def ipykernel(request: pytest.FixtureRequest, overlay: Callable[..., Path]) -> tuple[str, *tuple[Path, ...]]:
    """An ipykernel as its version, and the folder that shadows the installed one if that is another."""
    version = request.param
    if version == importlib.metadata.version("ipykernel"):
        return (version,)
    return version, overlay("ipykernel", version)


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
