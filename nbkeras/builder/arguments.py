"""Arguments of layers as a reader chooses them: what may stand in a field, and what it means."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Protocol

from nbkeras.errors import OptionError

Value = bool | int | float | str | tuple[int, ...] | tuple[float, ...] | None


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
    """A number from ``least`` on, or above it, and below ``end``.

    Example:
        >>> Number().read("scale", "1 / 4")
        0.25
    """

    least: float = 0.0
    end: float = math.inf
    above: bool = False

    def read(self, name: str, typed: object) -> float:
        """The number."""
        number = _number(str(typed))
        fits = math.isfinite(number) and self.least <= number < self.end
        if not fits or (self.above and number == self.least):
            below = "" if self.end == math.inf else f" and below {self.end:g}"
            begins = "above" if self.above else "from"
            least = "" if self.least == -math.inf else f" {begins} {self.least:g}"
            raise OptionError(f"{name}={typed!r}: use a number{least}{below}")
        return number


class EachWay(Number):
    """A number for both ways, which Keras keeps as a pair.

    Example:
        >>> EachWay().read("factor", (-0.1, 0.1))
        0.1
    """

    def read(self, name: str, typed: object) -> float:
        """The number."""
        if isinstance(typed, (tuple, list)) and len(typed) == 2 and typed[0] == -typed[1]:
            typed = typed[1]
        return super().read(name, typed)


class UpTo(Number):
    """A number up to which Keras draws, which it keeps as a pair.

    Example:
        >>> UpTo().read("factor", (0, 0.1))
        0.1
    """

    def read(self, name: str, typed: object) -> float:
        """The number."""
        if isinstance(typed, (tuple, list)) and len(typed) == 2 and typed[0] == 0:
            typed = typed[1]
        return super().read(name, typed)


@dataclass(frozen=True)
class Numbers:
    """One number for all features, or one for each; or none.

    Example:
        >>> Numbers().read("mean", "0.5, -2"), Numbers().read("mean", "3"), Numbers().read("mean", "")
        ((0.5, -2.0), 3.0, None)
    """

    least: float = -math.inf
    alone: bool = True

    def read(self, name: str, typed: object) -> float | tuple[float, ...] | None:
        """The number, or the tuple of them."""
        numbers = tuple(map(_number, _words(typed)))
        if not all(math.isfinite(one) and self.least <= one for one in numbers):
            from_ = "" if self.least == -math.inf else f" from {self.least:g}"
            raise OptionError(f"{name}={typed!r}: use numbers{from_}, such as 0.5 or 0.5, 2")
        if not numbers:
            return None
        is_one = self.alone and len(numbers) == 1 and not isinstance(typed, (tuple, list))
        return numbers[0] if is_one else numbers


@dataclass(frozen=True)
class Perhaps:
    """What another argument may be, or nothing.

    Example:
        >>> Perhaps(Whole()).read("max_tokens", "100"), Perhaps(Whole()).read("max_tokens", "")
        (100, None)
    """

    argument: Argument

    def read(self, name: str, typed: object) -> Value:
        """The value, or None."""
        return None if str(typed).strip() in ("", "None") else self.argument.read(name, typed)


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
        words = _words(typed)
        if not words and self.empty:
            return None
        if not words or not all(re.fullmatch(r"-?\d{1,9}", one) and int(one) >= self.least for one in words):
            example = "3 or 3, 3" if self.alone else "8, 8, 1"
            raise OptionError(f"{name}={typed!r}: use whole numbers from {self.least}, such as {example}")
        sizes = tuple(map(int, words))
        return sizes[0] if self.alone and len(set(sizes)) == 1 else sizes


def _number(words: str) -> float:
    """A number as people write it; NaN where it is none."""
    above, slash, below = words.partition("/")
    try:
        return float(above) / float(below) if slash else float(above)
    except (ValueError, ZeroDivisionError):
        return math.nan


def _words(typed: object) -> list[str]:
    """Numbers, and what people write for them: 3, 5 or 3 x 5 or (3, 5) or (3,)."""
    if isinstance(typed, (tuple, list)):
        return list(map(str, typed))
    plain = str("" if typed is None else typed).strip().strip("()").removesuffix(",").strip()
    return re.split(r"\s*[,x]\s*|\s+", plain) if plain else []
