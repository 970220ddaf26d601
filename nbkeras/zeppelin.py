"""What Apache Zeppelin has to be set to, so that its paragraphs run in this environment."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import re
import shlex
import sys
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

from nbkeras import java
from nbkeras.doctor import Check
from nbkeras.errors import NbkerasError

#: Group of interpreters to the one in it that runs `%%keras_spark`.
GROUPS = {"python": "%python.ipython", "spark": "%spark.ipyspark"}
NOTES = ("quickstart.zpln", "quickstart_zh.zpln")
#: What Zeppelin looks for in the output of `pip freeze`, and pip itself.
PACKAGES = ("jupyter_client", "grpcio", "protobuf", "ipython", "ipykernel", "pip")
#: Older ones take `jupyter_client`, as pip spells it now, for missing.
OLDEST = (0, 12)

_LOAD = "%load_ext nbkeras"
_PYTHONS = ("zeppelin.python", "PYSPARK_PYTHON", "PYSPARK_DRIVER_PYTHON")
_SECONDS = 10  # a server that says nothing for so long is not there


class ZeppelinError(NbkerasError):
    """A Zeppelin server cannot be asked for its settings."""


@dataclass(frozen=True)
class Setting:
    """One property of an interpreter.

    Attributes:
        group: of interpreters that it belongs to, "python" or "spark".
        name: of the property; one in capitals becomes a variable of the environment.
        value: that it should have.
        why: it is needed, in one line.
        needed: whether `%%keras_spark` cannot do without.
    """

    group: str
    name: str
    value: str
    why: str
    needed: bool = True

    def agrees(self, value: str) -> bool:
        """Whether a value does what this setting is for.

        Example:
            >>> Setting("python", "some.check", "false", "").agrees("False")
            True
            >>> Setting("python", "some.precode", "%load_ext nbkeras", "").agrees("import os")
            False
        """
        if self.name in _PYTHONS:
            # A virtual environment has its Python under several names; all its folders lead to the same one.
            mine, other = Path(self.value), Path(value)
            return other.parent == mine.parent and other.resolve() == mine.resolve()
        if self.value == _LOAD:
            return _LOAD in map(str.strip, value.splitlines())
        if self.value in ("true", "false"):
            return value.lower() == self.value
        return value.strip().rstrip("/") == self.value.rstrip("/")


@dataclass(frozen=True)
class Interpreter:
    """An interpreter's settings, as a server gives them.

    Attributes:
        id: that its address ends with.
        group: "python" or "spark".
        properties: each name to its ``name``, ``value``, ``type`` and what else Zeppelin keeps of it.
        rest: the other parts that a change has to repeat.
    """

    id: str
    group: str
    properties: dict[str, dict[str, Any]]
    rest: dict[str, Any]

    def value(self, name: str) -> str:
        """A property's value as text, empty when it is not set.

        Example:
            >>> Interpreter("python", "python", {"a.b": {"value": True}}, {}).value("a.b")
            'True'
        """
        value = self.properties.get(name, {}).get("value")
        return "" if value is None else str(value).strip()


def settings() -> list[Setting]:
    """Every property that this environment needs, for both groups of interpreters.

    Example:
        >>> from nbkeras import zeppelin
        >>> [s.value for s in zeppelin.settings() if s.name == "zeppelin.IPythonInterpreter.precode"]
        ['%load_ext nbkeras']
    """
    python = [
        Setting(
            "python",
            "zeppelin.python",
            sys.executable,
            "paragraphs run in this environment, which has Keras and nbkeras",
        ),
        *_common("python", "zeppelin.IPythonInterpreter.precode"),
    ]
    why = "runs paragraphs in this environment; zeppelin.python does not count here"
    spark = [
        *_spark_home(),
        Setting("spark", "PYSPARK_DRIVER_PYTHON", sys.executable, why),
        Setting("spark", "PYSPARK_PYTHON", sys.executable, "runs Spark's workers in the same environment"),
        *_common("spark", "zeppelin.IPySparkInterpreter.precode"),
    ]
    return python + spark


def missing_packages() -> list[str]:
    """The packages that Zeppelin asks for and this environment lacks.

    Example:
        >>> from nbkeras import zeppelin
        >>> set(zeppelin.missing_packages()) <= set(zeppelin.PACKAGES)
        True
    """
    return [name for name in PACKAGES if not _version(name)]


def install_command(packages: list[str]) -> str:
    """What to type to install packages into this environment.

    Example:
        >>> install_command(["grpcio"]).endswith("-m pip install grpcio")
        True
    """
    python = shlex.quote(sys.executable)
    others = " ".join(name for name in packages if name != "pip")
    commands = [f"{python} -m ensurepip"] if "pip" in packages else []
    if others:
        commands.append(f"{python} -m pip install {others}")
    return " && ".join(commands)


def explanation(wanted: list[Setting]) -> str:
    """The settings as text for people: each with the reason for it.

    Example:
        >>> print(explanation([Setting("python", "zeppelin.python", "/opt/env/bin/python", "it has Keras")]))
        Interpreter python, for %python.ipython:
          zeppelin.python = /opt/env/bin/python
              it has Keras
    """
    parts = []
    for group, interpreter in GROUPS.items():
        lines = [f"  {s.name} = {s.value}\n      {s.why}" for s in wanted if s.group == group]
        if lines:
            parts.append("\n".join([f"Interpreter {group}, for {interpreter}:", *lines]))
    return "\n\n".join(parts)


def request_body(wanted: list[Setting], interpreter: Interpreter | None = None) -> dict[str, Any]:
    """What Zeppelin takes as an interpreter's new settings, for one group of them.

    Zeppelin drops every property that is not in it, so those that the interpreter already has are repeated.

    Args:
        wanted: settings of one group.
        interpreter: as the server has it; None gives the wanted settings alone.

    Example:
        >>> request_body([Setting("python", "A", "1", "")])["properties"]
        {'A': {'name': 'A', 'value': '1', 'type': 'string'}}
    """
    properties = {name: dict(entry) for name, entry in interpreter.properties.items()} if interpreter else {}
    for setting in wanted:
        entry = properties.setdefault(setting.name, {"name": setting.name})
        entry["value"] = _value(setting, str(entry.get("value") or ""))
        entry.setdefault("type", "checkbox" if isinstance(entry["value"], bool) else "string")
    rest = interpreter.rest if interpreter else {"option": {"remote": True}, "dependencies": []}
    return {"properties": properties, **rest}


def write(folder: Path, wanted: list[Setting], server: Server | None = None) -> tuple[list[str], bool]:
    """Write the settings and the notes into a folder.

    A file that is already there and differs is left as it is.

    Args:
        folder: made when it does not exist.
        wanted: the settings.
        server: whose other properties go into the files too, so that they can be sent to it.

    Returns:
        Lines that say what was written and what to do with it, and whether all was written.

    Raises:
        ZeppelinError: the folder cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     lines, complete = write(Path(folder), [])
        >>> lines[0].splitlines()[0], complete
        ('Wrote ...python.json', True)
    """
    files: dict[str, tuple[bytes, str]] = {}
    for group in GROUPS:
        interpreter = server.interpreters.get(group) if server else None
        if server is None or interpreter:
            body = request_body([s for s in wanted if s.group == group], interpreter)
            text = json.dumps(body, indent=2, ensure_ascii=False) + "\n"
            files[f"{group}.json"] = (text.encode(), _what_to_do(folder, group, server, interpreter))
    for name in NOTES:
        files[name] = (note(name).read_bytes(), "in Zeppelin: Import note, Select JSON File")
    lines = []
    complete = True
    if server:
        absent = [group for group in GROUPS if group not in server.interpreters]
        lines += [f"Without {group}.json: this Zeppelin has no interpreter of that group" for group in absent]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, (content, todo) in files.items():
            path = folder / name
            if path.exists() and path.read_bytes() != content:
                complete = False
                lines.append(f"Kept {path}\n    it differs; remove it, or name another folder")
            else:
                path.write_bytes(content)
                lines.append(f"Wrote {path}\n    {todo}")
    except OSError as error:
        raise ZeppelinError(f"{folder} cannot be written: {error}; name another folder") from None
    return lines, complete


def note(name: str) -> Path:
    """Where a note for Zeppelin lies, in an installed package or in a checkout.

    Example:
        >>> note("quickstart.zpln").exists()
        True
    """
    package = Path(__file__).parent
    places = (root / "notebooks" / "zeppelin" / name for root in (package, package.parent))
    return next(place for place in places if place.exists())


@dataclass(frozen=True)
class Server:
    """A running Zeppelin.

    Attributes:
        address: that its REST API begins with, without ``/api``.
        version: as it says.
        interpreters: by group; at least one of "python" and "spark".
    """

    address: str
    version: str
    interpreters: dict[str, Interpreter]


def ask(address: str) -> Server:
    """A running Zeppelin's version and its interpreters' settings.

    Args:
        address: as in the browser, such as ``http://127.0.0.1:8080``.

    Raises:
        ZeppelinError: nothing answers there, or no Zeppelin, or it wants a login, or it has neither
            group of interpreters.

    Example:
        >>> ask("ftp://somewhere")
        Traceback (most recent call last):
        nbkeras.zeppelin.ZeppelinError: 'ftp://somewhere' is no address of a Zeppelin; ...
    """
    base = _base(address)
    version = _get(base, "/api/version")
    version = version.get("version") if isinstance(version, dict) else version
    if not isinstance(version, str) or not re.match(r"\d+\.\d+", version):
        raise _not_zeppelin(base, "it tells no version")
    found = _get(base, "/api/interpreter/setting")
    if not isinstance(found, list):
        raise _not_zeppelin(base, "it lists no interpreters")
    interpreters = {group: i for group in GROUPS if (i := _choose(found, group))}
    if not interpreters:
        raise ZeppelinError(
            f"Zeppelin {version} at {base} has no interpreter of the group python or spark; "
            "install one with bin/install-interpreter.sh --name python and create it in its menu Interpreter"
        )
    return Server(base, version, interpreters)


def compare(server: Server, wanted: list[Setting]) -> list[Check]:
    """A server's settings beside those that this environment needs.

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


def _common(group: str, precode: str) -> list[Setting]:
    found = []
    if _numbers(_version("protobuf"))[:1] >= (4,):
        why = "with protobuf 4 or newer, IPython does not start without it: Zeppelin's own code is older"
        found.append(Setting(group, "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION", "python", why))
    why = f"every {GROUPS[group]} paragraph knows %%keras_spark without loading it"
    found.append(Setting(group, precode, _LOAD, why, needed=False))
    why = "keeps most of TensorFlow's log lines out of the paragraphs"
    found.append(Setting(group, "TF_CPP_MIN_LOG_LEVEL", "3", why, needed=False))
    return found


def _spark_home() -> list[Setting]:
    home = _pyspark_folder()
    if home is None:
        return []
    version = _numbers(_version("pyspark"))[:2]
    found = [Setting("spark", "SPARK_HOME", str(home), "the Spark of this environment; Zeppelin brings none")]
    if version >= (4, 1):
        why = f"Zeppelin 0.12 refuses Spark 4.1 and newer unasked; this is {_version('pyspark')}"
        found.append(Setting("spark", "zeppelin.spark.enableSupportedVersionCheck", "false", why))
    if version >= (4, 0) and (usable := java.find()):
        why = f"Spark 4 needs Java {java.OLDEST} or newer; Zeppelin's own may be older"
        found.append(Setting("spark", "JAVA_HOME", str(usable.home), why, needed=False))
    return found


def _pyspark_folder() -> Path | None:
    # Where pip put it, or SPARK_HOME/python/pyspark.
    spec = importlib.util.find_spec("pyspark")
    for place in (spec and spec.submodule_search_locations) or ():
        for folder in (Path(place), Path(place).parent.parent):
            if (folder / "bin" / "spark-submit").exists():
                return folder
    return None


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version))


def _value(setting: Setting, before: str) -> str | bool:
    if setting.value in ("true", "false"):
        return setting.value == "true"  # a checkbox in Zeppelin
    if setting.value == _LOAD and before.strip():
        return before if setting.agrees(before) else f"{before.rstrip()}\n{_LOAD}"
    return setting.value


def _what_to_do(folder: Path, group: str, server: Server | None, interpreter: Interpreter | None) -> str:
    clicks = f"in Zeppelin: menu Interpreter, {group}, edit, one row for each property in it, Save"
    if server is None or interpreter is None:
        return (
            f"{clicks}; or let `nbkeras zeppelin --write DIR --server URL` write what can be sent to a server"
        )
    url = f"{server.address}/api/interpreter/setting/{urllib.parse.quote(interpreter.id)}"
    path = shlex.quote(f"@{folder / f'{group}.json'}")
    send = f"curl -X PUT -H 'Content-Type: application/json' -d {path} {shlex.quote(url)}"
    return f"{clicks}; or, which restarts the interpreter:\n    {send}"


def _base(address: str) -> str:
    # As it stands in the browser's address line, or without http://.
    try:
        parts = urllib.parse.urlsplit(address if "://" in address else f"http://{address}")
        valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise ZeppelinError(f"{address!r} is no address of a Zeppelin; one looks like http://127.0.0.1:8080")
    path = re.sub(r"/(api|classic|new|next)?/?$", "", parts.path)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{path}"


def _get(base: str, path: str) -> Any:
    """The ``body`` of what the REST API answers."""
    try:
        request = urllib.request.Request(base + path, headers={"Accept": "application/json"})  # noqa: S310
        with urllib.request.urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310  # _base lets http pass
            text = answer.read()
    except urllib.error.HTTPError as error:
        # Zeppelin sends whom it does not know to its login, which is not for GET.
        if error.code in (401, 403) or re.search(r"/login(;|$)", error.url):
            raise ZeppelinError(
                f"Zeppelin at {base} wants a login, so its settings cannot be read; type `nbkeras zeppelin` "
                "and compare with its menu Interpreter"
            ) from None
        raise _not_zeppelin(base, f"{path} gives {error.code}") from None
    except (OSError, HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise ZeppelinError(
            f"no Zeppelin can be reached at {base}: {reason}; start it with bin/zeppelin-daemon.sh start, "
            "or give its address"
        ) from None
    try:
        return json.loads(text)["body"]
    except (ValueError, KeyError, TypeError):
        raise _not_zeppelin(base, f"{path} gives something else") from None


def _not_zeppelin(base: str, reason: str) -> ZeppelinError:
    return ZeppelinError(f"what answers at {base} is no Zeppelin: {reason}; give the address of one")


def _choose(found: list[Any], group: str) -> Interpreter | None:
    # The one that bears the group's name, else any: people may add more.
    of_group = [one for one in found if isinstance(one, dict) and one.get("group") == group and "id" in one]
    of_group.sort(key=lambda one: one.get("name") != group)
    for one in of_group:
        rest = {
            "option": one.get("option") or {"remote": True},
            "dependencies": one.get("dependencies") or [],
        }
        properties = one.get("properties") or {}
        return Interpreter(str(one["id"]), group, {k: _entry(k, v) for k, v in properties.items()}, rest)
    return None


def _entry(name: str, entry: Any) -> dict[str, Any]:
    return entry if isinstance(entry, dict) else {"name": name, "value": entry, "type": "string"}


def _check_version(version: str) -> Check:
    if _numbers(version) >= OLDEST:
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
    remedy = str(_value(setting, value)).replace("\n", "\\n") if needed or not value else ""
    return Check(name, shown, problem, remedy, needed)


def _difference(setting: Setting, value: str, interpreter: Interpreter) -> tuple[str, bool]:
    """What is wrong with a value, and whether that has to be changed."""
    own_spark = interpreter.value("SPARK_HOME").rstrip("/")
    other_spark = own_spark and own_spark != str(_pyspark_folder())
    if setting.name in _PYTHONS and Path(value).is_absolute():
        return "another environment: Keras and nbkeras must be installed there", False
    if setting.name == "SPARK_HOME" and value:
        return "another Spark: its version must be that of the workers", False
    if setting.name in _PYTHONS and value:
        return "whichever comes first on the server's PATH", True
    if setting.name == "zeppelin.spark.enableSupportedVersionCheck" and other_spark:
        return "only the Spark of this environment needs it", False
    problem = f"{'needed' if setting.needed else 'better'}: {setting.why}"
    if not value and setting.name.isupper():
        problem += " (if conf/zeppelin-env.sh does not set it)"
    return problem, setting.needed
