"""nbkeras: a Keras cell trains on Spark, and its chart is live in the notebook.

Importing it is cheap: Keras, TensorFlow and PySpark are loaded when they are used.

Example:
    >>> import nbkeras
    >>> nbkeras.__all__
    ['Builder', 'Run', 'evaluate', 'fit', 'local_spark', 'on_spark', 'predict', 'runs', 'show', 'status']
"""

from __future__ import annotations

from typing import Any

from nbkeras import api
from nbkeras.api import evaluate, fit, on_spark, predict, status
from nbkeras.notebook import hosts
from nbkeras.notebook.looks import show
from nbkeras.notebook.record import runs
from nbkeras.run import Run
from nbkeras.session import local_spark

__all__ = [
    "Builder",
    "Run",
    "evaluate",
    "fit",
    "local_spark",
    "on_spark",
    "predict",
    "runs",
    "show",
    "status",
]

__version__ = "0.1.0"

# The one place where both are known: what trains does not know what shows.
api.host = hosts


def __getattr__(name: str) -> Any:
    """Load the builder when it is asked for: widgets take longer to import than all the rest."""
    if name == "Builder":
        from nbkeras.notebook.builder import Builder

        return Builder
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])


def load_ipython_extension(ipython: Any) -> None:
    """What ``%load_ext nbkeras`` calls: adds the magics, leaves GPUs to the trainers, quiets TensorFlow."""
    from nbkeras import devices
    from nbkeras.notebook import imports, magics

    devices.share_memory()
    imports.without_words()
    magics.register(ipython)


def unload_ipython_extension(ipython: Any) -> None:
    """What ``%unload_ext nbkeras`` calls: takes them away."""
    from nbkeras.notebook import magics

    magics.unregister(ipython)
