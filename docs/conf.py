"""Sphinx' settings for the manual: ``nox -s docs`` builds it."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))

import nbkeras  # noqa: E402  # after the path of the extensions, which read it

project = "nbkeras"
author = "The nbkeras authors"
version = release = nbkeras.__version__
copyright = f"{author}, Apache-2.0"  # noqa: A001  # Sphinx' name

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "manual",
]
exclude_patterns = ["_build", "_ext"]
html_theme = "furo"
html_title = "nbkeras"
html_static_path = ["_static"]
html_css_files = ["manual.css"]
html_show_sourcelink = False

myst_enable_extensions = ["attrs_inline", "colon_fence", "deflist"]
# Links to headings, such as page.md#gaps.
myst_heading_anchors = 4

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
# A signature of thirty arguments is read one argument a line.
maximum_signature_line_length = 88
python_use_unqualified_type_names = True

# Every name of this package must be found; there is no network to look up those of others.
nitpick_ignore_regex = [
    ("py:.*", r"(?!nbkeras\b).*"),
    # What public names return or hold, and what no page describes.
    (
        "py:.*",
        r"nbkeras\.(model\.settings|notebook\.comparison\.Comparison|run\.kept\.Kept|tasks\.(parts|places)\.\w+)",
    ),
]

# Messages and code are shown as they are typed.
smartquotes = False
# Prompts, and what a command has printed, are not copied.
copybutton_exclude = ".linenos, .gp, .go"
linkcheck_anchors = False
