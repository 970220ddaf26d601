"""Runs the body of a cell magic as IPython runs a cell: namespace, last value, tracebacks."""

from __future__ import annotations

import ast
import types
from collections.abc import Callable, Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any

from nbkeras.errors import NbkerasError

_OURS = str(Path(__file__).parents[1])


class Body:
    r"""The code of one cell, below the magic's line.

    Args:
        shell: the IPython shell.
        source: the code as it was typed; IPython's own syntax may be in it.

    Attributes:
        source: the same.
        code: the same as Python.

    Example:
        >>> Body(get_ipython(), "x = 1\nx + 1").run()  # doctest: +SKIP
        2
    """

    def __init__(self, shell: Any, source: str) -> None:
        self._shell, self.source = shell, source
        try:
            self.code: str = shell.transform_cell(source)
            self._file: str = shell.compile.cache(self.code, shell.execution_count, raw_code=source)
            self._tree: ast.Module = shell.compile.ast_parse(self.code, filename=self._file)
        except SyntaxError as error:
            raise _ordinary(error, shell) from None

    def run(self) -> Any:
        """Run it in the user's namespace and give the value of its last expression.

        An exception is shown with the user's frames only.
        """
        shell = self._shell
        names, here = shell.user_global_ns, shell.user_ns
        tree = shell.transform_ast(self._tree)
        *_, last = tree.body or [None]
        try:
            if not isinstance(last, ast.Expr):
                exec(shell.compile(tree, self._file, "exec"), names, here)  # noqa: S102  # what a cell magic does
                return None
            before = ast.Module(tree.body[:-1], tree.type_ignores)
            exec(shell.compile(before, self._file, "exec"), names, here)  # noqa: S102  # as above
            code = shell.compile(ast.Expression(last.value), self._file, "eval")
            return eval(code, names, here)  # noqa: S307  # as above
        except SyntaxError as error:
            if error.filename == self._file:  # such as a top-level await
                raise _ordinary(error, shell) from None
            raise
        except BaseException as error:
            _shorten(error, self._file, shell)
            raise

    def receivers(self, method: str) -> list[str]:
        """The variables ``x`` of ``x.method(...)``, in order, each once."""
        names = (
            node.func.value.id
            for node in ast.walk(self._tree)
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == method
            and isinstance(node.func.value, ast.Name)
        )
        return list(dict.fromkeys(names))


def _shorten(error: BaseException, file: str, shell: Any) -> None:
    """Have the exception shown from the body's frame on, without our own frames."""
    frames = list(_frames(error.__traceback__))
    while frames and frames[0].tb_frame.f_code.co_filename != file:
        frames.pop(0)
    if isinstance(error, (NbkerasError, SystemExit)) or hasattr(error, "_render_traceback_") or not frames:
        return
    trimmed: types.TracebackType | None = None
    if isinstance(error, KeyboardInterrupt):  # where in our code it struck says nothing
        frames = list(takewhile(lambda frame: not _is_ours(frame), frames))
    for frame in reversed(frames):
        if not _is_ours(frame):
            trimmed = types.TracebackType(trimmed, frame.tb_frame, frame.tb_lasti, frame.tb_lineno)

    def render() -> list[str]:
        shown: list[str] = shell.InteractiveTB.structured_traceback(type(error), error, trimmed, tb_offset=0)
        return shown

    _attach(error, render)


def _is_ours(frame: types.TracebackType) -> bool:
    return frame.tb_frame.f_code.co_filename.startswith(_OURS)


def _attach(error: BaseException, render: Callable[[], list[str]]) -> None:
    try:
        error._render_traceback_ = render  # type: ignore[attr-defined]  # IPython's protocol
    except AttributeError:
        return  # a class with slots: IPython shows all frames


def _frames(traceback: types.TracebackType | None) -> Iterator[types.TracebackType]:
    while traceback is not None:
        yield traceback
        traceback = traceback.tb_next


def _ordinary(error: SyntaxError, shell: Any) -> Exception:
    """Give an exception that looks like this syntax error in an ordinary cell.

    IPython shows one that leaves a magic with all frames of the magic, so it is
    of another class, with the same name.
    """
    shown = shell.SyntaxTB.structured_traceback(type(error), error, [])
    look_alike: type[NbkerasError] = type(
        type(error).__name__, (NbkerasError,), {"_render_traceback_": lambda _: shown}
    )
    return look_alike(str(error))
