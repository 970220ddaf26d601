from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import nbkeras

ROOT = Path(__file__).parent.parent
HEAVY = {"tensorflow", "keras", "torch", "jax", "pyspark", "pandas", "pyarrow", "matplotlib"}
LOAD_EXTENSION = """
import sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.run_line_magic("load_ext", "nbkeras")
"""
IMPORT = """
import sys
from nbkeras import Run, evaluate, fit, local_spark, on_spark, predict, runs, show, status
"""


def python(code: str, **more) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, **more)
    return done.stdout.strip()


@pytest.mark.parametrize("code", [IMPORT, LOAD_EXTENSION], ids=["import", "load_ext"])
def test_loading_imports_neither_keras_nor_spark(code):
    assert python(f"{code}\nprint({HEAVY} & set(sys.modules))") == "set()"


def test_sparks_own_workers_import_no_backend_and_nothing_of_a_notebook():
    unneeded = {"keras", "tensorflow", "torch", "jax", "nbkeras.api", "nbkeras.builder", "nbkeras.notebook"}
    task = "import sys, nbkeras.worker.task"
    assert python(f"{task}\nprint({unneeded} & set(sys.modules))") == "set()"


def test_every_public_name_can_be_used_and_is_listed():
    assert list(nbkeras.__all__) == sorted(set(nbkeras.__all__))
    assert {name for name in nbkeras.__all__ if not hasattr(nbkeras, name)} == set()
    assert set(dir(nbkeras)) == {*nbkeras.__all__, "__version__"}


def test_a_name_that_is_not_there_is_an_ordinary_attribute_error():
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = nbkeras.no_such_name


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> zipfile.ZipFile:
    """The wheel of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, capture_output=True, check=True)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as opened:
        yield opened


def test_the_wheel_holds_every_file_of_the_package_and_the_notebooks(wheel):
    package = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "nbkeras").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }

    packed = {name for name in wheel.namelist() if ".dist-info/" not in name}

    notebooks = {
        f"nbkeras/{path.relative_to(ROOT)}"
        for path in (ROOT / "notebooks").rglob("*.*")
        if path.is_file() and ".ipynb_checkpoints" not in path.parts
    }
    assert packed == package | notebooks


def test_the_wheel_holds_the_licence_and_the_command(wheel):
    info = {Path(name).name: name for name in wheel.namelist() if ".dist-info/" in name}

    assert "Apache License" in wheel.read(info["LICENSE"]).decode()
    assert "nbkeras = nbkeras.cli:main" in wheel.read(info["entry_points.txt"]).decode()


def test_an_installed_wheel_finds_its_quickstart(wheel, tmp_path):
    wheel.extractall(tmp_path)

    found = python(
        "from nbkeras import demo; print(demo.notebook())",
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
    )

    assert found == str(tmp_path / "nbkeras" / "notebooks" / "01_quickstart.ipynb")


def test_readme_links_lead_to_files():
    links = re.findall(r"\]\((?!https?:)([^)#]+)", (ROOT / "README.md").read_text())

    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_version_is_in_the_changelog(wheel):
    assert f"nbkeras-{nbkeras.__version__}-" in wheel.filename
    assert f"## [{nbkeras.__version__}]" in (ROOT / "CHANGELOG.md").read_text()
    assert f"\nversion: {nbkeras.__version__}\n" in (ROOT / "CITATION.cff").read_text()


def test_binder_installs_java_and_the_demo(tmp_path):
    for part in ("binder", "pyproject.toml"):
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copyfile
        copy(ROOT / part, tmp_path / part)

    plan = subprocess.run(
        [sys.executable, "-m", "repo2docker", "--no-build", "--debug", str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )

    recipe = plan.stdout + plan.stderr
    assert "Building conda environment for python=3.12" in recipe
    assert "apt-get install --yes --no-install-recommends openjdk-17-jre-headless" in recipe
    assert 'pip install --no-cache-dir -r "binder/requirements.txt"' in recipe
    assert (ROOT / "binder" / "requirements.txt").read_text() == ".[demo]\n"


def test_a_container_and_codespaces_are_made_of_what_binder_is_made_of():
    recipe = (ROOT / "binder/docker/Dockerfile").read_text()
    assert {one for one in re.findall(r"binder/[\w.]+", recipe) if "/docker" not in one} >= {
        "binder/apt.txt",
        "binder/requirements.txt",
    }
    container = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text())
    place = ROOT / ".devcontainer" / container["build"]["dockerfile"]
    assert place.resolve() == ROOT / "binder/docker/Dockerfile"
