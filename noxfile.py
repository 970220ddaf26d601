import os
import shutil
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import nox

nox.needs_version = ">=2024.4.15"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.sessions = ["tests"]

#: What the tests need of the system: a program, by any of its names, and Debian's package with it.
PROGRAMS = (
    (("java",), "default-jdk-headless"),
    (("javac",), "default-jdk-headless"),
    (("mvn",), "maven"),
    (("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"), "chromium"),
)
#: In two processes; conftest.py says which tests stay together, and in which order they begin.
TWICE = ("--numprocesses", "2", "--dist", "loadscope", "--no-loadscope-reorder")
#: Tests whose outcome may depend on what lies between the notebook and the workers.
TRAINING = [
    "tests/test_callbacks.py",
    "tests/test_equality.py",
    "tests/test_evaluate_predict.py",
    "tests/test_large_models.py",
    "tests/test_relay.py",
    "tests/test_rows.py",
    "tests/test_session.py",
    "tests/test_shuffling.py",
    "tests/test_stream.py",
]


@nox.session
def tests(session: nox.Session) -> None:
    """Check style and types, then run all tests but those that are dear and rare.

    Words after -- go to pytest, which then runs once.
    """
    _prepare(session)
    if session.posargs:
        session.run("pytest", *session.posargs)
        return
    with _costs(session), ThreadPoolExecutor() as beside:
        fetched = beside.submit(session.run, "python", "tests/fetched.py", silent=True)
        # What starts before these have ended does without, and does it again.
        prepared = [
            beside.submit(session.run, "python", *program, silent=True)
            for program in (["tests/jvm.py"], ["-c", "import keras, pandas, torch"])
        ]
        _lint(session)
        for one in prepared:
            one.result()
        # Beside each other on two cores: most tests wait for other processes most of the time.
        clusters = beside.submit(_clusters, session)
        try:
            session.run("pytest", *TWICE, "-m", "not soak and not cluster")
        finally:
            session.log("The output of the tests on clusters, which ran beside these:")
            print(clusters.result())
            fetched.result()


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, formatting and types."""
    session.install(*nox.project.load_toml("pyproject.toml")["project"]["optional-dependencies"]["lint"])
    _lint(session)


@nox.session
def quick(session: nox.Session) -> None:
    """Check style and types; run unit tests, examples, a fit on each backend and a page in the browser."""
    _prepare(session)
    with _costs(session), ThreadPoolExecutor() as beside:
        checked = beside.submit(_lint, session)
        session.run("pytest", *TWICE, "-m", "quick and not soak")
        checked.result()


@nox.session
def docs(session: nox.Session) -> None:
    """Build the manual into build/docs; after --, linkcheck looks at the addresses of other sites."""
    session.install("-e", ".[docs,tasks]")
    builder = session.posargs[0] if session.posargs else "html"
    session.run("sphinx-build", "-W", "-n", "--keep-going", "-b", builder, "docs", f"build/docs/{builder}")


@nox.session
def changelog(session: nox.Session) -> None:
    """Put the files of changes/ into the changelog: nox -s changelog -- 0.2.0; with --draft, print them."""
    version, *more = session.posargs or session.error("which version? Type nox -s changelog -- 0.2.0")
    # Files that are put together are removed; git keeps them.
    session.install("towncrier>=24.8")
    # The last commit's day, so that one commit has the same notes on every day.
    day = str(session.run("git", "log", "-1", "--format=%cs", external=True, silent=True)).strip()
    session.run("towncrier", "build", "--yes", "--version", version, "--date", day, *more)


@nox.session
def soak(session: nox.Session) -> None:
    """Run every test with all its values, on every kind of Spark, at random where others are fixed: hours.

    Words after -- name the parts to run: local, clusters, training, oldest.
    """
    _prepare(session)
    session.run("python", "tests/fetched.py")
    session.run("python", "tests/jvm.py")
    as_keras = ("--any-backend", "auto")
    every = ("-m", "", "--hypothesis-profile", "random", *as_keras)
    parts = {
        "local": lambda: session.run("pytest", *TWICE, *every, "-m", "not cluster"),
        "clusters": lambda: session.run(
            "pytest", "--master", "standalone", *as_keras, "-m", "cluster or smoke", "tests"
        ),
        "training": lambda: session.run(
            "pytest", "--master", "standalone", "--master", "connect", *every, *TRAINING
        ),
        "oldest": lambda: (
            _oldest(session, "", *as_keras, *TRAINING),
            _oldest(session, "smoke", *as_keras, *_marked("smoke")),
        ),
    }
    for name in session.posargs or parts:
        parts[name]()


def _prepare(session: nox.Session) -> None:
    """Install all that tests need, or name it in a line."""
    # What is imported is compiled then, and kept.
    session.env["PYTHONDONTWRITEBYTECODE"] = ""
    session.install("-e", ".[demo,jax,lint,test,torch]")
    missing = {package: names for names, package in PROGRAMS if not any(map(shutil.which, names))}
    if missing and shutil.which("apt-get") and os.geteuid() == 0:
        # Elsewhere somebody would have to be asked for a password.
        session.log(f"Installing by apt-get: {', '.join(missing)}")
        for command in (["update"], ["install", "--yes", "--no-install-recommends", *missing]):
            session.run("apt-get", *command, external=True, silent=True)
    elif missing:
        session.error(f"The tests need {', '.join(names[0] for names in missing.values())}: please install")


def _lint(session: nox.Session) -> None:
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("mypy")


def _clusters(session: nox.Session) -> str:
    """On a cluster, on a Connect server in front of it, then on the oldest Spark: what pytest prints."""
    masters = ("--master", "standalone", "--master", "connect")
    chosen, files = "(smoke or cluster) and not soak", _marked("smoke", "cluster")
    told = session.run("pytest", *masters, "-m", chosen, *files, silent=True)
    return f"{told}\n{_oldest(session, 'smoke and not soak', *files, silent=True)}"


def _marked(*marks: str) -> list[str]:
    """Files of tests that mark some so: to collect all tests takes ten seconds more."""
    files = sorted(Path("tests").rglob("test_*.py"))
    return [
        str(file) for file in files if any(f"mark.{one}" in file.read_text(encoding="utf-8") for one in marks)
    ]


def _oldest(session: nox.Session, chosen: str, *tests: str, silent: bool = False) -> str | bool | None:
    """Run tests with the oldest Spark in front of the installed one."""
    if sys.version_info >= (3, 12):
        session.log("Spark 3.5 needs Python 3.11: left out")
        return ""
    path = session.run("python", "tests/fetched.py", "oldest", silent=True)
    # It uses what others have deprecated since, and leaves sockets to the garbage collector.
    return session.run(
        "pytest",
        "-W",
        "ignore",
        "-m",
        chosen,
        *tests,
        env={"PYTHONPATH": str(path).split()[-1]},
        silent=silent,
    )


@contextmanager
def _costs(session: nox.Session) -> Iterator[None]:
    """Say how long it took, and for how long the machine's cores were busy."""
    begun, busy = time.monotonic(), _busy()
    try:
        yield
    finally:
        minutes = [(after - before) / 60 for before, after in ((begun, time.monotonic()), (busy, _busy()))]
        session.log("It took {:.1f} minutes, and {:.1f} minutes of the processors.".format(*minutes))


def _busy() -> float:
    """Seconds that all cores of this machine have been busy; 0 where nobody counts them."""
    file = Path("/proc/stat")
    if not file.exists():
        return 0.0
    user, nice, system, _idle, _wait, *interrupts = map(int, file.read_text().split("\n", 1)[0].split()[1:])
    return (user + nice + system + sum(interrupts[:2])) / os.sysconf("SC_CLK_TCK")
