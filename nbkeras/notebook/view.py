"""View: the panel of a run in the browser. It is fed whole small snapshots and asks to stop, pause, go on."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import anywidget
import traitlets

from nbkeras.errors import OptionError, one_line
from nbkeras.notebook import frontend, text
from nbkeras.notebook.chart import COLOURS, MAX_POINTS, arrange, drawn, packed, ring, thin
from nbkeras.notebook.quiet import QuietLine
from nbkeras.notebook.words import PANEL, for_page, in_each
from nbkeras.run.run import Run
from nbkeras.run.snapshot import Snapshot


class View(anywidget.AnyWidget):
    """The panel of one run: its charts, and the ways to steer it.

    Every message holds all that is to be seen, so one that is lost, doubled
    or replayed after a page reload does no harm.

    Args:
        run: the run to show and to steer.

    Attributes:
        shown: the pages that show it, by a number of their own: they say it
            more than once.
        answered: grows with every answer that the next snapshot is to bring.
        place: the id of the element that its picture comes in: in the page the panel stays in it.

    Example:
        >>> from nbkeras.run.run import Run
        >>> View(Run("digits", model=None, epochs=2, workers=1)).state["phase"]
        'preparing'
    """

    _esm = frontend.script("view.js")
    _css = frontend.style("theme.css", "panel.css")
    words = traitlets.Dict(help="what the panel says, by name").tag(sync=True)
    state = traitlets.Dict(help="everything but the points; see encode").tag(sync=True)
    points = traitlets.Bytes(help="float32 pairs (epoch, value), curve after curve").tag(sync=True)
    line = traitlets.Unicode(help="the model of the line to the kernel").tag(sync=True)

    def __init__(self, run: Run) -> None:
        self._run = run
        self.shown: set[str] = set()
        self.answered = 0
        self._answers: dict[str, dict[str, str]] = {}
        self._line = QuietLine(self._receive)
        state, points = encode(run.snapshot())
        super().__init__(words=words(), state=state, points=points, line=self._line.model_id)
        self.place = f"nbkeras-{self.model_id}"
        # For front ends that do not let a script find another model.
        self.on_msg(lambda _widget, message, _buffers: self._receive(message))

    def show(self, snapshot: Snapshot) -> None:
        """Send a snapshot, in one message."""
        state, points = encode(snapshot)
        with self.hold_sync():
            self.state, self.points = {**state, "answers": dict(self._answers), "place": self.place}, points

    def close(self) -> None:
        """Take it from the page and out of the file."""
        self._line.close()
        super().close()

    def _receive(self, message: Any) -> None:
        # Perhaps on a thread of its own, beside the busy cell: nothing may be
        # printed, displayed or sent from here.
        if not isinstance(message, dict):
            return
        kind, value = message.get("type"), str(message.get("value"))
        actions: dict[Any, Callable[[], None]] = {
            "stop": self._run.stop,
            "pause": self._run.pause,
            "resume": self._run.resume,
            "learning_rate": lambda: self._run.set_learning_rate(_rate(value)),
        }
        if kind == "shown":
            self.shown.add(str(message.get("page")))
        elif isinstance(kind, str) and kind in actions:
            self._obey(kind, actions[kind], str(message.get("ask")))

    def _obey(self, kind: str, act: Callable[[], None], ask: str) -> None:
        """Do what was asked; the next snapshot brings the answer."""
        if self._answers.get(kind, {}).get("ask") == ask:
            return  # the page has said it again before it had the answer
        error = ""
        try:
            act()
        except OptionError as refused:
            error = str(refused)
        except Exception as failed:  # noqa: BLE001  # here nobody would see it
            error = one_line(failed)
        self._answers = {**self._answers, kind: {"ask": ask, "error": error}}
        self.answered += 1

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        shown: Any = super()._repr_mimebundle_(**kwargs)
        if shown is None:
            return None
        data, metadata = shown
        # For front ends without widgets, and for files saved while the run goes on.
        return {**data, "text/plain": PANEL["title"].format(name=self.state["name"])}, metadata


def words() -> dict[str, Any]:
    """What the panel says, and the colours of its curves."""
    return for_page(PANEL, colours=list(COLOURS))


def _rate(typed: str) -> Any:
    try:
        return float(typed)
    except ValueError:
        return typed  # what takes it says what is wrong with it


def encode(snapshot: Snapshot) -> tuple[dict[str, Any], bytes]:
    """Turn a snapshot into the two traits of a view.

    Example:
        >>> from nbkeras.run.run import Run
        >>> run = Run("digits", model=None, epochs=2, workers=1)
        >>> run.record_epoch(0, {"loss": 0.5})
        >>> state, points = encode(run.snapshot())
        >>> [(curve["name"], curve["points"]) for curve in state["curves"]], len(points)
        ([('loss', 1)], 8)
    """
    curves, parts = [], []
    last_values = {name: curve[-1] for name, curve in snapshot.measured.items()} | snapshot.last
    everything = snapshot.curves | snapshot.measured
    for curve in (*arrange(snapshot.curves), *arrange(snapshot.measured)):
        points = thin(snapshot.epoch_numbers, everything[curve.name])
        last = last_values[curve.name]
        curves.append(
            {
                **vars(curve),
                "last": last if math.isfinite(last) else text.number(last),  # JSON has no NaN
                "points": len(points[0]),
                "best": ring(curve.chart, curve.name, snapshot.epoch_numbers, snapshot.curves),
            }
        )
        parts.append(packed(points))
    state = {
        "name": snapshot.name,
        "status": snapshot.status,
        "phase": snapshot.phase,
        "sentence": text.phase_key(snapshot),
        "end": in_each(lambda: text.capitalised(text.end(snapshot))) if snapshot.phase == "done" else {},
        "workers": snapshot.workers,
        "background": snapshot.background,
        "epochs": snapshot.epochs,
        "logged": len(snapshot.epoch_numbers),
        "thinned": len(snapshot.epoch_numbers) > MAX_POINTS,
        "epoch": snapshot.epoch,
        "step": snapshot.step,
        "steps": snapshot.steps,
        "rows": snapshot.rows_read,
        "rate": snapshot.rows_per_second,
        "elapsed": snapshot.elapsed,
        "remaining": snapshot.remaining,
        "stopping": snapshot.stopping,
        "pausing": snapshot.pausing,
        "learning_rate": snapshot.learning_rate,
        # Short, as they go with every message.
        "losses": [[round(place, 5), float(f"{drawn(loss):.5g}")] for place, loss in snapshot.losses],
        "notes": list(snapshot.notes),
        "more": len(everything) - len(curves),
        "curves": curves,
        "aside": [*snapshot.measured],
    }
    return state, b"".join(parts)
