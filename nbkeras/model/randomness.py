"""Randomness: the generators that a model draws from, while it is looked at."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any
from unittest import mock

import keras


@contextlib.contextmanager
def paused() -> Iterator[None]:
    """Let no generator advance: a call that only looks at a model must not change what its training draws.

    This holds for generators too that are made meanwhile, and for Keras' global one.

    Example:
        >>> import keras
        >>> from nbkeras.model import randomness
        >>> generator = keras.random.SeedGenerator(1)
        >>> with randomness.paused():
        ...     looked = keras.random.uniform((), seed=generator)
        >>> bool(looked == keras.random.uniform((), seed=generator))
        True
    """

    def next_state(self: Any, ordered: bool = True) -> Any:  # noqa: ARG001  # as Keras calls it
        return self.state.value * 1

    with mock.patch.object(keras.random.SeedGenerator, "next", next_state):
        yield
