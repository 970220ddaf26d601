"""The live view of a comparison: what a page gets of it, and the HTML that needs no kernel."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from nbkeras.notebook import embedded
from nbkeras.notebook.words import LEADERBOARD, for_page, in_each
from nbkeras.selection.entry import Entry

STYLES = ("theme.css", "panel.css", "report.css")


def page(still: str, state: dict[str, Any]) -> str:
    """What is still, which a script turns into a table to sort, the picture and buttons for files.

    Args:
        still: HTML with the picture.
        state: see :func:`state_of`.
    """
    values = {"words": words(), "state": state}
    return embedded.page(still, "board.js", "showBoard", values, STYLES)


def words() -> dict[str, Any]:
    """What the view says."""
    return for_page(LEADERBOARD)


def state_of(
    entries: Sequence[Entry],
    figures: Sequence[str],
    folds: int,
    said: dict[str, Callable[[], str]],
    notes: Sequence[str],
    whole: dict[str, Any],
) -> dict[str, Any]:
    """What the view draws.

    Args:
        entries: the best first.
        figures: of the table.
        folds: their number.
        said: its title, its sentence and its rows, each in the language that is spoken.
        notes: sentences.
        whole: its JSON file.
    """
    lines = [
        {
            "name": one.name,
            "kind": one.kind,
            "status": one.status,
            "means": {name: _number(one.mean(name)) for name in figures},
            "spreads": {name: _number(one.spread(name)) for name in figures},
            "seconds": one.train_seconds or None,
            "rate": one.rows / one.predict_seconds if one.predict_seconds else None,
            "size": one.size,
            "note": one.note,
        }
        for one in entries
    ]
    return {
        **{name: in_each(say) for name, say in said.items()},
        "entries": lines,
        "figures": list(figures),
        "folds": folds,
        "notes": list(notes),
        "whole": whole,
    }


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
