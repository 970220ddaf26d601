"""The panel of a run that has ended, as HTML that needs no kernel; a picture where no script may run."""

from __future__ import annotations

import base64

from nbkeras.notebook import embedded, picture
from nbkeras.notebook.view import encode, words
from nbkeras.run.snapshot import Snapshot


def bundle(snapshot: Snapshot) -> dict[str, str]:
    """Render an ended run for a notebook's output: its picture, which a script turns into the panel.

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
    page = embedded.page(shown["text/html"], "ended.js", "showEnded", values, ("theme.css", "panel.css"))
    return {**shown, "text/html": page}
