"""Fonts of pictures: Matplotlib brings none with Chinese signs, and draws boxes in their place."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager

from nbkeras.notebook.words import language, speaking

#: Families that systems have for Chinese, free ones first.
_CHINESE = (
    "Noto Sans CJK SC",
    "Noto Sans SC",
    "Source Han Sans SC",
    "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei",
    "Droid Sans Fallback",
    "PingFang SC",
    "Hiragino Sans GB",
    "Heiti SC",
    "Microsoft YaHei",
    "SimHei",
    "Arial Unicode MS",
)


@functools.cache
def chinese() -> str:
    """A family with Chinese signs that Matplotlib finds on this machine; empty where there is none."""
    from matplotlib import font_manager

    known = {one.name for one in font_manager.fontManager.ttflist}
    return next((name for name in _CHINESE if name in known), "")


def families() -> list[str]:
    """Families for a picture's words: what the first one lacks, the next one may have."""
    return ["sans-serif", *filter(None, [chinese()])]


@contextmanager
def legible() -> Iterator[None]:
    """Within the block, speak a language whose signs a picture can show.

    Example:
        >>> with legible():
        ...     language()
        'en'
    """
    with speaking("en" if language() == "zh" and not chinese() else language()):
        yield
