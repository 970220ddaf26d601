"""View: the live chart in the browser. It is fed whole small snapshots and asks for one thing, a stop."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from nbkeras.notebook import text
from nbkeras.notebook.chart import COLOURS, arrange, thin
from nbkeras.run import Snapshot

_HERE = Path(__file__).parent


class View(anywidget.AnyWidget):
    """The live chart of one run.

    Every message holds all that is to be seen, so one that is lost, doubled
    or replayed after a page reload does no harm.

    Args:
        snapshot: what to show first.
        on_stop: called, from any thread, when the reader presses Stop.

    Example:
        >>> from nbkeras.run import Run
        >>> run = Run("digits", model=None, epochs=2, workers=1)
        >>> View(run.snapshot(), on_stop=run.stop).state["phase"]
        'preparing'
    """

    _esm = _HERE / "view.js"
    _css = _HERE / "view.css"
    words = traitlets.Dict(help="what the view says, by name").tag(sync=True)
    state = traitlets.Dict(help="everything but the points; see encode").tag(sync=True)
    points = traitlets.Bytes(help="float32 pairs (epoch, value), curve after curve").tag(sync=True)

    def __init__(self, snapshot: Snapshot, on_stop: Callable[[], None]) -> None:
        state, points = encode(snapshot)
        super().__init__(words={**text.WORDS, "colours": list(COLOURS)}, state=state, points=points)
        self._on_stop = on_stop
        self.shown = 0
        self.on_msg(self._receive)

    def show(self, snapshot: Snapshot) -> None:
        """Send a snapshot, in one message."""
        state, points = encode(snapshot)
        with self.hold_sync():
            self.state, self.points = state, points

    def _receive(self, _widget: Any, message: Any, _buffers: Any) -> None:
        # Perhaps on a thread of its own, beside the busy cell: nothing may be
        # printed, displayed or sent from here.
        kind = message.get("type") if isinstance(message, dict) else None
        if kind == "stop":
            self._on_stop()
        elif kind == "shown":
            self.shown += 1

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        shown: Any = super()._repr_mimebundle_(**kwargs)
        if shown is None:
            return None
        data, metadata = shown
        # For front ends without widgets, and for files saved while the run goes on.
        return {**data, "text/plain": text.WORDS["title"].format(name=self.state["name"])}, metadata


def encode(snapshot: Snapshot) -> tuple[dict[str, Any], bytes]:
    """Turn a snapshot into the two traits of a view.

    Example:
        >>> from nbkeras.run import Run
        >>> run = Run("digits", model=None, epochs=2, workers=1)
        >>> run.record_epoch(0, {"loss": 0.5})
        >>> state, points = encode(run.snapshot())
        >>> [(curve["name"], curve["points"]) for curve in state["curves"]], len(points)
        ([('loss', 1)], 8)
    """
    import numpy as np

    curves, parts = [], []
    for curve in arrange(snapshot.curves):
        x, y = thin(snapshot.epoch_numbers, snapshot.curves[curve.name])
        last = snapshot.last[curve.name]
        curves.append(
            {
                **vars(curve),
                "last": last if math.isfinite(last) else text.number(last),  # JSON has no NaN
                "points": len(x),
            }
        )
        parts.append(np.column_stack((x, y)).astype("<f4").tobytes())
    state = {
        "name": snapshot.name,
        "status": snapshot.status,
        "phase": snapshot.phase,
        "sentence": text.phase_key(snapshot),
        "end": text.capitalised(text.end(snapshot)) if snapshot.phase == "done" else "",
        "workers": snapshot.workers,
        "background": snapshot.background,
        "epochs": snapshot.epochs,
        "logged": len(snapshot.epoch_numbers),
        "epoch": snapshot.epoch,
        "step": snapshot.step,
        "steps": snapshot.steps,
        "rows": snapshot.rows_read,
        "rate": snapshot.rows_per_second,
        "elapsed": snapshot.elapsed,
        "remaining": snapshot.remaining,
        "partial": snapshot.partial,
        "stopping": snapshot.stopping,
        "notes": list(snapshot.notes),
        "more": len(snapshot.curves) - len(curves),
        "curves": curves,
    }
    return state, b"".join(parts)
