"""The manual's own part of Sphinx: it fills in what is read from the package and the repository.

A line ``% insert: NAME`` of a page stands for what the function of that name gives, as Markdown; a line
``% insert: FILE.md`` for a file of the repository. So nothing of it can be out of date.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from manual import keys, licences, magic, messages

ROOT = Path(__file__).parents[3]
#: What pages ask for by name.
INSERTS = {
    "magic options": magic.options,
    "magic data": magic.data,
    "magic words": magic.words,
    "magic help": magic.help_text,
    "errors": messages.page,
    "licences": licences.table,
    "task keys": keys.table,
}
#: Files of the repository that are pages of the manual; links to others become their names.
PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
}


def inserted(source: str) -> str:
    """Fill in a page.

    Args:
        source: the page as it is written.

    Raises:
        KeyError: it asks for something that is not there.
    """
    return re.sub(r"^% insert: (.+)$", lambda found: _insert(found[1]), source, flags=re.MULTILINE)


def _insert(name: str) -> str:
    return of_repository(name) if name.endswith(".md") else INSERTS[name]()


def of_repository(name: str) -> str:
    """The text of a file of the repository, with links that work in the manual."""
    text = (ROOT / name).read_text(encoding="utf-8")
    return re.sub(r"\[([^\]\[]+)\]\((?!https?:|#)([^)\s]+)\)", _link, text)


def _link(found: re.Match[str]) -> str:
    words, target = found[1], found[2]
    path, mark, place = target.partition("#")
    if path.startswith("docs/"):
        return f"[{words}]({target.removeprefix('docs/')})"
    return f"[{words}]({PAGES[path]}{mark}{place})" if path in PAGES else f"`{path}`"


def setup(app: Any) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("source-read", _read)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _read(_app: Any, _page: str, source: list[str]) -> None:
    source[0] = inserted(source[0])
