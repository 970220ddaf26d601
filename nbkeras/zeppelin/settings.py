"""The settings with which Zeppelin's paragraphs run in this environment."""

from __future__ import annotations

import importlib.util
import re
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from nbkeras.requirements import installed
from nbkeras.spark import java

#: By group of interpreters, the interpreter that runs `%%keras_spark`.
GROUPS = {"python": "%python.ipython", "spark": "%spark.ipyspark"}
#: What Zeppelin looks for in the output of `pip freeze`, and pip itself.
PACKAGES = ("jupyter_client", "grpcio", "protobuf", "ipython", "ipykernel", "pip")
#: Properties that name a Python.
PYTHONS = ("zeppelin.python", "PYSPARK_PYTHON", "PYSPARK_DRIVER_PYTHON")
#: Whether Zeppelin refuses a Spark that is newer than it knows.
VERSION_CHECK = "zeppelin.spark.enableSupportedVersionCheck"

_LOAD = "%load_ext nbkeras"
_CHECKBOX = ("true", "false")


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
        if self.name in PYTHONS:
            # A virtual environment has its Python under several names; all its folders lead to the same one.
            mine, other = Path(self.value), Path(value)
            return other.parent == mine.parent and other.resolve() == mine.resolve()
        if self.value == _LOAD:
            return _LOAD in map(str.strip, value.splitlines())
        if self.value in _CHECKBOX:
            return value.lower() == self.value
        return value.strip().rstrip("/") == self.value.rstrip("/")

    def applied(self, before: str) -> str | bool:
        r"""The value to replace another one with.

        Example:
            >>> Setting("python", "some.precode", "%load_ext nbkeras", "").applied("import os")
            'import os\n%load_ext nbkeras'
            >>> Setting("python", "some.check", "false", "").applied("true")
            False
        """
        if self.value in _CHECKBOX:
            return self.value == "true"
        if self.value == _LOAD and before.strip():
            return before if self.agrees(before) else f"{before.rstrip()}\n{_LOAD}"
        return self.value


def settings() -> list[Setting]:
    """Every property that this environment needs, for both groups of interpreters.

    Example:
        >>> [s.value for s in settings() if s.name == "zeppelin.IPythonInterpreter.precode"]
        ['%load_ext nbkeras']
    """
    why = "paragraphs run in this environment, which has Keras and nbkeras"
    python = [
        Setting("python", "zeppelin.python", sys.executable, why),
        *_common("python", "zeppelin.IPythonInterpreter.precode"),
    ]
    why = "runs paragraphs in this environment; zeppelin.python does not count here"
    spark = [
        *_spark_home(),
        Setting("spark", "PYSPARK_DRIVER_PYTHON", sys.executable, why),
        Setting("spark", "PYSPARK_PYTHON", sys.executable, "runs Spark's workers in the same environment"),
        Setting(
            "spark",
            "spark.ui.showConsoleProgress",
            "false",
            "keeps Spark's own progress bar, which is for terminals, out of the paragraphs",
            needed=False,
        ),
        *_common("spark", "zeppelin.IPySparkInterpreter.precode"),
    ]
    return python + spark


def missing_packages() -> list[str]:
    """The packages that Zeppelin asks for and this environment lacks.

    Example:
        >>> set(missing_packages()) <= set(PACKAGES)
        True
    """
    return [name for name in PACKAGES if not installed(name)]


def install_command(packages: list[str]) -> str:
    """The command that installs packages into this environment.

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


def pyspark_folder() -> Path | None:
    """The home of the installed Spark: where pip put it, or SPARK_HOME."""
    spec = importlib.util.find_spec("pyspark")
    for place in (spec and spec.submodule_search_locations) or ():
        for folder in (Path(place), Path(place).parent.parent):
            if (folder / "bin" / "spark-submit").exists():
                return folder
    return None


def numbers(version: str) -> tuple[int, ...]:
    """A version as numbers, which can be compared.

    Example:
        >>> numbers("0.12.1")
        (0, 12, 1)
    """
    return tuple(int(number) for number in re.findall(r"\d+", version))


def _common(group: str, precode: str) -> list[Setting]:
    found = []
    if numbers(installed("protobuf") or "")[:1] >= (4,):
        why = "with protobuf 4 or newer, IPython does not start without it: Zeppelin's own code is older"
        found.append(Setting(group, "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION", "python", why))
    why = f"every {GROUPS[group]} paragraph knows %%keras_spark without loading it"
    found.append(Setting(group, precode, _LOAD, why, needed=False))
    return found


def _spark_home() -> list[Setting]:
    home = pyspark_folder()
    if home is None:
        return []
    version = numbers(installed("pyspark") or "")[:2]
    found = [Setting("spark", "SPARK_HOME", str(home), "the Spark of this environment; Zeppelin brings none")]
    if version >= (4, 1):
        why = f"Zeppelin 0.12 refuses Spark 4.1 and newer unasked; this is {installed('pyspark')}"
        found.append(Setting("spark", VERSION_CHECK, "false", why))
    if version >= (4, 0) and (usable := java.find()):
        why = f"Spark 4 needs Java {java.OLDEST} or newer; Zeppelin's own may be older"
        found.append(Setting("spark", "JAVA_HOME", str(usable.home), why, needed=False))
    return found
