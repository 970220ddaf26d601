"""Result: what a task has come to, as Python's objects and as JSON."""

from __future__ import annotations

import platform
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic_core import to_json

from nbkeras.errors import Aborted, OptionError, one_line
from nbkeras.notebook.comparison import summary
from nbkeras.requirements import BACKENDS, installed

if TYPE_CHECKING:
    from nbkeras.notebook.reports.report import Report
    from nbkeras.run.run import Run

Status = Literal["running", "done", "failed", "interrupted"]


@dataclass
class Result:
    """What a task has come to.

    Attributes:
        name: of the task.
        task: the name of its file, if it has one.
        status: "running", "done", "failed" or "interrupted".
        error: one line where it has failed.
        run: the training, once it has begun; ``run.model`` is the model.
        report: on the test rows, if there are some.
        written: paths and tables, by what is in them.
        notes: sentences about the task; those about the training are the run's.

    Example:
        >>> from nbkeras.tasks.result import Result
        >>> Result("flowers").document()["status"]
        'running'
    """

    name: str
    task: str | None = None
    status: Status = "running"
    error: str | None = None
    run: Run | None = None
    report: Report | None = None
    written: dict[str, str | list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    _began: float = field(default_factory=time.monotonic, repr=False)
    _seconds: float | None = field(default=None, repr=False)

    @property
    def model(self) -> Any:
        """The trained model."""
        return None if self.run is None else self.run.model

    @property
    def history(self) -> dict[str, list[Any]]:
        """Metric name to one value for each epoch, as in Keras."""
        return {} if self.run is None else self.run.history

    def end(self, error: BaseException | None = None) -> None:
        """Note how it has ended.

        Args:
            error: that has ended it.
        """
        self._seconds = time.monotonic() - self._began
        if isinstance(error, (KeyboardInterrupt, Aborted)):
            self.status, self.error = "interrupted", str(error) or "interrupted"
        elif error is not None:
            known = type(error).__module__.startswith("nbkeras.")
            self.status, self.error = "failed", str(error) if known else one_line(error)
        else:
            stopped = self.run is not None and self.run.status == "stopped"
            self.status = "interrupted" if stopped else "done"

    def document(self) -> dict[str, Any]:
        """Return it as plain values, for JSON."""
        run, report = self.run, self.report
        seconds = self._seconds if self._seconds is not None else time.monotonic() - self._began
        best = None if run is None else _best(run)
        return {
            "status": self.status,
            "name": self.name,
            "task": self.task,
            "error": self.error,
            "epochs": 0 if run is None else len(run.epoch_numbers),
            "history": self.history,
            "best": best,
            "rows": None if report is None else report.rows,
            "metrics": {} if report is None else report.metrics,
            "figures": {} if report is None else report.figures,
            "written": self.written,
            "notes": [
                *self.notes,
                *([] if run is None else run.notes),
                *([] if report is None else report.notes),
            ],
            "seconds": {
                "all": round(seconds, 3),
                "training": None if run is None else round(run.snapshot().elapsed, 3),
            },
            "versions": versions(),
        }

    def json(self) -> str:
        """Return it as JSON; a number that is none is the word NaN, Infinity or -Infinity."""
        return to_json(self.document(), indent=2, inf_nan_mode="strings", fallback=_plain).decode()

    def write(self, path: str) -> None:
        """Write it as JSON, whole or not at all.

        Args:
            path: of the file.

        Raises:
            OptionError: it cannot be written.
        """
        place = Path(path).resolve()  # where a link leads
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            how: Any = {"dir": place.parent, "prefix": f"{place.name}.", "delete": False}
            with tempfile.NamedTemporaryFile("w", encoding="utf-8", **how) as part:
                part.write(self.json() + "\n")
            Path(part.name).chmod(0o644)
            Path(part.name).replace(place)
        except OSError as error:
            raise OptionError(f"the result cannot be written to {path}: {error.strerror}") from error


def versions() -> dict[str, str | None]:
    """Return the versions of Python and of the packages that compute."""
    keras: Any = sys.modules.get("keras")  # not loaded for this
    backend = "" if keras is None else keras.config.backend()
    names = ["keras", *BACKENDS.get(backend, ("", ()))[1][:1], "pyspark"]
    return {"python": platform.python_version()} | {name: installed(name) for name in ["nbkeras", *names]}


def _best(run: Run) -> dict[str, Any] | None:
    found = summary(run)
    return (
        None
        if found.best is None
        else {"metric": found.metric, "epoch": found.best[1], "value": found.best[0]}
    )


def _plain(value: Any) -> Any:
    """NumPy's and Keras' values as Python's own."""
    return value.tolist() if hasattr(value, "tolist") else str(value)
