"""The language of what people read: English, or Chinese with ``NBKERAS_LANG=zh``."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

LANGUAGES = ("en", "zh")
_VARIABLE = "NBKERAS_LANG"
_spoken: ContextVar[str] = ContextVar("nbkeras_language", default="")


def chosen() -> str:
    """The language of the environment, empty where it names none that is known."""
    return next((one for one in LANGUAGES if os.environ.get(_VARIABLE, "").lower().startswith(one)), "")


def language() -> str:
    """The language in which this process speaks."""
    return _spoken.get() or chosen() or LANGUAGES[0]


@contextmanager
def speaking(tongue: str) -> Iterator[None]:
    """Within the block, speak one of :data:`LANGUAGES`.

    Example:
        >>> stop = Words({"stop": ("Stop", "停止")})
        >>> with speaking("zh"):
        ...     stop["stop"]
        '停止'
    """
    token = _spoken.set(tongue)
    try:
        yield
    finally:
        _spoken.reset(token)


def in_each(say: Callable[[], str]) -> dict[str, str]:
    """A sentence in each language, for a page that chooses among them.

    Example:
        >>> pause = Words({"pause": ("Pause", "暂停")})
        >>> in_each(lambda: pause["pause"])
        {'en': 'Pause', 'zh': '暂停'}
    """
    said = {}
    for tongue in LANGUAGES:
        with speaking(tongue):
            said[tongue] = say()
    return said


class Words(Mapping[str, str]):
    """Sentences by name: what is got is in the language that is spoken.

    Args:
        sentences: each in all of :data:`LANGUAGES`.
    """

    def __init__(self, sentences: Mapping[str, tuple[str, str]]) -> None:
        self._sentences = sentences

    def __getitem__(self, name: str) -> str:
        return self._sentences[name][LANGUAGES.index(language())]

    def __iter__(self) -> Iterator[str]:
        return iter(self._sentences)

    def __len__(self) -> int:
        return len(self._sentences)


def for_page(*tables: Words, **more: Any) -> dict[str, Any]:
    """What a widget says, in each language, and which of them the environment has chosen.

    Args:
        tables: of words.
        more: what needs no translation.
    """
    spoken: dict[str, Any] = {"chosen": chosen()}
    for tongue in LANGUAGES:
        with speaking(tongue):
            said = {name: words for table in tables for name, words in table.items()}
            spoken[tongue] = {**said, **more, "language": tongue}
    return spoken
