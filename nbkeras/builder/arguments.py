"""Arguments of layers as a reader chooses them: what may stand in a field, and what it means."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Protocol

from nbkeras.errors import OptionError

Value = bool | int | float | str | tuple[int, ...] | None


class Argument(Protocol):
    """What may stand in the field of an argument."""

    def read(self, name: str, typed: object) -> Value:
        """The value that was chosen or typed.

        Raises:
            OptionError: it cannot be.
        """


@dataclass(frozen=True)
class Whole:
    """A whole number.

    Example:
        >>> Whole().read("units", " 64 ")
        64
    """

    least: int = 1

    def read(self, name: str, typed: object) -> int:
        """The number."""
        words = str(typed).strip()
        if not re.fullmatch(r"-?\d{1,12}", words) or int(words) < self.least:
            most = f" to {'9' * 12}" if re.fullmatch(r"\d{13,}", words) else ""
            raise OptionError(f"{name}={typed!r}: use a whole number from {self.least}{most}")
        return int(words)


@dataclass(frozen=True)
class Number:
    """A number from ``least`` on, or above it, and below ``end``."""

    least: float = 0.0
    end: float = math.inf
    above: bool = False

    def read(self, name: str, typed: object) -> float:
        """The number."""
        try:
            number = float(str(typed))
        except ValueError:
            number = math.nan
        if not self.least <= number < self.end or (self.above and number == self.least):
            below = "" if self.end == math.inf else f" and below {self.end:g}"
            begins = "above" if self.above else "from"
            raise OptionError(f"{name}={typed!r}: use a number {begins} {self.least:g}{below}")
        return number


@dataclass(frozen=True)
class Flag:
    """Yes or no."""

    def read(self, name: str, typed: object) -> bool:
        """Whether it is ticked."""
        if not isinstance(typed, bool):
            raise OptionError(f"{name}={typed!r}: use True or False")
        return typed


@dataclass(frozen=True)
class Choice:
    """One of several words, or none where None is one of them."""

    options: tuple[str | None, ...]

    def read(self, name: str, typed: object) -> str | None:
        """The word."""
        chosen = None if typed in (None, "", "none") else str(typed)
        if chosen not in self.options:
            raise OptionError(f"{name}={typed!r}: use one of {', '.join(map(str, self.options))}")
        return chosen


@dataclass(frozen=True)
class Sizes:
    """One whole number for all dimensions, or one for each.

    Example:
        >>> Sizes().read("kernel_size", "3, 5"), Sizes().read("kernel_size", "3")
        ((3, 5), 3)
    """

    least: int = 1
    alone: bool = True
    empty: bool = False

    def read(self, name: str, typed: object) -> int | tuple[int, ...] | None:
        """The number, or the tuple of them."""
        if isinstance(typed, (tuple, list)):
            words = [str(one) for one in typed]
        else:
            # As people write them: 3, 5 or 3 x 5 or (3, 5) or (3,).
            plain = str("" if typed is None else typed).strip().strip("()").removesuffix(",").strip()
            words = re.split(r"\s*[,x]\s*|\s+", plain) if plain else []
        if not words and self.empty:
            return None
        if not words or not all(re.fullmatch(r"-?\d{1,9}", one) and int(one) >= self.least for one in words):
            example = "3 or 3, 3" if self.alone else "8, 8, 1"
            raise OptionError(f"{name}={typed!r}: use whole numbers from {self.least}, such as {example}")
        sizes = tuple(map(int, words))
        return sizes[0] if self.alone and len(set(sizes)) == 1 else sizes
