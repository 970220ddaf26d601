"""Digits: how many of a number's digits say something."""

from __future__ import annotations

from typing import Any


def shortest(number: Any) -> float:
    """The number with as few digits as its type takes; a float of Python may come from 32 bits.

    Args:
        number: of Python or NumPy.

    Example:
        >>> shortest(0.0010000000474974513), shortest(0.1234)
        (0.001, 0.1234)
    """
    import numpy as np

    value = np.asarray(number)
    if value.dtype != np.float64:
        return float(str(value))
    short = float(str(np.float32(value)))
    return short if abs(short - value) <= 1e-7 * abs(value) else float(value)
