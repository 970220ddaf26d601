"""Every sentence that a display shows, in English and in Chinese: a module for each display.

The display fills in each ``{word}``: in the browser with the reader's own number
format, elsewhere by :mod:`nbkeras.notebook.text`. ``NBKERAS_LANG`` (``en`` or
``zh``) chooses the language. Without it a page has that of the front end, and
everything else is English.
"""

from nbkeras.notebook.words.answers import ANSWERS, PLACES
from nbkeras.notebook.words.builder import BUILDER
from nbkeras.notebook.words.language import LANGUAGES, Words, chosen, for_page, in_each, language, speaking
from nbkeras.notebook.words.leaderboard import LEADERBOARD
from nbkeras.notebook.words.looks import LOOKS
from nbkeras.notebook.words.panel import PANEL, TABLE
from nbkeras.notebook.words.report import REPORT
from nbkeras.notebook.words.run import ENDS, PHASES
from nbkeras.notebook.words.runs import RUNS

__all__ = [
    "ANSWERS",
    "BUILDER",
    "ENDS",
    "LANGUAGES",
    "LEADERBOARD",
    "LOOKS",
    "PANEL",
    "PHASES",
    "PLACES",
    "REPORT",
    "RUNS",
    "TABLE",
    "Words",
    "chosen",
    "for_page",
    "in_each",
    "language",
    "speaking",
]
