"""Places: where each value of a task was written, so that a fault can say it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from nbkeras.errors import TaskError

#: The keys and positions that lead to a value.
Place = tuple[str | int, ...]


class Wrong(ValueError):
    """A value of a part cannot be.

    Args:
        key: of the value, in the part that is looked at; several behind each other with dots between.
        words: what was received, and what to write.
    """

    def __init__(self, key: str, words: str) -> None:
        super().__init__(words)
        self.keys: tuple[str, ...] = tuple(key.split("."))


@dataclass(frozen=True)
class Places:
    """Where the values of a task stand; all are equal, as a task is what it says and not where.

    Attributes:
        file: the name of the YAML file; empty for a task that was made in Python.
        lines: by place, from 1.
        changes: by place, what was typed on the command line in place of the file's value.

    Example:
        >>> places = Places("task.yaml", {("data",): 2, ("data", "y"): 4})
        >>> places.named(("data", "y")), places.named(("data", "training"))
        ('task.yaml:4: data.y', 'task.yaml:2: data.training')
    """

    file: str = field(default="", compare=False)
    lines: Mapping[Place, int] = field(default_factory=dict, compare=False)
    changes: Mapping[Place, str] = field(default_factory=dict, compare=False)

    def named(self, place: Place) -> str:
        """Name a place as a fault does.

        Args:
            place: keys and positions.
        """
        words = dotted(place)
        if self.is_changed(place):
            return f"--set {words}"
        if not self.file:
            return words
        return ": ".join(filter(None, [f"{self.file}:{self.line(place)}", words]))

    def is_changed(self, place: Place) -> bool:
        """Whether the value of a place, or what it is in, was typed on the command line.

        Args:
            place: keys and positions.
        """
        return any(one in self.changes for one in _with_parents(place))

    def line(self, place: Place) -> int:
        """Return the line of a place, or of what it would be in; 0 for a change.

        Args:
            place: keys and positions.
        """
        if self.is_changed(place):
            return 0
        return next((self.lines[one] for one in _with_parents(place) if one in self.lines), 1)

    def fault(self, place: Place, words: str) -> TaskError:
        """Make the error of one fault.

        Args:
            place: keys and positions.
            words: what was received, and what to write.
        """
        return TaskError([": ".join(filter(None, [self.named(place), words]))])


def _with_parents(place: Place) -> list[Place]:
    return [place[:length] for length in range(len(place), -1, -1)]


def dotted(place: Place) -> str:
    """Write a place as ``--set`` takes it.

    Example:
        >>> dotted(("data", "features", 1))
        'data.features[1]'
    """
    words = "".join(f"[{one}]" if isinstance(one, int) else f".{one}" for one in place)
    return words.removeprefix(".")
