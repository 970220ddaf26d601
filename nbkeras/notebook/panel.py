"""The panel of a run that has ended, as HTML that needs no kernel; a picture where no script may run."""

from __future__ import annotations

import base64
import json
import secrets

from nbkeras.notebook import frontend, picture
from nbkeras.notebook.view import encode, words
from nbkeras.run.snapshot import Snapshot


def bundle(snapshot: Snapshot) -> dict[str, str]:
    """Render an ended run for a notebook's output: its picture, which a script turns into the panel.

    A widget would be gone from a file that is opened again, and leave an
    error in its place; this is the same there as in the page that made it.
    Where the notebook is not trusted, or is shown without scripts, the picture
    and its table stay.

    Args:
        snapshot: of a run that has ended.

    Example:
        >>> from nbkeras.run.run import Run
        >>> run = Run("digits", model=None, epochs=1, workers=1)
        >>> run.record_epoch(0, {"loss": 0.5})
        >>> sorted(bundle(run.snapshot()))
        ['image/png', 'text/html', 'text/plain']
    """
    shown = picture.bundle(snapshot)
    state, points = encode(snapshot)
    values = {"words": words(), "state": state, "points": base64.b64encode(points).decode()}
    # In a script an end tag would be one, even within a string.
    data = json.dumps(values, ensure_ascii=False).replace("<", "\\u003c")
    place = f"nbkeras-{secrets.token_hex(8)}"
    script = f'{frontend.script("ended.js")}\nshowEnded("{place}", {data});'
    style = f"<style>{frontend.style('theme.css', 'panel.css')}</style>"
    shown["text/html"] = (
        f'<div id="{place}">{style}{shown["text/html"]}</div><script type="module">{script}</script>'
    )
    return shown
