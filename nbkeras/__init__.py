"""nbkeras: a Keras cell trains on Spark, and its chart is live in the notebook.

Importing the package is cheap: a public name is loaded at its first use. Workers import the package too,
but only the rooms below the driver.

Example:
    >>> import nbkeras
    >>> print(*nbkeras.__all__[:6], "…")
    Builder Leaderboard Listener Report Run Task …
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nbkeras.api import (
        adapt,
        evaluate,
        features,
        fit,
        fit_stream,
        function,
        images,
        load_model,
        on_spark,
        pad_sequences,
        predict,
        save_model,
        status,
        timeseries,
    )
    from nbkeras.notebook.builder import Builder
    from nbkeras.notebook.leaderboards.leaderboard import Leaderboard, compare
    from nbkeras.notebook.looks import show
    from nbkeras.notebook.record import runs
    from nbkeras.notebook.reports.report import Report, report
    from nbkeras.run.listeners import Listener, listeners
    from nbkeras.run.run import Run
    from nbkeras.spark.session import local_spark
    from nbkeras.tasks.task import Task

__all__ = [
    "Builder",
    "Leaderboard",
    "Listener",
    "Report",
    "Run",
    "Task",
    "adapt",
    "compare",
    "evaluate",
    "features",
    "fit",
    "fit_stream",
    "function",
    "images",
    "listeners",
    "load_model",
    "local_spark",
    "on_spark",
    "pad_sequences",
    "predict",
    "report",
    "runs",
    "save_model",
    "show",
    "status",
    "timeseries",
]

__version__ = "0.1.0"

_API = (
    *("adapt", "evaluate", "features", "fit", "fit_stream", "function", "images"),
    *("load_model", "on_spark", "pad_sequences", "predict", "save_model", "status", "timeseries"),
)
#: The modules in which the public names are defined.
_DEFINED = {
    **dict.fromkeys(_API, "api"),
    "Builder": "notebook.builder",
    **dict.fromkeys(("Listener", "listeners"), "run.listeners"),
    "Run": "run.run",
    "local_spark": "spark.session",
    **dict.fromkeys(("Leaderboard", "compare"), "notebook.leaderboards.leaderboard"),
    **dict.fromkeys(("Report", "report"), "notebook.reports.report"),
    "runs": "notebook.record",
    "show": "notebook.looks",
    "Task": "tasks",
}


def __getattr__(name: str) -> Any:
    """Load a public name at its first use."""
    if name not in _DEFINED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    _connect()
    value = getattr(importlib.import_module(f"{__name__}.{_DEFINED[name]}"), name)
    globals()[name] = value
    return value


def _connect() -> None:
    """Make sure of a backend, and connect the training to the displays: the training imports none."""
    from nbkeras import backend
    from nbkeras.notebook import connection

    backend.require()
    connection.connect()


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])


def load_ipython_extension(ipython: Any) -> None:
    """Called by ``%load_ext nbkeras``: add the magics, share GPU memory, quiet TensorFlow."""
    from nbkeras import devices
    from nbkeras.notebook import imports
    from nbkeras.notebook.magic import magics

    _connect()
    devices.share_memory()
    imports.without_words()
    magics.register(ipython)


def unload_ipython_extension(ipython: Any) -> None:
    """Called by ``%unload_ext nbkeras``: remove the magics."""
    from nbkeras.notebook.magic import magics

    magics.unregister(ipython)
