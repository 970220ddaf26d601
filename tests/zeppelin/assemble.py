"""A ZEPPELIN_HOME, put together from what Maven Central has."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

POM = Path(__file__).with_name("pom.xml")


class Unavailable(Exception):
    """There is no Zeppelin, for this reason."""


@dataclass(frozen=True)
class Edition:
    """Versions that work together; the wars are the pages, of the server's version."""

    server: str
    shaded: str
    jupyter: str
    python: str
    wars: bool


#: The first that can be had whole is taken. Some mirrors of Maven Central lack parts of the newer ones.
EDITIONS = (
    Edition(server="0.12.1", shaded="0.12.1", jupyter="0.12.1", python="0.12.1", wars=True),
    Edition(server="0.10.0", shaded="0.10.1", jupyter="0.10.1", python="0.12.1", wars=False),
)


def assemble(folder: Path) -> Path:
    """The home of a Zeppelin in this folder, kept there for the next time."""
    recipe = hashlib.sha256(f"{POM.read_text()}{EDITIONS}".encode()).hexdigest()
    home = folder / recipe[:12]
    if home.is_dir():
        return home
    mvn = shutil.which("mvn")
    if mvn is None:
        raise Unavailable("no Zeppelin: mvn, which fetches it, is not on PATH")
    for edition in EDITIONS:
        # Moved to its place at the end, so that one cut short is never taken for a home.
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            made = Path(scratch, "home")
            failure = _make(made, edition, mvn)
            if failure is None:
                _move(made, home)
                return home
    raise Unavailable(f"no Zeppelin {edition.server} from Maven Central: {failure}")


def describe(home: Path) -> str:
    """What a home is made of."""
    server, python = (
        next(home.glob(f"{jar}-*.jar")).stem.rpartition("-")[2]
        for jar in ("lib/zeppelin-server", "interpreter/python/zeppelin-python")
    )
    return f"Zeppelin {server} server, {python} python"


def _make(home: Path, edition: Edition, mvn: str) -> str | None:
    """Make a home; the reason why it could not be made, or None."""
    home.mkdir()
    shutil.copy(POM, home)
    given = asdict(edition) | {"noWars": str(not edition.wars).lower(), "style.color": "never"}
    command = [mvn, "--batch-mode", *(f"-D{name}={value}" for name, value in given.items()), "package"]
    try:
        done = subprocess.run(command, cwd=home, check=False, capture_output=True, text=True, timeout=600)
    except subprocess.TimeoutExpired:
        return "mvn took longer than ten minutes"
    if done.returncode == 0:
        return None
    reason = re.search(r"\[ERROR\] (.+?)( -> \[Help 1\])?$", done.stdout, re.MULTILINE)
    return reason[1] if reason else f"mvn ended with {done.returncode}"


def _move(made: Path, home: Path) -> None:
    try:
        made.rename(home)
    except OSError:
        if not home.is_dir():  # else another run of the tests was faster
            raise
