"""Tab completion of what stands behind the magics' names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from IPython.core.completer import CompletionContext, SimpleCompletion, SimpleMatcherResult

from nbkeras.notebook.magic.namespace import frames_of
from nbkeras.notebook.magic.parser import FRAMES, Parser

_COLUMNS = ("--label", "--features")


class Completion:
    """A matcher for ``IPython``'s ``Completer.custom_matchers``.

    Args:
        shell: the IPython shell, for the names in its namespace.
        parser: knows the options of the cell magic.
        words: what the line magic takes.
        named: the names that fit behind one of these words, at a place from 1.
    """

    matcher_api_version = 2
    matcher_identifier = "nbkeras"
    matcher_priority = 100

    def __init__(
        self, shell: Any, parser: Parser, words: Sequence[str], named: Callable[[str, int], list[str]]
    ) -> None:
        self._shell, self._parser, self._words, self._named = shell, parser, words, named
        self.__qualname__ = self.matcher_identifier  # IPython asks for it even where there is an identifier

    def __call__(self, context: CompletionContext) -> SimpleMatcherResult:
        """Offer what fits at the cursor, on the magics' lines only."""
        before = context.text_until_cursor
        offered: list[str] = []
        magic, space, typed = before.lstrip().partition(" ")
        ours = bool(space) and (
            (magic == "%%keras_spark" and context.cursor_line == 0) or magic == "%keras_spark"
        )
        if ours:
            offered = self._options(typed) if magic == "%%keras_spark" else self._line_words(typed)
        found = [word for word in offered if word.startswith(context.token)]
        # On our line nothing else makes sense, such as file names.
        return SimpleMatcherResult(
            completions=[SimpleCompletion(word, type="option") for word in found],
            suppress=ours,
        )

    def _options(self, typed: str) -> list[str]:
        words = typed.replace("=", " ").split()
        if typed and not typed[-1].isspace() and not typed.endswith("="):
            words = words[:-1]  # the one that is being typed
        option = words[-1] if words else ""
        if self._parser.takes_value(option):
            return self._values(option, words)
        return [name for name in self._parser.option_names() if name not in words]

    def _values(self, option: str, words: list[str]) -> list[str]:
        names = self._shell.user_ns
        if option == "--workers":
            return ["auto", "1", "2", "4"]
        if option in FRAMES:
            return frames_of(names)
        if option in _COLUMNS and "--data" in words[:-1]:
            data = names.get(words[words.index("--data") + 1])
            return [str(column) for column in getattr(data, "columns", ())]
        return self._parser.choices(option)

    def _line_words(self, typed: str) -> list[str]:
        word, *more = typed.split(" ")
        return self._named(word, len(more)) if more else list(self._words)
