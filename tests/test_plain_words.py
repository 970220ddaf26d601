"""Plain words: phrases that readers stumbled over come back nowhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / name for name in ("README.md", "SECURITY.md", "CONTRIBUTING.md", "tests/README.md")]
PAGES += [*(ROOT / "docs").rglob("*.md"), ROOT / "docs" / "errors.toml"]
SOURCES = [file for kind in ("*.py", "*.js") for file in (ROOT / "nbkeras").rglob(kind)]


@pytest.mark.parametrize(
    ("phrase", "instead"),
    [
        (r"hangs? on", "depends on"),
        (r"(leave|left) (\w+ )?away", "omit, remove"),
        (r"(is|be) no number", "is NaN, is not a number"),
        (r"who (he|she) is", "unauthenticated"),
        (r"anew", "again, restart, reset"),
        (r"mend", "fix"),
        (r"rid of", "remove"),
        (r"took away", "removed"),
        (r"hears? of", "is called for, receives"),
        (r"lets? go of", "releases"),
        (r"deals? out", "assigns"),
        (r"goes with", "ends with, belongs to"),
        (r"unless told( otherwise)?", "by default"),
        (r"of ones own", "custom"),
        (r"worth a training", "must not end a training"),
        (r"to be said", "to note, to report"),
    ],
)
def test_a_phrase_of_our_own_gives_way_to_a_common_one(phrase, instead):
    found = [
        f"{file.relative_to(ROOT)}:{number}"
        for file in (*PAGES, *SOURCES)
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1)
        if re.search(rf"\b{phrase}\b", line)
    ]

    assert found == [], f"write {instead!r}"
