"""What a script draws in a notebook's output without a kernel, in place of what is shown without scripts."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from nbkeras.notebook import frontend


def page(still: str, script: str, function: str, values: Mapping[str, Any], styles: Sequence[str]) -> str:
    """HTML that shows what is still, until its script has drawn something better in its place.

    A widget would be gone from a file that is opened again, and leave an
    error in its place; this is the same there as in the page that made it.
    Where the notebook is not trusted, or is shown without scripts, what is still stays.

    Args:
        still: HTML.
        script: the name of a file of the frontend.
        function: of that file, which is called with the id of the element around, and the values.
        values: what JSON takes.
        styles: the names of style sheets.

    Example:
        >>> "<figure>" in page("<figure></figure>", "report.js", "showReport", {}, [])
        True
    """
    # In a script an end tag would be one, even within a string.
    data = json.dumps(values, ensure_ascii=False).replace("<", "\\u003c")
    place = f"nbkeras-{secrets.token_hex(8)}"
    made = f'{frontend.script(script)}\n{function}("{place}", {data});'
    style = f"<style>{frontend.style(*styles)}</style>"
    return f'<div id="{place}">{style}{still}</div><script type="module">{made}</script>'
