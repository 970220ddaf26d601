import nox

nox.needs_version = ">=2024.4.15"


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, formatting and types."""
    session.install("-e", ".[demo,test]")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("mypy")


@nox.session
def tests(session: nox.Session) -> None:
    """Run every test, and the examples in the docstrings."""
    session.install("-e", ".[demo,test]")
    session.run("pytest", *session.posargs)
