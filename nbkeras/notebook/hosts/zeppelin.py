"""Apache Zeppelin: one output of the paragraph replaced in place, its progress bar, and dashboards.

Zeppelin drops widgets and display updates, but an interpreter may rewrite one of its outputs:
the Java object behind it is reached by py4j, beside the stream of what is printed. See
``InterpreterOutput`` and ``ZeppelinContext`` in Zeppelin's source.
"""

from __future__ import annotations

import sys
import time
import uuid
from collections.abc import Sequence
from html import escape
from typing import Any

from nbkeras.notebook import picture, text
from nbkeras.notebook.hosts.pace import Pace
from nbkeras.notebook.words import PANEL, PLACES
from nbkeras.run.run import Run
from nbkeras.run.snapshot import Snapshot

_SHOW_EVERY = 0.4  # seconds: each time the whole output travels to every open page
_DRAW_SHARE = 0.05  # of one core, that drawing may take from the training
_DRAW_SLOWEST = 3.0
_ARRIVES_WITHIN = 10.0  # seconds for an output to come from the kernel to Zeppelin
_GREY = "#7b7b7b"

#: Ids of note and paragraph of each dashboard.
_dashboards: set[tuple[str, str]] = set()
_VALUES = ("nbkeras_title", "nbkeras_phase", "nbkeras_chart")
_BLANK = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"


def context() -> Any:
    """Zeppelin's ``z`` of the paragraph that runs, None where this is no Zeppelin.

    Example:
        >>> context() is None
        True
    """
    for names in _namespaces():
        found = names.get("__zeppelin__")
        if hasattr(found, "getInterpreterContext"):
            return found
    return None


def _namespaces() -> list[dict[str, Any]]:
    """Where Zeppelin may have put its names: IPython's, and those of its own plain interpreters."""
    main = vars(sys.modules["__main__"])
    return [getattr(_shell(), "user_ns", {}), main, main.get("_zcUserQueryNameSpace", {})]


def _shell() -> Any:
    """IPython's shell, None where there is none."""
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython is not None else None


class Paragraph:
    """A run in the output of the paragraph that runs now.

    Args:
        run: the run to show.
        z: Zeppelin's context.
        plain: whether Zeppelin's own Python runs the paragraph, not IPython.

    Example:
        >>> Paragraph(run, context())  # doctest: +SKIP
    """

    def __init__(self, run: Run, z: Any, *, plain: bool = False) -> None:
        self._run = run
        # Later these would be of another paragraph.
        self._context = z.getInterpreterContext()
        self._output = Output(z, self._context, plain=plain)
        self._outlives = run.background
        here = self._context.getNoteId()
        boards = [paragraph for note, paragraph in _dashboards if note == here]
        self._boards = [Dashboard(z, here, paragraph) for paragraph in boards]
        self._pace = Pace(_SHOW_EVERY, _SHOW_EVERY, 1.0)
        self._drawing = Pace(_SHOW_EVERY, _DRAW_SLOWEST, _DRAW_SHARE)
        self._drawn: picture.Drawn | None = None
        self._seen: tuple[int, Any] = 0, ()
        if plain:
            run.note(PLACES["zeppelin_plain"])
        elif not run.background:  # else its paragraph has ended
            self._output.heed()
        self._show(run.snapshot())

    def update(self) -> None:
        """Replace the output when the last one is old enough; nothing else of the paragraph changes."""
        if self._pace.due():
            self._pace.spend(lambda: self._show(self._run.snapshot()))

    def finish(self) -> None:
        """Leave the picture, which Zeppelin stores with the note."""
        snapshot = self._run.snapshot()
        drawn = picture.draw(snapshot)
        self._output.settle()
        self._output.replace(picture.page(snapshot, drawn) + _notes(snapshot))
        for board in self._boards:
            board.show(snapshot, drawn)
        if self._outlives:
            # The paragraph has been stored already.
            here = self._context.getNoteId(), self._context.getParagraphId()
            self._context.getIntpEventClient().checkpointOutput(*here)

    def _show(self, snapshot: Snapshot) -> None:
        seen = len(snapshot.epoch_numbers), snapshot.losses[-1:]
        first_epoch = seen[0] > 0 and self._seen[0] == 0
        if seen not in (self._seen, (0, ())) and (first_epoch or self._drawing.due()):
            self._seen = seen
            self._drawn = self._drawing.spend(lambda: picture.draw(snapshot))
        self._output.replace(_live(snapshot, self._drawn))
        self._context.setProgress(round(100 * done(snapshot)))
        for board in self._boards:
            board.show(snapshot, self._drawn)


class Output:
    """One output of the paragraph that runs, which can be replaced at any time.

    It stands behind all that has been printed; what follows goes into another.

    Args:
        z: Zeppelin's context.
        context: of the paragraph.
        plain: whether Zeppelin's own Python runs the paragraph, not IPython.
    """

    def __init__(self, z: Any, context: Any, *, plain: bool) -> None:
        self._out = context.out()
        self._types = z.gateway.jvm.org.apache.zeppelin.interpreter.InterpreterResult.Type
        self._publisher: Any = None
        self._cleared = False
        # What is printed travels through the kernel, slower than py4j. Only what goes the same way
        # comes behind it.
        mark = _mark()
        place = None if plain else self._arrives(mark)
        if place is None:
            self._open()
        else:
            self._take(place)
        self._out.setType(self._types.TEXT)
        _, _, printed = self._html(self._place).partition(mark)
        if printed.strip():
            self._out.write(printed)  # it came in between

    def replace(self, html: str) -> None:
        """Put this in place of what is there; open the output again where the user has cleared it."""
        if self._out.size() <= self._place or not self._out.getOutputAt(self._place).equals(self._output):
            self._open()
            self._out.setType(self._types.TEXT)
        self._output.clear(False)  # nothing is sent before the new content is there
        self._output.write(html)
        self._output.flush()

    def heed(self) -> None:
        """Notice from now on that the user clears all outputs, in this thread."""
        self._publisher = _shell().display_pub
        self._publisher.register_hook(self._notice)

    def _notice(self, message: Any) -> Any:
        self._cleared |= message["header"]["msg_type"] == "clear_output"
        return message  # IPython sends it

    def settle(self) -> None:
        """Wait until what the user has cleared is gone: else it would take along what is put here last."""
        if self._publisher is not None:
            self._publisher.unregister_hook(self._notice)
        if self._cleared:
            self._arrives(_mark())

    def _open(self) -> None:
        self._out.setType(self._types.HTML)
        self._take(self._out.size() - 1)

    def _take(self, place: int) -> None:
        self._place = place
        self._output = self._out.getOutputAt(place)

    def _html(self, place: int) -> str:
        return str(self._out.getOutputAt(place).toInterpreterResultMessage().getData())

    def _arrives(self, mark: str) -> int | None:
        """Display a mark, and wait until it is in the last output: its place, None where it never comes."""
        import IPython.display

        shown: Any = IPython.display  # untyped
        shown.display(shown.HTML(mark))
        end = time.monotonic() + _ARRIVES_WITHIN
        while time.monotonic() < end:
            last = int(self._out.size()) - 1
            if last >= 0 and mark in self._html(last):
                return last
            time.sleep(0.02)
        return None  # it has taken enough, say: 100 kB of prints


def _mark() -> str:
    """What nobody sees, and nothing else is like."""
    return f'<i id="nbkeras-{uuid.uuid4().hex}"></i>'


class Dashboard:
    """A paragraph that shows the runs of other paragraphs.

    The front end of Zeppelin 0.12 shows no output of a paragraph before it has
    ended, but the values that Angular binds at once.

    Args:
        z: Zeppelin's context.
        note, paragraph: ids of the dashboard's paragraph.
    """

    def __init__(self, z: Any, note: str, paragraph: str) -> None:
        # The Java object: its Python shell would take the note of whichever paragraph runs now.
        self._z, self._note, self._paragraph = z.z, note, paragraph
        self._shown: dict[str, str] = {}

    def show(self, snapshot: Snapshot, drawn: picture.Drawn | None) -> None:
        """Bind what has changed."""
        chart = _BLANK if drawn is None else f"data:image/png;base64,{drawn.base64}"
        self.bind(PANEL["title"].format(name=snapshot.name), _sentence(snapshot), chart)

    def bind(self, *values: str) -> None:
        """Bind the title, the sentence under it and the picture's address."""
        for name, value in zip(_VALUES, values, strict=True):
            if self._shown.get(name) != value:
                self._shown[name] = value
                self._z.angularBind(name, value, self._note, self._paragraph)


def dashboard(z: Any) -> None:
    """Make the paragraph that runs the dashboard of all later runs in its note.

    Args:
        z: Zeppelin's context.
    """
    context = z.getInterpreterContext()
    here = context.getNoteId(), context.getParagraphId()
    _dashboards.add(here)
    Dashboard(z, *here).bind(PLACES["dashboard"], PLACES["dashboard_empty"], _BLANK)
    title, phase, chart = (f"{{{{{name}}}}}" for name in _VALUES)
    print(  # noqa: T201  # a line that begins so is how Zeppelin is told of the type
        f'%angular <b>{title}</b><div>{phase}</div><img src="{chart}" style="max-width:100%" alt="{phase}">'
    )


class Fields:
    """The dynamic form of the paragraph that runs; see :class:`nbkeras.notebook.form.Fields`.

    Args:
        z: Zeppelin's context.
    """

    def __init__(self, z: Any) -> None:
        self._z = z

    def text(self, name: str, default: str) -> str:
        """A line of text."""
        return str(self._z.textbox(name, default))

    def choice(self, name: str, options: Sequence[str], default: str) -> str:
        """One of several; Zeppelin runs the paragraph again when it changes."""
        return str(self._z.select(name, [(one, one) for one in options], default))

    def choices(self, name: str, options: Sequence[str], default: Sequence[str]) -> list[str]:
        """Any of several."""
        return [str(one) for one in self._z.checkbox(name, [(one, one) for one in options], list(default))]


def done(snapshot: Snapshot) -> float:
    """The part of the training that lies behind, 0 to 1.

    Example:
        >>> from nbkeras.run.run import Run
        >>> run = Run("digits", model=None, epochs=4, workers=1)
        >>> run.record_progress(1, step=5, steps=10, rows_per_second=0)
        >>> done(run.snapshot())
        0.375
    """
    if snapshot.phase == "done":
        return 1.0
    if not snapshot.steps:
        return 0.0
    return min(1.0, (snapshot.epoch - 1 + snapshot.step / snapshot.steps) / snapshot.epochs)


def _live(snapshot: Snapshot, drawn: picture.Drawn | None) -> str:
    title = PANEL["title"].format(name=snapshot.name)
    share = f"{100 * done(snapshot):.1f}"
    bar = (
        f'<div style="max-width:480px;height:4px;margin:4px 0;background:{_GREY}33">'
        f'<div style="width:{share}%;height:4px;background:{_GREY}"></div></div>'
    )
    over = snapshot.background or snapshot.stopping or snapshot.phase == "done"
    hint = "" if over else _small(PLACES["zeppelin_stop"])
    words = f"<b>{escape(title)}</b><div>{escape(_sentence(snapshot))}</div>{bar}"
    figure = picture.figure(drawn, text.sentence(snapshot), escape(text.so_far(snapshot)))
    return f"<div>{words}{figure}{_notes(snapshot)}{hint}</div>"


def _sentence(snapshot: Snapshot) -> str:
    words = [text.phase(snapshot)]
    if snapshot.phase != "done":
        if snapshot.rows_per_second:
            words.append(PANEL["rate"].format(rows=f"{snapshot.rows_per_second:,.0f}"))
        words.append(PANEL["elapsed"].format(time=text.duration(snapshot.elapsed)))
        if snapshot.remaining is not None:
            words.append(PANEL["remaining"].format(time=text.duration(snapshot.remaining)))
    return " · ".join(words)


def _notes(snapshot: Snapshot) -> str:
    return "".join(_small(note) for note in snapshot.notes)


def _small(words: str) -> str:
    return f'<div style="color:{_GREY};font-size:90%">{escape(words)}</div>'
