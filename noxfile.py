import os
import shutil
import sys

import nox

nox.needs_version = ">=2024.4.15"

#: The tests of what training, evaluation and prediction come to; the first takes as long as all others.
TRAINING = [
    "tests/test_equality.py",
    "tests/test_callbacks.py",
    "tests/test_evaluate_predict.py",
    "tests/test_shuffling.py",
    "tests/test_rows.py",
    "tests/test_stream.py",
    "tests/test_session.py",
]


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, formatting and types."""
    session.install(*nox.project.load_toml("pyproject.toml")["project"]["optional-dependencies"]["lint"])
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("mypy")


@nox.session(name="spark-3.5")
def oldest_spark(session: nox.Session) -> None:
    """Run what an older Spark may change; the newest one has all tests."""
    if sys.version_info >= (3, 12):
        session.skip("Spark 3.5 needs Python 3.11")
    session.install("-e", ".[demo,test]", "pyspark==3.5.*")
    # It uses what others have deprecated since, and leaves sockets to the garbage collector.
    kernel = ("tests/kernels/test_magic.py", "-k", "not 6.30 and not 7.3")
    session.run("pytest", "-W", "ignore", *session.posargs or (*TRAINING[1:], *kernel))


@nox.session
def tests(session: nox.Session) -> None:
    """Run training on a cluster, then over Connect, then every test with the examples in the docstrings.

    Words after -- go to pytest, which then runs once.
    """
    session.install("-e", ".[demo,jax,test,torch]")
    _install(session, "chromium", ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"))
    _install(session, "maven", ("mvn",))
    _install(session, "default-jdk-headless", ("javac",))
    if session.posargs:
        session.run("pytest", *session.posargs)
        return
    # Apart: a process has one Spark.
    session.run("pytest", "--master", "standalone", *TRAINING, "tests/test_chaos.py")
    # The others of them look into the SparkContext.
    over = (*TRAINING[1:3], "tests/test_large_models.py", "tests/test_relay.py")
    session.run("pytest", "--master", "connect", *over)
    # A process for each of two cores: most tests wait for other processes most of the time.
    session.run("pytest", "--numprocesses", "2", "--dist", "loadfile")


def _install(session: nox.Session, package: str, names: tuple[str, ...]) -> None:
    # Only where nobody has to be asked for a password; elsewhere the tests that need it say what they miss.
    if any(map(shutil.which, names)) or not shutil.which("apt-get") or os.geteuid() != 0:
        return
    session.log(f"No {names[0]} for the tests: installing it by apt-get.")
    for command in (["update"], ["install", "--yes", "--no-install-recommends", package]):
        session.run("apt-get", *command, external=True, silent=True, success_codes=range(256))
