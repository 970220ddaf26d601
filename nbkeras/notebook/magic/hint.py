"""One sentence more where Keras, outside a cell of the magic, was given a Spark DataFrame."""

from __future__ import annotations

import contextlib
from types import TracebackType
from typing import Any

from nbkeras.notebook.magic.namespace import is_frame
from nbkeras.notebook.words import ANSWERS

_METHODS = ("fit", "evaluate", "predict")


def register(shell: Any) -> None:
    """Have an IPython shell add the sentence below the error of a cell.

    Args:
        shell: what ``get_ipython()`` gives.
    """
    shell.events.register("post_run_cell", _add)


def unregister(shell: Any) -> None:
    """Have it add none any more."""
    with contextlib.suppress(ValueError):  # it adds none
        shell.events.unregister("post_run_cell", _add)


def _add(result: Any) -> None:
    error = result.error_in_exec
    method = None if error is None else _given_a_frame(error.__traceback__)
    if method is not None:
        print(ANSWERS["outside"].format(method=method))  # noqa: T201  # below the traceback


def _given_a_frame(traceback: TracebackType | None) -> str | None:
    """The method of a Keras model that was called with a Spark DataFrame, if one was."""
    while traceback is not None:
        # Of its own frames Keras leaves the one that has called the method.
        names = traceback.tb_frame.f_locals
        method = getattr(names.get("fn"), "__name__", "")
        if method in _METHODS and traceback.tb_frame.f_globals.get("__name__", "").startswith("keras."):
            given = [*names.get("args", ()), *names.get("kwargs", {}).values()]
            if any(is_frame(one, "pyspark") for one in given):
                return method
        traceback = traceback.tb_next
    return None
