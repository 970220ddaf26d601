"""Java for a local Spark: found on this machine, or installed into the user's home."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nbkeras.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Spark 4 needs this version, and Spark 3.5 runs on it.
OLDEST = 17
#: Spark loads this module in every JVM; a stripped-down runtime may lack it.
MODULE = "jdk.incubator.vector"
#: Hadoop before 3.4.2, so Spark before 4.1, calls a method that Java 23 removed (HADOOP-19212).
NEWEST_BEFORE_SPARK_4_1 = 22

INSTALL_COMMANDS = (
    "'sudo apt-get install openjdk-17-jre-headless' (or default-jdk-headless) on Debian and Ubuntu, "
    "'brew install openjdk@17' on macOS, 'conda install -c conda-forge openjdk=17' in conda"
)

# Where installers put a Java home, on Linux, macOS or both.
_USUAL_PLACES = (
    "/usr/lib/jvm/*",
    "/usr/lib64/jvm/*",
    "/usr/java/*",
    "/opt/java/*",
    "/opt/jdk*",
    "/opt/homebrew/opt/openjdk*/libexec/openjdk.jdk/Contents/Home",
    "/usr/local/opt/openjdk*/libexec/openjdk.jdk/Contents/Home",
    "/home/linuxbrew/.linuxbrew/opt/openjdk*/libexec",
    "/Library/Java/JavaVirtualMachines/*/Contents/Home",
    "~/Library/Java/JavaVirtualMachines/*/Contents/Home",
    "~/.sdkman/candidates/java/*",
    "~/.jdk/*",
    "~/.jdk/*/Contents/Home",
    "~/.jre/*",
    "~/.jre/*/Contents/Home",
)


@dataclass(frozen=True)
class Java:
    """A Java that was started once to read its properties.

    Attributes:
        home: the value for JAVA_HOME.
        version: as Java prints it.
        complete: whether it has the module that Spark needs.
    """

    home: Path
    version: str
    complete: bool

    @property
    def major(self) -> int:
        """The major version, as people say it.

        Example:
            >>> Java(Path("/opt/jdk8"), "1.8.0_402", complete=False).major
            8
        """
        numbers = re.findall(r"\d+", self.version)
        return int(numbers[1] if numbers[0] == "1" and len(numbers) > 1 else numbers[0])

    @property
    def problem(self) -> str | None:
        """Why Spark cannot run on this Java, or None."""
        if self.major < OLDEST:
            return f"Java {self.version} in {self.home} is older than {OLDEST}"
        if self.major > NEWEST_BEFORE_SPARK_4_1 and _spark_version() < (4, 1):
            return f"Java {self.version} in {self.home} is too new for Spark before 4.1"
        if not self.complete:
            return f"Java {self.version} in {self.home} lacks the module {MODULE}"
        return None


def find() -> Java | None:
    """Find the first Java on this machine that Spark can run on.

    Looks at JAVA_HOME, at PATH, and in the folders of installers on Linux, macOS and in conda.

    Example:
        >>> from nbkeras.spark import java
        >>> found = java.find()
        >>> found is None or found.major >= 17
        True
    """
    return next((java for java in candidates() if java.problem is None), None)


def ensure() -> Path:
    """Return the home of a Java that Spark can run on, and set JAVA_HOME to it in this process.

    Without such a Java, installs one under ``~/.jdk``, and says so.

    Raises:
        ClusterError: there is none and it cannot be downloaded.

    Example:
        >>> from nbkeras.spark import java
        >>> (java.ensure() / "bin" / "java").exists()
        True
    """
    java = find() or _install()
    before = os.environ.get("JAVA_HOME")
    if before and _executable(before).resolve() != _executable(java.home).resolve():
        print(f"JAVA_HOME={before} is not a Java that Spark can run on; using {java.home}.")
    os.environ["JAVA_HOME"] = str(java.home)
    return java.home


def candidates() -> Iterator[Java]:
    """Yield every Java on this machine, also those that Spark cannot run on, the likeliest first."""
    seen = set()
    for executable in _executables():
        real = executable.resolve()
        if real not in seen and os.access(real, os.X_OK):
            seen.add(real)
            if java := _inspect(executable):
                yield java


def _executable(home: str | Path) -> Path:
    return Path(home) / "bin" / "java"


def _executables() -> Iterator[Path]:
    if home := os.environ.get("JAVA_HOME"):
        yield _executable(home)
    if on_path := shutil.which("java"):
        yield Path(on_path)
    for prefix in (os.environ.get("CONDA_PREFIX"), sys.prefix):
        if prefix:
            yield _executable(Path(prefix) / "lib" / "jvm")
    for pattern in _USUAL_PLACES:
        absolute = Path(pattern).expanduser()
        for place in sorted(Path("/").glob(str(absolute.relative_to("/"))), reverse=True):
            yield _executable(place)


def _inspect(executable: Path) -> Java | None:
    # Java prints its own home: the program on PATH may be a script that chooses a Java.
    shown = _run(executable, "-XshowSettings:properties", "-version")
    if shown is None:
        return None
    home = re.search(r"^\s*java\.home = (.+)$", shown, re.MULTILINE)
    version = re.search(r"^\s*java\.version = (\d.*)$", shown, re.MULTILINE)
    if not (home and version):
        return None
    complete = _run(executable, f"--add-modules={MODULE}", "-version") is not None
    return Java(Path(home[1].strip()), version[1].strip(), complete)


def _run(executable: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            [executable, *arguments],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=30,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout + done.stderr if done.returncode == 0 else None


def _install() -> Java:
    """Download a Java 17 to ``~/.jdk`` and return it."""
    root = Path.home() / ".jdk"
    print(f"No Java {OLDEST} or newer on this machine: installing one into {root}.", flush=True)
    # Install a JDK, because a JRE may lack the module. Unpack it in a scratch folder and move it into place
    # at the end, so that an incomplete download never looks like a Java.
    try:
        root.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".nbkeras-", dir=root) as scratch:
            failure = _download(Path(scratch))
            for home in Path(scratch).glob("unpacked/*"):
                home.rename(root / home.name)
    except OSError as error:
        failure = str(error)
    if java := find():
        print(f"Java {java.version} is in {java.home}.")
        return java
    found = next(candidates(), None)
    seen = found.problem if found else "no Java in JAVA_HOME, on PATH or where installers put it"
    raise ClusterError(
        f"Spark needs Java {OLDEST} or newer: {seen}, and none could be downloaded ({failure}); "
        f"install it with {INSTALL_COMMANDS}"
    )


# Runs in its own process: the timeout is process-wide, and an interrupt ends it.
_DOWNLOAD = """
import socket, sys, tempfile
import jdk
socket.setdefaulttimeout(20)
tempfile.tempdir = sys.argv[1]
try:
    jdk.install(sys.argv[2], path=sys.argv[1] + "/unpacked")
except Exception as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""


def _download(scratch: Path) -> str:
    """Download and unpack a Java under ``scratch/unpacked``, and return the reason of a failure."""
    command = [sys.executable, "-c", _DOWNLOAD, str(scratch), str(OLDEST)]
    with (scratch / "errors").open("w+") as errors, subprocess.Popen(command, stderr=errors) as child:
        try:
            while child.poll() is None:
                try:
                    child.wait(timeout=1)
                except subprocess.TimeoutExpired:
                    megabytes = sum(f.stat().st_size for f in scratch.glob("*") if f.is_file()) // 10**6
                    print(f"\r{megabytes} MB", end="", flush=True)
        finally:
            child.kill()
        print("\r", end="")
        errors.seek(0)
        lines = errors.read().strip().splitlines()
    return lines[-1] if lines else "the download was empty"


@functools.cache
def _spark_version() -> tuple[int, ...]:
    try:
        version = importlib.metadata.version("pyspark")
    except importlib.metadata.PackageNotFoundError:
        return (4, 1)
    return tuple(int(number) for number in re.findall(r"\d+", version)[:2])
