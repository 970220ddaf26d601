"""Compares a server's settings with those that this environment needs."""

from __future__ import annotations

from pathlib import Path

from nbkeras.doctor import Check
from nbkeras.zeppelin.server import Interpreter, Server
from nbkeras.zeppelin.settings import (
    GROUPS,
    PYTHONS,
    VERSION_CHECK,
    Setting,
    install_command,
    missing_packages,
    numbers,
    pyspark_folder,
)

#: Older versions report `jupyter_client`, as pip spells it now, as missing.
OLDEST = (0, 12)


def compare(server: Server, wanted: list[Setting]) -> list[Check]:
    """Compare a server's settings with those that this environment needs.

    Example:
        >>> one = Interpreter("python", "python", {"zeppelin.python": {"value": "python"}}, {})
        >>> server = Server("http://127.0.0.1:8080", "0.12.1", {"python": one})
        >>> checks = compare(server, [Setting("python", "zeppelin.python", "/opt/env/bin/python", "")])
        >>> checks[-1].problem, checks[-1].remedy
        ('no interpreter of this group: ...', '')
    """
    checks = [_check_version(server.version)]
    if missing := missing_packages():
        problem = f"Zeppelin wants {', '.join(missing)} in this environment"
        checks.append(Check("Python packages", "missing", problem, install_command(missing)))
    for group, interpreter in GROUPS.items():
        if found := server.interpreters.get(group):
            checks += [_check(s, found) for s in wanted if s.group == group]
        else:
            problem = f"no interpreter of this group: {interpreter} cannot run on this server"
            checks.append(Check(group, "missing", problem, needed=False))
    return checks


def _check_version(version: str) -> Check:
    if numbers(version) >= OLDEST:
        return Check("Zeppelin", version)
    oldest = ".".join(map(str, OLDEST))
    problem = f"before {oldest} it may not find the packages of a new environment"
    return Check("Zeppelin", version, problem, needed=False)


def _check(setting: Setting, interpreter: Interpreter) -> Check:
    name = f"{setting.group}: {setting.name}"
    value = interpreter.value(setting.name)
    shown = " ".join(value.split()) or "not set"
    if setting.agrees(value):
        return Check(name, shown)
    problem, needed = _difference(setting, value, interpreter)
    remedy = str(setting.applied(value)).replace("\n", "\\n") if needed or not value else ""
    return Check(name, shown, problem, remedy, needed)


def _difference(setting: Setting, value: str, interpreter: Interpreter) -> tuple[str, bool]:
    """The error of a value, and whether the value has to change."""
    own_spark = interpreter.value("SPARK_HOME").rstrip("/")
    other_spark = own_spark and own_spark != str(pyspark_folder())
    if setting.name in PYTHONS and Path(value).is_absolute():
        return "another environment: Keras and nbkeras must be installed there", False
    if setting.name == "SPARK_HOME" and value:
        return "another Spark: its version must be that of the workers", False
    if setting.name in PYTHONS and value:
        return "whichever comes first on the server's PATH", True
    if setting.name == VERSION_CHECK and other_spark:
        return "only the Spark of this environment needs it", False
    problem = f"{'needed' if setting.needed else 'better'}: {setting.why}"
    if not value and setting.name.isupper():
        problem += " (if conf/zeppelin-env.sh does not set it)"
    return problem, setting.needed
