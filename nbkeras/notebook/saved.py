"""Saved: what is kept goes into a file, in the form that the end of its name says, or whole into a folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from html import escape
from pathlib import Path

from nbkeras.errors import OptionError, one_line
from nbkeras.notebook.words import language


def save(path: str | os.PathLike[str], what: str, forms: Mapping[str, Callable[[Path], None]]) -> None:
    """Write something to a file; one that is there is replaced.

    Args:
        path: of the file, or of a folder: one that is there, or a name without an end.
        what: is written, for messages.
        forms: what writes each, by the end of a file's name; "folder" writes all.

    Raises:
        OptionError: the file's name ends otherwise, or it cannot be written.

    Example:
        >>> import tempfile
        >>> place = Path(tempfile.mkdtemp(), "a.txt")
        >>> save(place, "text", {"txt": lambda file: file.write_text("words") and None})
        >>> place.read_text()
        'words'
    """
    place = Path(path)
    form = "folder" if place.is_dir() or not place.suffix else place.suffix.lower()[1:]
    if form not in forms:
        ends = ", .".join(one for one in forms if one != "folder")
        raise OptionError(
            f"{place.name!r} ends in {place.suffix!r}: name it .{ends}, or name a folder for all"
        )
    try:
        forms[form](place)
    except OSError as error:
        raise OptionError(
            f"the {what} cannot be written to {place} ({one_line(error)}): name another place"
        ) from error


def page(title: str, body: str) -> str:
    """HTML that stands alone.

    Example:
        >>> page("a < b", "<p>c</p>").splitlines()[2]
        '<body><p>c</p></body></html>'
    """
    head = f'<meta charset="utf-8"><title>{escape(title)}</title>'
    return f'<!doctype html>\n<html lang="{language()}"><head>{head}</head>\n<body>{body}</body></html>\n'
