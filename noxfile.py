import os
import shutil

import nox

nox.needs_version = ">=2024.4.15"


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, formatting and types."""
    session.install(*nox.project.load_toml("pyproject.toml")["project"]["optional-dependencies"]["lint"])
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("mypy")


@nox.session
def tests(session: nox.Session) -> None:
    """Run every test, and the examples in the docstrings; words after -- go to pytest."""
    session.install("-e", ".[demo,test]")
    _install(session, "chromium", ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"))
    _install(session, "maven", ("mvn",))
    _install(session, "default-jdk-headless", ("javac",))
    session.run("pytest", *session.posargs)


def _install(session: nox.Session, package: str, names: tuple[str, ...]) -> None:
    # Only where nobody has to be asked for a password; elsewhere the tests that need it say what they miss.
    if any(map(shutil.which, names)) or not shutil.which("apt-get") or os.geteuid() != 0:
        return
    session.log(f"No {names[0]} for the tests: installing it by apt-get.")
    for command in (["update"], ["install", "--yes", "--no-install-recommends", package]):
        session.run("apt-get", *command, external=True, silent=True, success_codes=range(256))
