"""Files of a report: all of it as JSON, tables as CSV, the picture, a page, text."""

from __future__ import annotations

import base64
import json
import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbkeras.errors import OptionError, one_line
from nbkeras.metrics import plain, text
from nbkeras.metrics.described import described, figures
from nbkeras.metrics.figures import Figures
from nbkeras.notebook import saved
from nbkeras.notebook.picture import Drawn
from nbkeras.notebook.reports import drawing, view

if TYPE_CHECKING:
    import pandas as pd

_FIGURES = "figures"
#: Ends of the names of files.
_FORMS = ("csv", "html", "json", "png", "txt")


def tables(report: Figures) -> dict[str, pd.DataFrame]:
    """The tables of a report by name: figures, classes, averages, confusion, slices, worst, and curves.

    Args:
        report: of any task.
    """
    named = {
        "classes": report.per_class,
        "averages": report.averages,
        "confusion": report.confusion,
        "slices": report.slices,
        "worst": report.worst,
        "sample": report.sample,
    }
    found = {_FIGURES: _figures(report)} | {name: one for name, one in named.items() if one is not None}
    curves: dict[str, dict[str, Any]] = {"roc": report.roc, "precision_recall": report.precision_recall}
    made = {name: _curves(one) for name, one in curves.items() if one}
    return found | made | ({"calibration": _joined(report.calibration)} if report.calibration else {})


def save(report: Figures, path: str | os.PathLike[str]) -> None:
    """Write a report; see :meth:`nbkeras.Report.save`.

    Raises:
        OptionError: the file's name ends otherwise, or it cannot be written.
    """
    written = _Written(report)
    saved.save(path, "report", {form: getattr(written, form) for form in (*_FORMS, "folder")})


def read(path: str | os.PathLike[str]) -> Figures:
    """Read a report; see :meth:`nbkeras.Report.read`.

    Raises:
        OptionError: it holds none.
    """
    place = Path(path)
    place = place / "report.json" if place.is_dir() else place
    try:
        return figures(json.loads(place.read_text(encoding="utf-8")))
    except Exception as error:  # whatever somebody has put there
        raise OptionError(
            f"{place} is no report that can be read ({one_line(error)}): name the .json file, or the folder, "
            "that report.save has written"
        ) from error


def _figures(report: Figures) -> pd.DataFrame:
    import pandas as pd

    lines = [*report.figures.items()]
    lines += [(f"top {k}", value) for k, value in report.top.items()]
    lines += [(f"the model's {name}", _words(value)) for name, value in report.metrics.items()]
    index = pd.Index([name for name, _ in lines], name="figure")
    made = pd.DataFrame({"value": pd.Series([value for _, value in lines], index, dtype=object)})
    if report.areas:
        made["error"] = [report.areas.get(name) for name in index]
    return made


def _curves(curves: dict[str, Any]) -> pd.DataFrame:
    import pandas as pd

    # The last point of precision and recall has no threshold.
    return _joined(
        {
            name: pd.DataFrame({key: pd.Series(one) for key, one in vars(curve).items()})
            for name, curve in curves.items()
        },
        index=False,
    )


def _joined(parts: dict[str, pd.DataFrame], *, index: bool = True) -> pd.DataFrame:
    """Tables of several classes as one, whose first column says which class."""
    import pandas as pd

    joined = pd.concat(parts, names=["class"])
    return joined if index else joined.droplevel(1)


def _csv(frame: pd.DataFrame, place: Path) -> None:
    numbered = frame.index.name is None and frame.index.nlevels == 1 and frame.index.dtype.kind == "i"
    made = frame.apply(lambda column: column.map(_words) if column.dtype == object else column)
    made.to_csv(place, index=not numbered, encoding="utf-8")


def _words(value: Any) -> Any:
    """A value of one cell: bytes, arrays and structs as JSON, which shortens none."""
    made = plain.value(value)
    return json.dumps(made, ensure_ascii=False) if isinstance(made, (dict, list)) else value


class _Written:
    """What is written of a report; its picture is drawn once."""

    def __init__(self, report: Figures) -> None:
        self.report = report

    @cached_property
    def drawn(self) -> Drawn | None:
        return drawing.draw(self.report)

    def csv(self, place: Path) -> None:
        found = tables(self.report)
        _csv(found.get("classes", found[_FIGURES]), place)

    def json(self, place: Path) -> None:
        made = json.dumps(described(self.report), ensure_ascii=False, allow_nan=False)
        place.write_text(made, encoding="utf-8")

    def png(self, place: Path) -> None:
        if self.drawn is None:
            task = self.report.task
            raise OptionError(f"this report of {task} has no picture: save it as .csv, .html, .json or .txt")
        place.write_bytes(base64.b64decode(self.drawn.base64))

    def html(self, place: Path) -> None:
        body = view.page(self.report, self.drawn)
        place.write_text(saved.page(self.report.title, body), encoding="utf-8")

    def txt(self, place: Path) -> None:
        place.write_text(f"{text.report(self.report)}\n", encoding="utf-8")

    def folder(self, place: Path) -> None:
        place.mkdir(parents=True, exist_ok=True)
        for name, frame in tables(self.report).items():
            _csv(frame, place / f"{name}.csv")
        for form in _FORMS[1:]:
            if form != "png" or self.drawn is not None:
                getattr(self, form)(place / f"report.{form}")
