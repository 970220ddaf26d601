"""Tables as Apache Zeppelin's own, which its page sorts and draws as charts."""

from __future__ import annotations

import math
from html import escape
from typing import Any

_MOST_ROWS, _LETTERS = 200, 200  # of a table, and of a cell: 100 kB of text are shown


def table(title: str, frame: Any) -> str:
    """A table of pandas as Zeppelin's own, which its page sorts and draws.

    Args:
        title: above it.
        frame: of any columns; an index with a name is one of them.

    Example:
        >>> import pandas as pd
        >>> made = table("classes", pd.DataFrame({"f1": [0.5]}, pd.Index(["cat"], name="class")))
        >>> made.splitlines()[2].split()
        ['%table', 'class', 'f1']
    """
    rows = frame.head(_MOST_ROWS)
    named = rows if rows.index.name is None else rows.reset_index()
    lines = (named.columns, *named.itertuples(index=False))
    cells = "\n".join("\t".join(map(_cell, line)) for line in lines)
    # What was printed before may not have ended its line.
    return f"\n%html <b>{escape(title)}</b>\n%table {cells}\n"


def _cell(value: Any) -> str:
    """One cell, in one line; a space of no width keeps `%html` and the like from being a directive."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    shown = " ".join((f"{value:.6g}" if isinstance(value, float) else str(value)).split())
    return ("\u200b" if shown.startswith("%") else "") + shown[:_LETTERS]
