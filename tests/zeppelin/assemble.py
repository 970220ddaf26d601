"""A ZEPPELIN_HOME, put together from what Maven Central has."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import tempfile
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path

POM = Path(__file__).with_name("pom.xml")
SPARK = Path(__file__).with_name("SparkScala212Interpreter.java")

# Published to listen on every address of the machine.
LOOPBACK = ("[::]:", "127.0.0.1:")
# Spark 3.3 took the former away.
SQL_CONTEXT = ("__zSpark__._wrapped", "SQLContext._get_or_create(sc)")
#: Files in the jars of the interpreters, and what is replaced in them.
PATCHES = {
    "grpc/jupyter/kernel_server.py": LOOPBACK,
    "python/zeppelin_ipyspark.py": SQL_CONTEXT,
    "python/zeppelin_pyspark.py": SQL_CONTEXT,
}


class Unavailable(Exception):
    """There is no Zeppelin, for this reason."""


@dataclass(frozen=True)
class Edition:
    """Versions that work together; the wars are the pages, of the server's version.

    Newer ones than 0.10 have other jars for Spark, and nobody has had them all to try.
    """

    server: str
    shaded: str
    jupyter: str
    python: str
    spark: str | None
    wars: bool


#: The first of which nothing is lacking is taken: some mirrors of Maven Central lack parts of the newer ones.
EDITIONS = (
    Edition(server="0.12.1", shaded="0.12.1", jupyter="0.12.1", python="0.12.1", spark=None, wars=True),
    Edition(server="0.10.0", shaded="0.10.1", jupyter="0.10.1", python="0.12.1", spark="0.10.1", wars=False),
)


def assemble(folder: Path) -> Path:
    """The home of a Zeppelin in this folder, kept there for the next time."""
    recipe = hashlib.sha256(POM.read_bytes() + Path(__file__).read_bytes()).hexdigest()
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
            if not re.search("was not found in|Could not find artifact", failure):
                break  # the network, say: no reason to test with another one
    raise Unavailable(f"no Zeppelin {edition.server} from Maven Central: {failure}")


def describe(home: Path) -> str:
    """What a home is made of."""
    server, python = (
        next(home.glob(f"{jar}-*.jar")).stem.rpartition("-")[2]
        for jar in ("lib/zeppelin-server", "interpreter/python/zeppelin-python")
    )
    return f"Zeppelin {server} server, {python} python"


def compile_spark(home: Path, spark: Path, jdk: Path, classes: Path) -> None:
    """Make the classes by which the interpreters of a home start this Spark."""
    interpreters = home / "interpreter"
    if not (interpreters / "spark").is_dir():
        raise Unavailable(f"no %spark for {describe(home)}: nobody has tried which jars it needs")
    jars = f"{interpreters}/*:{interpreters}/spark/*:{spark}/jars/*"
    subprocess.run([jdk / "bin" / "javac", "-nowarn", "-d", classes, "-cp", jars, SPARK], check=True)


def _make(home: Path, edition: Edition, mvn: str) -> str | None:
    """Make a home; the reason why it could not be made, or None."""
    home.mkdir()
    shutil.copy(POM, home)
    given = asdict(edition) | {
        "noSpark": str(not edition.spark).lower(),
        "noWars": str(not edition.wars).lower(),
        "style.color": "never",
    }
    command = [mvn, "--batch-mode", *(f"-D{name}={value}" for name, value in given.items()), "package"]
    done = subprocess.run(command, cwd=home, check=False, capture_output=True, text=True)
    if done.returncode == 0:
        _finish(home / "interpreter")
        return None
    reason = re.search(r"\[ERROR\] (.+?)( -> \[Help 1\])?$", done.stdout, re.MULTILINE)
    return reason[1] if reason else f"mvn ended with {done.returncode}"


def _finish(interpreters: Path) -> None:
    """What Maven cannot do: a jar that goes with Spark, fewer interpreters of Spark, patches."""
    spark = interpreters / "spark"
    if spark.is_dir():
        (jupyter,) = interpreters.glob("python/zeppelin-jupyter-*.jar")
        _copy_beside_spark(jupyter, spark / jupyter.name)
        with zipfile.ZipFile(next(spark.glob("spark-interpreter-*.jar"))) as jar:
            settings = json.loads(jar.read("interpreter-setting.json"))
        python = [one for one in settings if one["name"] in ("spark", "pyspark", "ipyspark")]
        (spark / "interpreter-setting.json").write_text(json.dumps(python))
        (spark / "scala-2.12").mkdir()  # Zeppelin looks into it for what compile_spark makes
    for path in interpreters.glob("*/*.jar"):
        with zipfile.ZipFile(path) as jar:
            for name in PATCHES.keys() & set(jar.namelist()):
                patched = path.parent / "patch" / name
                patched.parent.mkdir(parents=True, exist_ok=True)
                patched.write_text(jar.read(name).decode().replace(*PATCHES[name]))


def _copy_beside_spark(jar: Path, copy: Path) -> None:
    """Copy a jar without what Spark has in other versions, and with its own Netty by another name."""
    with zipfile.ZipFile(jar) as old, zipfile.ZipFile(copy, "w") as new:
        for entry in old.infolist():
            if not entry.filename.startswith(("org/apache/commons/", "org/apache/log4j/", "org/slf4j/")):
                # In a class, a word can be replaced by one that is as long.
                content = old.read(entry).replace(b"io/netty", b"zz/netty").replace(b"io.netty", b"zz.netty")
                new.writestr(entry.filename.replace("io/netty", "zz/netty"), content)


def _move(made: Path, home: Path) -> None:
    try:
        made.rename(home)
    except OSError:
        if not home.is_dir():  # else another run of the tests was faster
            raise
