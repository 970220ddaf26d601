"""The reports that the panel of runs has open: those of one run, or those of none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from nbkeras.notebook.reports import view
from nbkeras.run.kept import Kept


class Opened:
    """Reports of which one is shown.

    Example:
        >>> from nbkeras.metrics.figures import Figures
        >>> opened = Opened()
        >>> opened.state()
        (None, {})
    """

    def __init__(self) -> None:
        self._name: str | None = None
        self._known: Callable[[], Sequence[Kept]] = list
        self._chosen: Kept | None = None
        self._shown: tuple[Kept | None, dict[str, Any]] = (None, {})

    def open(self, name: str, known: Callable[[], Sequence[Kept]]) -> None:
        """Open reports, and show the newest.

        Args:
            name: of their run; empty for reports of none.
            known: what gives the reports that there are.
        """
        self._name, self._known, self._chosen = name, known, None

    def close(self) -> None:
        """Show none."""
        self._name, self._known, self._chosen = None, list, None

    def choose(self, place: Any) -> None:
        """Show another one.

        Args:
            place: among the reports that are open, from 0.
        """
        known = self._known()
        if type(place) is int and 0 <= place < len(known):
            self._chosen = known[place]

    def state(self) -> tuple[dict[str, Any] | None, dict[str, Any]]:
        """What the page lists, None where nothing is open; and what it shows."""
        known = self._known()
        if self._name is None or not known:
            return None, {}
        shown = next((one for one in known if one is self._chosen), known[-1])
        if self._shown[0] is not shown:
            self._shown = (shown, view.kept(shown))
        place = next(at for at, one in enumerate(known) if one is shown)
        listed = [{"title": one.title, "made": getattr(one, "made", None)} for one in known]
        return {"name": self._name, "reports": listed, "place": place}, self._shown[1]
