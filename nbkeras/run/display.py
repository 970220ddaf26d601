"""Protocols of displays, which show a run, and of hosts, which have displays."""

from __future__ import annotations

from typing import Protocol

from nbkeras.run.run import Run


class Display(Protocol):
    """Shows a run while it trains and when it has ended."""

    def update(self) -> None:
        """Show the current state of the run; called about four times a second."""

    def finish(self) -> None:
        """Show the final state."""


class Host(Protocol):
    """The environment that shows runs, such as Jupyter."""

    def display(self, run: Run) -> Display:
        """Make a display for a run that has just begun."""

    def headless(self) -> bool:
        """Whether everything must end with the cell."""

    def code(self) -> str | None:
        """Return the source of the running cell, as it was typed; None without a cell."""


class Silent:
    """Shows nothing: a host and a display."""

    def display(self, run: Run) -> Display:
        """Return itself."""
        return self

    def headless(self) -> bool:
        """Return False: no output could be lost."""
        return False

    def code(self) -> str | None:
        """Return None: there are no cells."""
        return None

    def update(self) -> None:
        """Do nothing."""

    def finish(self) -> None:
        """Do nothing."""
