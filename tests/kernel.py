"""Scripts that stand for a notebook whose kernel and Spark are its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def run(
    script: str, *arguments: object, timeout: float, environment: Mapping[str, str] | None = None
) -> tuple[Any, str]:
    """What a script has in its variable ``found`` in the end, and what it has written to stderr.

    Args:
        script: Python code.
        arguments: that it gets, as words.
        timeout: seconds that it may take.
        environment: variables beside those of this process.
    """
    done = subprocess.run(
        [sys.executable, "-c", f"{script}\nprint('FOUND', json.dumps(found))", *map(str, arguments)],
        check=False,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[1],
        env={**os.environ, **(environment or {})},
        timeout=timeout,
    )
    found = [line for line in done.stdout.splitlines() if line.startswith("FOUND ")]
    assert found, done.stderr[-3000:]
    return json.loads(found[-1].removeprefix("FOUND ")), done.stderr
