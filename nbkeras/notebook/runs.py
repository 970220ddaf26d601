"""The panel of runs: a table to sort, curves over each other, the code and the weights of each run."""

from __future__ import annotations

import itertools
import math
import threading
import weakref
from collections import deque
from typing import Any

import anywidget
import traitlets

from nbkeras.data.names import unique
from nbkeras.errors import NbkerasError, one_line
from nbkeras.notebook import comparison, frontend, text
from nbkeras.notebook.chart import COLOURS, packed, thin
from nbkeras.notebook.comparison import MARKS, Comparison, Summary, best_words, shown
from nbkeras.notebook.hosts.pace import Pace
from nbkeras.notebook.record import Runs
from nbkeras.notebook.reports import view
from nbkeras.notebook.reports.opened import Opened
from nbkeras.notebook.words import LANGUAGES, PANEL, RUNS, for_page, in_each
from nbkeras.run.run import Run

#: Seconds between two messages while a run moves, and the share of a core that they may take.
_FASTEST, _SLOWEST, _SHARE = 1.0, 10.0, 0.005
#: Pages and messages that are remembered.
_PAGES, _MESSAGES = 8, 64


class Panel(anywidget.AnyWidget):
    """The panel of runs: every message holds all that is to be seen.

    What it does when somebody clicks is a call of ``nbkeras.runs`` or of a run.

    Args:
        runs: what it shows.

    Example:
        >>> Panel(Runs([Run("digits", model=None, epochs=2, workers=1)])).state["runs"][0]["name"]
        'digits'
    """

    _esm = frontend.script("runs.js")
    _css = frontend.style("theme.css", "panel.css", "runs.css", "report.css")
    words = traitlets.Dict(help="what the panel says, by name").tag(sync=True)
    state = traitlets.Dict(help="everything but the points").tag(sync=True)
    points = traitlets.Bytes(help="float32 pairs (epoch, value), curve after curve").tag(sync=True)
    report = traitlets.Dict(help="the report that is open; see view.kept").tag(sync=True)
    report_words = traitlets.Dict(help="what a report says, by name").tag(sync=True)

    def __init__(self, runs: Runs) -> None:
        self._runs, self._lock = runs, threading.RLock()
        self._numbers: weakref.WeakKeyDictionary[Run, str] = weakref.WeakKeyDictionary()
        self._count = itertools.count(1)
        self._chosen: list[Run] = []
        self._code: Run | None = None
        self._opened = Opened()
        self._said, self._wrong = in_each(str), False
        self._answered: dict[str, int] = {}
        self._heard: deque[tuple[str, int]] = deque(maxlen=_MESSAGES)
        self._versions: tuple[int, ...] = ()
        state, points, _ = self._encoded()
        drawn = {"colours": list(COLOURS), "marks": MARKS, "limit": comparison.MOST}
        words = for_page(PANEL, RUNS, **drawn)
        super().__init__(words=words, state=state, points=points, report_words=view.words())
        self._pace = Pace(_FASTEST, _SLOWEST, _SHARE)
        self.on_msg(self._receive)
        runs.watch(self._moved)

    def update(self) -> None:
        """Show all runs as they are now."""
        with self._lock:  # a click may arrive in a thread beside the busy cell
            state, points, report = self._encoded()
            with self.hold_sync():
                self.state, self.points, self.report = state, points, report

    def _moved(self) -> None:
        """Show the runs, unless nothing of note has changed or it was just done."""
        versions = (*(run.version for run in self._runs), len(self._runs.others))
        if versions == self._versions:
            return
        began = len(versions) != len(self._versions)
        shown = [one["status"] for one in self.state["runs"]]
        turned = [run.status for run in self._runs][-len(shown) :] != shown
        if began or turned or self._pace.due():
            self._versions = versions
            self._pace.spend(self.update)

    def _receive(self, _widget: Any, message: Any, _buffers: Any) -> None:
        # Perhaps on a thread of its own, beside the busy cell: nothing may be printed from here.
        if not isinstance(message, dict):
            return
        with self._lock:
            self._act(message)
        self.update()

    def _act(self, message: dict[str, Any]) -> None:
        # Pages say again what is not answered, and threads may hear one message before an earlier one.
        page, number = str(message.get("page")), message.get("number")
        if not isinstance(number, int) or (page, number) in self._heard:
            return
        self._heard.append((page, number))
        late = number < self._answered.get(page, 0)
        self._answered[page] = max(number, self._answered.pop(page, 0))
        while len(self._answered) > _PAGES:
            self._answered.pop(next(iter(self._answered)))
        known = {number: run for run, number in self._numbers.items()}
        named = message.get("runs")
        runs = [known[str(one)] for one in named if str(one) in known] if isinstance(named, list) else []
        action = message.get("action")
        if action == "choose" and not late:
            self._chosen = runs[: comparison.MOST]
        elif action == "code" and not late:
            self._code = runs[0] if runs else None
        elif not late:
            self._open(action, runs, message.get("place"))
        self._said, self._wrong = in_each(str), False
        if action == "load" and runs:
            self._load(runs[0])

    def _open(self, action: Any, runs: list[Run], place: Any) -> None:
        if action == "reports" and runs:
            self._opened.open(runs[0].name, lambda: runs[0].reports)
        elif action == "others":
            self._opened.open("", lambda: self._runs.others)
        elif action == "report":
            self._opened.choose(place)
        elif action == "close":
            self._opened.close()

    def _load(self, run: Run) -> None:
        same = [one for one in self._runs if one.model is run.model is not None]
        busy = [one for one in same if not one.done.is_set()]
        try:
            if busy and run.done.is_set():
                self._said = in_each(lambda: RUNS["in_training"].format(name=run.name, other=busy[0].name))
                self._wrong = True
                return
            run.load_weights()
        except NbkerasError as error:
            self._said, self._wrong = dict.fromkeys(LANGUAGES, str(error)), True
        except Exception as error:  # noqa: BLE001  # there is no cell that could show it
            self._said, self._wrong = dict.fromkeys(LANGUAGES, one_line(error)), True
        else:
            self._said = in_each(lambda: RUNS["loaded"].format(name=run.name))

    def _number(self, run: Run) -> str:
        if run not in self._numbers:
            self._numbers[run] = str(next(self._count))
        return self._numbers[run]

    def _encoded(self) -> tuple[dict[str, Any], bytes, dict[str, Any]]:
        summaries = self._runs.summaries()
        listed = [run for run, _ in summaries]
        self._chosen = [run for run in self._chosen if run in listed]
        names = unique([run.name for run in self._chosen])
        compared, points = _compared(comparison.compare(self._chosen, names)) if self._chosen else (None, b"")
        code = None
        if self._code is not None:
            code = {"name": self._code.name, "code": self._code.code}
        opened, report = self._opened.state()
        state = {
            "runs": [{"number": self._number(run), **_encoded(one)} for run, one in summaries],
            "older": len(self._runs) - len(listed),
            "chosen": [self._number(run) for run in self._chosen],
            "compared": compared,
            "code": code,
            "others": len(self._runs.others),
            "opened": opened,
            "said": self._said,
            "wrong": self._wrong,
            "answered": dict(self._answered),
        }
        return state, points, report

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        shown: Any = super()._repr_mimebundle_(**kwargs)
        if shown is None:
            return None
        data, metadata = shown
        # For front ends without widgets, and for the file.
        return {**data, **self._runs.bundle()}, metadata


def _encoded(one: Summary) -> dict[str, Any]:
    """A line of the table; JSON has no NaN, and a best value is finite."""
    value, epoch = one.best or (None, None)
    return {
        "name": one.name,
        "status": one.status,
        "epochs": one.epochs,
        "asked": one.asked,
        "metric": one.metric,
        "best": value,
        "best_epoch": epoch,
        "seconds": one.seconds,
        "rate": one.rate or None,
        "workers": one.workers,
        "began": one.began or None,
        "reports": one.reports or None,
    }


def _compared(found: Comparison) -> tuple[dict[str, Any], bytes]:
    """What is to be seen of a comparison, and its points, as a view has them."""
    curves, parts = [], []
    for title, members in found.charts():
        for place, name in members:
            snapshot = found.snapshots[place]
            points = thin(snapshot.epoch_numbers, snapshot.curves[name])
            last = snapshot.last[name]
            curves.append(
                {
                    "name": f"{found.names[place]} {name}",
                    "chart": title,
                    "entry": MARKS[place],
                    "validation": name.startswith("val_"),
                    "colour": place,
                    "last": last if math.isfinite(last) else text.number(last),
                    "points": len(points[0]),
                    "best": found.ring(title, place, name),
                }
            )
            parts.append(packed(points))
    state = {
        "names": list(found.names),
        "curves": curves,
        "best": [[metric, *map(best_words, values)] for metric, values in found.best.items()],
        "settings": [[name, *map(shown, values)] for name, values in found.settings.items()],
        "more": found.more,
    }
    return state, b"".join(parts)
