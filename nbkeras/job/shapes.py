"""Shapes of JSON: what a value from a file must look like before anybody counts on it.

A shape is a function that says whether a value has it. Files may have been
written by anybody, so everything that is read from one is held against a shape.

Example:
    >>> from nbkeras.job.shapes import items, record, whole
    >>> told = record(rows=whole(0), counts=items(whole(1, 9)))
    >>> told({"rows": 3, "counts": [1, 2]}), told({"rows": True, "counts": []}), told([3])
    (True, False, False)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

Shape = Callable[[Any], bool]


def text(value: Any) -> bool:
    """A string."""
    return isinstance(value, str)


def flag(value: Any) -> bool:
    """True or false."""
    return isinstance(value, bool)


def number(value: Any) -> bool:
    """A number, also one that is not finite."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def none(value: Any) -> bool:
    """Nothing."""
    return value is None


def whole(least: float = -math.inf, most: float = math.inf) -> Shape:
    """A whole number within bounds, both included."""
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def within(least: float, most: float) -> Shape:
    """A number within bounds, both included."""
    return lambda value: number(value) and least <= value <= most


def items(each: Shape) -> Shape:
    """A list of any length."""
    return lambda value: isinstance(value, list) and all(map(each, value))


def several(*each: Shape) -> Shape:
    """A list with just these."""
    return lambda value: (
        isinstance(value, list)
        and len(value) == len(each)
        and all(fits(one) for fits, one in zip(each, value, strict=True))
    )


def mapping(each: Shape) -> Shape:
    """An object with any names."""
    return lambda value: isinstance(value, dict) and all(map(each, value.values()))


def record(**fields: Shape) -> Shape:
    """An object that has at least these names."""
    return lambda value: (
        isinstance(value, dict) and all(name in value and fits(value[name]) for name, fits in fields.items())
    )


def partial(**fields: Shape) -> Shape:
    """An object in which each of these names may be missing."""
    return lambda value: (
        isinstance(value, dict) and all(fits(value[name]) for name, fits in fields.items() if name in value)
    )


def either(*shapes: Shape) -> Shape:
    """One of several shapes."""
    return lambda value: any(fits(value) for fits in shapes)


def nested(each: Shape) -> Shape:
    """A value, or lists of such, however deep."""

    def fits(value: Any) -> bool:
        return all(map(fits, value)) if isinstance(value, list) else each(value)

    return fits


def tree(each: Shape) -> Shape:
    """A value, or lists and objects of such, however deep."""

    def fits(value: Any) -> bool:
        if isinstance(value, dict):
            return all(map(fits, value.values()))
        return all(map(fits, value)) if isinstance(value, list) else each(value)

    return fits
