"""The reference of the magic, as Markdown: from its parser, and from what ``nbkeras.fit`` says."""

from __future__ import annotations

import inspect
import re
from argparse import Action

from nbkeras import api
from nbkeras.notebook.magic.parser import Parser
from nbkeras.options import TYPED

_PARSER = Parser()


def options() -> str:
    """The options that say where and how to train: each with its help, and with what ``fit`` says of it."""
    said = arguments(inspect.getdoc(api.fit) or "")
    rows = ["| Option | | In detail |", "|---|---|---|"]
    for action in _group("where and how"):
        detail = said.get(action.dest, "") if action.dest in TYPED else ""
        rows.append(f"| {_code(_typed(action))} | {_cell(_help(action))} | {_cell(detail)} |")
    return "\n".join(rows)


def data() -> str:
    """The options that name what to train on."""
    rows = ["| Option | |", "|---|---|"]
    rows += [f"| {_code(_typed(action))} | {_cell(_help(action))} |" for action in _group("what to train on")]
    return "\n".join(rows)


def words() -> str:
    """The words of the line magic, as its help lists them, in a table for each list of it."""
    return "\n\n".join(
        "\n".join(
            [
                f"**{title[0].upper()}{title[1:]}**",
                "",
                "| Line | |",
                "|---|---|",
                *(f"| {_code(typed)} | {_cell(what)} |" for typed, what in lines),
            ]
        )
        for title, lines in _lists()
    )


def help_text() -> str:
    """What ``%keras_spark help`` prints."""
    return f"```text\n{_PARSER.format_help().rstrip()}\n```"


def arguments(docstring: str) -> dict[str, str]:
    """What a docstring in Google's style says of each argument.

    Example:
        >>> arguments(inspect.getdoc(api.fit))["heartbeat"]
        'seconds of silence after which a worker counts as lost.'
    """
    block = re.search(r"^Args:\n((?:[ ]{4}.*\n|\n)+)", docstring + "\n", re.MULTILINE)
    found: dict[str, str] = {}
    for names, text in re.findall(
        r"^ {4}(\w[\w, ]*): (.*(?:\n {5,}.*)*)", block[1] if block else "", re.MULTILINE
    ):
        found |= dict.fromkeys(names.split(", "), " ".join(text.split()))
    return found


def _group(title: str) -> list[Action]:
    [group] = [one for one in _PARSER._action_groups if (one.title or "").startswith(title)]
    return list(group._group_actions)  # argparse offers no other way


def _typed(action: Action) -> str:
    [option] = action.option_strings
    if action.nargs == 0:
        return option
    value = action.metavar or "|".join(map(str, action.choices or ())) or action.dest.upper()
    return f"{option} {value}"


def _help(action: Action) -> str:
    return (action.help or "").replace("%%", "%")


def _lists() -> list[tuple[str, list[tuple[str, str]]]]:
    """The lists of the help's end: a title, and lines of what is typed and what it does."""
    found = []
    for title, block in re.findall(r"^(\S.*):\n((?:  .*\n?|\n)+)", _PARSER.epilog or "", re.MULTILINE):
        # What is too long for its line is explained on the next one.
        joined = re.sub(r"\n {20,}(?=\S)", "  ", block)
        lines = re.findall(r"^  (%keras_spark .*?)(?: {2,}|(?<=\]) (?=[a-z]))(\S.*)$", joined, re.MULTILINE)
        if lines:
            found.append((title, lines))
    return found


def _cell(text: str) -> str:
    """Text as a cell of a table."""
    plain = re.sub(r":\w+:`([^`]+)`", r"`\1`", text).replace("``", "`")
    return (plain[:1].upper() + plain[1:]).replace("|", r"\|").replace("*", r"\*")


def _code(typed: str) -> str:
    """What is typed, as a cell of a table."""
    escaped = typed.replace("|", r"\|")
    return f"`{escaped}`"
