"""Where a run is shown. Only these modules know what runs the user's code."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import Any

from nbkeras.errors import OptionError, one_line
from nbkeras.notebook import picture, text
from nbkeras.notebook.form import Fields
from nbkeras.notebook.hosts import terminal, zeppelin, zeppelin_tables
from nbkeras.notebook.hosts.slot import Slot, is_open
from nbkeras.notebook.hosts.terminal import Lines
from nbkeras.notebook.words import ANSWERS, PLACES
from nbkeras.run.display import Display
from nbkeras.run.run import Run
from nbkeras.wait import What

#: The code of the cell magic that runs.
_code: ContextVar[str | None] = ContextVar("code", default=None)


def display(run: Run, how: Callable[[Run], Display] | None = None) -> Display:
    """Show a run as well as this place can.

    Call it in the thread of the cell; ``update`` and ``finish`` may come from
    any one thread.

    Args:
        run: the run to show, just begun.
        how: shows it where it is a part of something else.

    Example:
        >>> from nbkeras.run.run import Run
        >>> run = Run("digits", model=None, epochs=1, workers=1)
        >>> shown = display(run)
        >>> run.record_epoch(0, {"loss": 0.5})
        >>> shown.update()
        epoch 1 of 1  loss 0.5
    """
    return _Guard(run, how or _choose)


def show(bundle: dict[str, str]) -> None:
    """Show what stays as it is, by the media types in which it is there.

    Args:
        bundle: plain text, and others.
    """
    if _kernel() is not None:
        import IPython.display

        display: Any = IPython.display.display  # untyped
        display(bundle, raw=True)
    elif zeppelin.context() is not None:
        print(f"%html {bundle['text/html']}")  # noqa: T201  # as Zeppelin has it
    else:
        print(bundle["text/plain"])  # noqa: T201  # text is what every place can show


def slot(line: Callable[[Any], str]) -> Slot:
    """A place in the output of the cell that runs, for what becomes known bit by bit.

    Args:
        line: what is printed where no output can be replaced.
    """
    return Slot(kernel=_kernel() is not None, line=line)


def has_scripts() -> bool:
    """Whether what is shown may have scripts that draw it: in Jupyter's pages."""
    return _kernel() is not None and zeppelin.context() is None


def has_tables() -> bool:
    """Whether this place has tables of its own, which can be sorted and drawn."""
    return zeppelin.context() is not None


def show_page(html: str) -> None:
    """Show a page in Zeppelin's own output: what is printed next stands behind it.

    What is displayed there goes another way than what is printed, and may come after it.

    Args:
        html: the page.
    """
    z = zeppelin.context()
    zeppelin.Output(z, z.getInterpreterContext(), plain=_kernel() is None).replace(html)


def show_tables(tables: Mapping[str, Any]) -> None:
    """Show tables as this place's own.

    Args:
        tables: of pandas, by title.
    """
    for title, table in tables.items():
        print(zeppelin_tables.table(title, table))  # noqa: T201  # as Zeppelin has it


def show_run(run: Run) -> None:
    """Show a run once more, as well as this place can.

    Args:
        run: any run of this process, at work or ended.
    """
    if _kernel() is None or zeppelin.context() is not None:
        show(picture.bundle(run.snapshot()))
    else:
        from nbkeras.notebook.hosts import jupyter

        jupyter.show(run)


def waiting(what: What) -> AbstractContextManager[Any]:
    """Say for what is waited as long as a ``with`` block lasts: a bar in a page, a terminal's last line.

    Zeppelin shows by itself that a paragraph runs.

    Args:
        what: is waited for.
    """
    words = PLACES[f"wait_{what}"]
    if zeppelin.context() is not None or headless() or is_open():
        return contextlib.nullcontext()
    if _kernel() is None:
        return terminal.waiting(words)
    from nbkeras.notebook.hosts import jupyter

    return jupyter.waiting(words)


def require_widgets() -> None:
    """Make sure that this place shows widgets that answer.

    Raises:
        OptionError: it shows none.
    """
    if zeppelin.context() is not None:
        raise OptionError(PLACES["build_zeppelin"])
    if _kernel() is None:
        raise OptionError(PLACES["build_terminal"])


def show_widget(widget: Any) -> None:
    """Show a widget in the output of the cell that runs."""
    import IPython.display

    display: Any = IPython.display.display  # untyped
    display(widget)


def has_widgets() -> bool:
    """Whether this place shows widgets, and somebody watches."""
    return zeppelin.context() is None and _kernel() is not None and not headless()


@contextlib.contextmanager
def cell(source: str) -> Iterator[None]:
    """Within the block, this is the code of the cell that runs.

    Args:
        source: as it was typed, below the magic's line.

    Example:
        >>> with cell("model.fit(df)"):
        ...     code()
        'model.fit(df)'
    """
    token = _code.set(source)
    try:
        yield
    finally:
        _code.reset(token)


def code() -> str | None:
    """The code of the cell that runs, as it was typed; None where there is none.

    Example:
        >>> print(code())
        None
    """
    known = _code.get()
    # IPython's history may be off, and tells of the last cell where none runs.
    frame = sys._getframe() if known is None else None  # noqa: SLF001  # the way to the caller
    while frame is not None:
        if frame.f_code.co_name == "run_cell_async":
            return str(frame.f_locals.get("raw_cell", "")) or None
        frame = frame.f_back
    return known


def headless() -> bool:
    """Whether nobody watches: a notebook that papermill, nbclient or nbconvert executes."""
    kernel = _kernel()
    # They take no input, which is the one thing that tells them from a front end.
    return kernel is not None and getattr(kernel, "_allow_stdin", True) is False


def fields() -> Fields:
    """The form of the paragraph that runs.

    Raises:
        OptionError: this place has none.
    """
    return zeppelin.Fields(_zeppelin("form"))


def dashboard() -> None:
    """Have the paragraph that runs show the runs of later ones.

    Raises:
        OptionError: this place needs none.
    """
    zeppelin.dashboard(_zeppelin("dashboard"))


def _zeppelin(word: str) -> Any:
    z = zeppelin.context()
    if z is None:
        raise OptionError(PLACES[f"only_{word}"])
    return z


def _choose(run: Run) -> Display:
    z = zeppelin.context()
    if z is not None:
        return zeppelin.Paragraph(run, z, plain=_kernel() is None)
    if _kernel() is None:
        return Lines(run)
    from nbkeras.notebook.hosts.jupyter import Headless, Live

    return Headless(run) if headless() else Live(run)


def _kernel() -> Any:
    # Without IPython loaded there is no kernel, and no reason to load it.
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None)


class _Guard:
    """A display that may fail and leaves the training alone when it does."""

    def __init__(self, run: Run, how: Callable[[Run], Display]) -> None:
        self._run, self._failed = run, False
        self._shown: Display = Lines(run)
        try:
            self._shown = how(run)
        except Exception as error:  # noqa: BLE001  # a chart is worth less than hours of training
            self._tell(error)

    def update(self) -> None:
        if not self._failed:
            try:
                self._shown.update()
            except Exception as error:  # noqa: BLE001  # as above
                self._failed = True
                self._tell(error)

    def _tell(self, error: Exception) -> None:
        self._run.note(ANSWERS["chart_failed"].format(error=one_line(error)))

    def finish(self) -> None:
        try:
            self._shown.finish()
        except Exception:  # noqa: BLE001  # as above
            print(text.sentence(self._run.snapshot()))  # noqa: T201  # text is what every place can show
