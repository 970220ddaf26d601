"""Files of a leaderboard: its table as CSV, all of it as JSON, the picture, a page, text."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbkeras.errors import OptionError
from nbkeras.metrics import plain
from nbkeras.metrics.described import described
from nbkeras.notebook import saved

if TYPE_CHECKING:
    import pandas as pd

#: A later layout has another number.
_FORMAT = "nbkeras leaderboard 1"


def save(
    path: str | os.PathLike[str],
    title: str,
    about: dict[str, Any],
    table: pd.DataFrame,
    shown: dict[str, str],
) -> None:
    """Write a leaderboard; see :meth:`nbkeras.Leaderboard.save`.

    Args:
        path: of the file, or of a folder.
        title: of its page.
        about: all of it, see :func:`whole`.
        table: of figures.
        shown: its bundle.

    Raises:
        OptionError: the file's name ends otherwise, it cannot be written, or there is no picture.
    """

    def png(place: Path) -> None:
        if "image/png" not in shown:
            raise OptionError(
                "this comparison has no picture, which takes two models that have ended: save it as .csv, "
                ".html, .json or .txt"
            )
        place.write_bytes(base64.b64decode(shown["image/png"]))

    def folder(place: Path) -> None:
        place.mkdir(parents=True, exist_ok=True)
        for form, write in forms.items():
            if form != "folder" and (form != "png" or "image/png" in shown):
                write(place / f"comparison.{form}")

    def written(text: str) -> Any:
        return lambda place: place.write_text(text, encoding="utf-8")

    forms = {
        "csv": lambda place: table.to_csv(place, encoding="utf-8"),
        "html": written(saved.page(title, shown["text/html"])),
        "json": written(json.dumps(about, ensure_ascii=False, allow_nan=False)),
        "png": png,
        "txt": written(f"{shown['text/plain']}\n"),
        "folder": folder,
    }
    saved.save(path, "comparison", forms)


def whole(board: Any, table: pd.DataFrame, sentence: str) -> dict[str, Any]:
    """All of a comparison as strict JSON takes it: NaN is null; without reports and models.

    Args:
        board: of what was compared.
        table: of figures.
        sentence: that says what won.
    """
    return {
        "format": _FORMAT,
        "title": board.title,
        "made": board.made,
        "task": board.task,
        "metric": board.metric,
        "folds": board.folds,
        "sentence": sentence,
        "notes": list(board.notes),
        "table": plain.table(table),
    }


def reports(board: Any) -> dict[str, Any]:
    """The reports of a comparison as strict JSON takes them, by the names of the models."""
    return {one.name: list(map(described, one.reports)) for one in board.entries}
