"""Scripts that stand for a notebook whose kernel and Spark are its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from lifeline import ENDS_WITH_US

ROOT = Path(__file__).parents[1]
_OF_CONNECT = {"SPARK_CONNECT_MODE_ENABLED", "SPARK_LOCAL_REMOTE", "SPARK_REMOTE"}

#: Runs the scripts that come in, each with names of its own. A Spark that one leaves is stopped.
_SERVE = """
import json, os, sys, traceback
import keras
from nbkeras.spark import java
java.ensure()
from pyspark import SparkContext
from pyspark.sql import SparkSession
# Started for a session, Java would take that session's settings for those of all later ones.
SparkContext._ensure_initialized()
pythons = os.environ.get("PYSPARK_PYTHON")
for line in sys.stdin:
    script, words = json.loads(line)
    sys.argv, names = ["notebook", *words], {"__name__": "__main__"}
    try:
        exec(compile(script, "notebook", "exec"), names)
        answer = [True, names["found"]]
    except BaseException:
        answer = [False, traceback.format_exc()]
    if SparkContext._active_spark_context is not None:
        SparkSession.builder.getOrCreate().stop()
    if pythons is None:
        os.environ.pop("PYSPARK_PYTHON", None)
    print("FOUND", json.dumps(answer), flush=True)
"""


def _environment(more: Mapping[str, str] | None) -> dict[str, str]:
    """The variables of this process, but for those by which a Connect session makes all others such."""
    ours = {name: value for name, value in os.environ.items() if name not in _OF_CONNECT}
    return {**ours, **(more or {})}


def run(
    script: str,
    *arguments: object,
    timeout: float | None = None,
    environment: Mapping[str, str] | None = None,
) -> tuple[Any, str]:
    """What a script has in its variable ``found`` in the end, and what it has written to stderr.

    Args:
        script: Python code.
        arguments: that it gets, as words.
        timeout: seconds that it may take; those of the test where there are none.
        environment: variables beside those of this process.
    """
    code = f"{script}\nprint('FOUND', json.dumps(found))"
    done = subprocess.run(
        [*ENDS_WITH_US, sys.executable, "-c", code, *map(str, arguments)],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=_environment(environment),
        timeout=timeout,
    )
    found = [line for line in done.stdout.splitlines() if line.startswith("FOUND ")]
    assert found, done.stderr[-3000:]
    return json.loads(found[-1].removeprefix("FOUND ")), done.stderr


class Notebook:
    """A kernel for several scripts, as long as a ``with`` block lasts: each starts a Spark and leaves none.

    They have Keras and Java loaded already, which is half of what a notebook of their own would cost.

    Args:
        environment: variables beside those of this process.
    """

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self._busy = False
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  # it is closed with the process
        self._process = subprocess.Popen(
            [*ENDS_WITH_US, sys.executable, "-c", _SERVE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            cwd=ROOT,
            env=_environment(environment),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._process, self._errors:
            if self._busy:
                self._process.kill()  # the test has given up on it
            else:
                self._process.stdin.close()

    def run(self, script: str, *arguments: object) -> Any:
        """What a script has in its variable ``found`` in the end.

        Args:
            script: Python code.
            arguments: that it gets, as words.
        """
        self._busy = True
        self._process.stdin.write(json.dumps([script, list(map(str, arguments))]) + "\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            if line.startswith("FOUND "):
                self._busy = False
                worked, found = json.loads(line.removeprefix("FOUND "))
                assert worked, f"{found}\n{self._said()}"
                return found
        raise AssertionError(f"the notebook has ended: {self._said()}")

    def _said(self) -> str:
        self._errors.seek(0)
        return self._errors.read()[-3000:]
