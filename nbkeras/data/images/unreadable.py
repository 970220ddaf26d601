"""Files that could not be read as images: how many, and which came first."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypedDict

from nbkeras.data.shards import VALIDATION

#: Files that are named.
_NAMED = 3
#: Characters of a file's name and of what is wrong with it, at most.
_LONGEST = 160


class Unread(TypedDict):
    """The files of one column, ready for JSON.

    Attributes:
        count: of all.
        first: names of the first ones, each with what is wrong with it.
        skipped: whether their rows are left out.
    """

    count: int
    first: list[str]
    skipped: bool


#: By the user's column.
Unreadable = dict[str, Unread]


def note(found: Unreadable, column: str, file: str, reason: str, *, skipped: bool) -> None:
    """Add a file to those that could not be read."""
    one = found.setdefault(column, Unread(count=0, first=[], skipped=skipped))
    one["count"] += 1
    if len(one["first"]) < _NAMED:
        one["first"].append(f"{file[-_LONGEST:]} ({reason[:_LONGEST]})")


def merged(parts: Iterable[Unreadable]) -> Unreadable:
    """Add up what several workers have found.

    Example:
        >>> one = {"image": Unread(count=1, first=["a.png (the file is empty)"], skipped=True)}
        >>> merged([one, {}, one])["image"]["count"]
        2
    """
    whole: Unreadable = {}
    for part in parts:
        for column, one in part.items():
            all_of = whole.setdefault(column, Unread(count=0, first=[], skipped=one["skipped"]))
            all_of["count"] += one["count"]
            all_of["first"] = sorted({*all_of["first"], *one["first"]})[:_NAMED]
    return whole


def stops(found: Unreadable) -> bool:
    """Whether a file is among them that must not be left out."""
    return any(not one["skipped"] for one in found.values())


def message(found: Unreadable) -> str:
    """Say which files cannot be read, and what to type, in one line.

    Example:
        >>> message({"image": Unread(count=1, first=["a.png (empty)"], skipped=False)})[:69]
        "column 'image' holds 1 image that cannot be read, a.png (empty): repl"
    """
    sentences = []
    for column, one in found.items():
        if not one["skipped"]:
            it = "it" if one["count"] == 1 else "them"
            sentences.append(
                f"{_said(column, one)}: replace {it}, or leave {it} out with "
                f"nbkeras.images(…, invalid='skip')"
            )
    return "; ".join(sentences)


def notes(found: Unreadable) -> list[str]:
    """Sentences about files that are left out."""
    return [
        f"{_said(column, one)}; their rows are left out" for column, one in found.items() if one["skipped"]
    ]


def _said(column: str, one: Unread) -> str:
    of = " of the validation rows" if column.endswith(VALIDATION) else ""
    files = f"{one['count']:,} image{'' if one['count'] == 1 else 's'}"
    more = ", …" if one["count"] > len(one["first"]) else ""
    return (
        f"column '{column.removesuffix(VALIDATION)}'{of} holds {files} that cannot be read, "
        f"{', '.join(one['first'])}{more}"
    )
