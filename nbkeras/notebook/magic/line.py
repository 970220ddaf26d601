"""Line: what is typed behind a word of ``%keras_spark``."""

from __future__ import annotations

import argparse
import shlex
from typing import Any, Never

from nbkeras.errors import OptionError


class Line(argparse.ArgumentParser):
    """Reads places and options behind a word, and says in one line what it does not understand.

    Args:
        word: behind ``%keras_spark``.
        usage: how it is typed.

    Example:
        >>> line = Line("report", "%keras_spark report NAME [--worst N]")
        >>> _ = line.add_argument("frame", nargs="?"), line.add_argument("--worst", type=int)
        >>> line.read("rows --worst 3")
        {'frame': 'rows', 'worst': 3}
    """

    def __init__(self, word: str, usage: str) -> None:
        super().__init__(word, add_help=False, allow_abbrev=False, argument_default=argparse.SUPPRESS)
        self._typed = usage

    def error(self, message: str) -> Never:
        """Refuse the line.

        Raises:
            OptionError: always.
        """
        raise OptionError(f"{self.prog}: {message.removeprefix('argument ')}; type {self._typed}")

    def read(self, line: str) -> dict[str, Any]:
        """What was typed, by name; what was not is not there.

        Raises:
            OptionError: it cannot be understood.
        """
        try:
            return vars(self.parse_args(shlex.split(line)))
        except ValueError as error:
            raise OptionError(f"a quote is not closed in: {line.strip()}") from error
