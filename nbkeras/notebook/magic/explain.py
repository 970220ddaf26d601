"""The Python code that does what a cell with %%keras_spark does."""

from __future__ import annotations

import ast
import io
import tokenize
from typing import Any


def around_fit(body: str, where: dict[str, str]) -> str:
    """Write the code for a cell that calls fit itself.

    Args:
        body: the cell's code.
        where: the arguments of ``on_spark``, as source.

    Example:
        >>> print(around_fit("model.fit(df, y='label')", {"workers": "2"}))
        import nbkeras
        <BLANKLINE>
        with nbkeras.on_spark(workers=2):
            model.fit(df, y='label')
    """
    return f"import nbkeras\n\nwith nbkeras.on_spark({_arguments(where)}):\n{_indent(body)}"


def with_fit(body: str, model: str, data: str, arguments: dict[str, str]) -> str:
    """Write the code for a cell that leaves the call of fit to the magic.

    Example:
        >>> print(with_fit("", "model", "df", {"y": "'label'"}))
        import nbkeras
        <BLANKLINE>
        run = nbkeras.fit(model, df, y='label')
    """
    body = body.strip("\n")
    body += "\n\n" if body else ""
    return f"import nbkeras\n\n{body}run = nbkeras.fit({model}, {data}, {_arguments(arguments)})"


def sources(values: dict[str, Any]) -> dict[str, str]:
    """Write plain values as source."""
    return {key: repr(value) for key, value in values.items()}


def name(word: str) -> str:
    """Write what ``--data`` names as source: a variable or an ``{expression}``."""
    return word[1:-1] if word.startswith("{") else word.removeprefix("$")


def _arguments(arguments: dict[str, str]) -> str:
    return ", ".join(f"{key}={source}" for key, source in arguments.items())


def _indent(code: str) -> str:
    if not ast.parse(code).body:
        code += "\npass"
    # The later lines of a string that spans several must stay as they are.
    inside: set[int] = set()
    started: list[int] = []
    for token in tokenize.generate_tokens(io.StringIO(code).readline):
        name = tokenize.tok_name[token.type]
        if name == "FSTRING_START":  # Python 3.12 cuts f-strings into tokens
            started.append(token.start[0])
        first = started.pop() if name == "FSTRING_END" else token.start[0]
        if name in ("STRING", "FSTRING_END"):
            inside |= set(range(first + 1, token.end[0] + 1))
    lines = code.strip("\n").splitlines()
    skipped = len(code) - len(code.lstrip("\n"))
    return "\n".join(
        line if number in inside or not line else f"    {line}"
        for number, line in enumerate(lines, 1 + skipped)
    )
