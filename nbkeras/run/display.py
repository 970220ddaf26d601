"""Displays and hosts: what shows a run, and the place that has them."""

from __future__ import annotations

from typing import Protocol

from nbkeras.run.run import Run


class Display(Protocol):
    """What shows a run while it lives and when it has ended."""

    def update(self) -> None:
        """Show the run as it is now; called about four times a second."""

    def finish(self) -> None:
        """Show the end."""


class Host(Protocol):
    """The place that shows runs."""

    def display(self, run: Run) -> Display:
        """A display for a run that has just begun."""

    def headless(self) -> bool:
        """Whether nothing may go on after the cell has ended."""

    def code(self) -> str | None:
        """The source of the cell that runs, as it was typed; None where there is none."""


class Silent:
    """Shows nothing: a host and a display."""

    def display(self, run: Run) -> Display:
        """Itself."""
        return self

    def headless(self) -> bool:
        """False: there is nothing to lose."""
        return False

    def code(self) -> str | None:
        """None: there are no cells."""
        return None

    def update(self) -> None:
        """Nothing."""

    def finish(self) -> None:
        """Nothing."""
