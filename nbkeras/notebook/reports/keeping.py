"""Reports in the folder of a run's checkpoints, beside which they are found again in a new notebook."""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import replace
from typing import Any

from nbkeras.data import filesystems
from nbkeras.errors import one_line
from nbkeras.metrics.described import described, figures
from nbkeras.metrics.figures import Figures
from nbkeras.run import registry
from nbkeras.run.run import Run

#: Names in the order of the time; the newest of them stay.
_NAME = re.compile(r"report-\d{12}-[0-9a-f]{8}\.json")
_MOST = 20
#: Larger files are none of ours: a report's curves have at most two million points.
_LARGEST = 500_000_000
_ROWLESS = "rows of the data are not kept in the folder of the checkpoints: worst and sample are left out"


def keep(report: Any, run: Run | None) -> None:
    """Keep a report with the run that it is of, and in the folder of its checkpoints.

    Where the folder cannot be written to, a note of the run says so.

    Args:
        report: an :class:`nbkeras.Report`.
        run: None for a report on what no run has trained.
    """
    registry.keep(report, *([] if run is None else [run]))
    if run is None or run.folder is None:
        return
    try:
        _write(report, run.folder)
    except Exception as error:  # noqa: BLE001  # each package of fsspec has errors of its own
        run.note(
            f"a report is not kept in {run.folder} ({one_line(error)}): report.save(path) writes it elsewhere"
        )


def read(folder: str) -> tuple[list[Figures], list[str]]:
    """The reports in a folder of checkpoints, the newest last; and a sentence for each that cannot be read.

    Args:
        folder: a path, or a URI.
    """
    found: list[Figures] = []
    wrong: list[str] = []
    try:
        files, root = filesystems.opened(folder, "checkpoint")
        names = _names(files, root)[-_MOST:]
    except Exception as error:  # noqa: BLE001  # each package of fsspec has errors of its own
        return [], [f"reports in {folder} cannot be listed ({one_line(error)}) and are left out"]
    for name in names:
        try:
            with files.open_input_stream(f"{root}/{name}") as stream:
                found.append(figures(json.loads(stream.read(_LARGEST))))
        except Exception as error:  # noqa: BLE001  # of a file that anybody may have written
            wrong.append(f"the report {name} in {folder} cannot be read ({one_line(error)}) and is left out")
    return found, wrong


def _write(report: Figures, folder: str) -> None:
    rows = report.worst is not None or report.sample is not None
    # Spark may encrypt what it writes of the data; this file is in the clear.
    rowless = replace(report, worst=None, sample=None, notes=(*report.notes, _ROWLESS)) if rows else report
    files, root = filesystems.opened(folder, "checkpoint")
    files.create_dir(root, recursive=True)
    name = f"report-{int(1000 * report.made) // 100:012d}-{secrets.token_hex(4)}.json"
    part = f"{root}/{name}.part"
    with files.open_output_stream(part) as stream:
        stream.write(json.dumps(described(rowless), ensure_ascii=False, allow_nan=False).encode())
    files.move(part, f"{root}/{name}")
    for old in _names(files, root)[:-_MOST]:
        files.delete_file(f"{root}/{old}")


def _names(files: Any, root: str) -> list[str]:
    from pyarrow.fs import FileSelector

    found = files.get_file_info(FileSelector(root, allow_not_found=True))
    return sorted(info.base_name for info in found if _NAME.fullmatch(info.base_name))
