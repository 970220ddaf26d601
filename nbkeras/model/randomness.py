"""Randomness: the generators that a model draws from, where it is looked at and where it trains."""

from __future__ import annotations

import contextlib
import random
import sys
import threading
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras.src.backend.common import global_state
from keras.src.random import seed_generator


def generators(model: Any) -> list[Any]:
    """Return the states of the generators that a model holds."""
    return [one for one in model.variables if one.path.endswith("seed_generator_state")]


@contextlib.contextmanager
def paused() -> Iterator[None]:
    """Let no generator advance: a call that only looks at a model must not change what its training draws.

    This holds for generators too that are made meanwhile, and for Keras' global one, in this thread: others
    may train meanwhile.

    Example:
        >>> import keras
        >>> from nbkeras.model import randomness
        >>> generator = keras.random.SeedGenerator(1)
        >>> with randomness.paused():
        ...     looked = keras.random.uniform((), seed=generator)
        >>> bool(looked == keras.random.uniform((), seed=generator))
        True
    """
    before, _thread.paused = getattr(_thread, "paused", False), True
    try:
        with _pausing:
            yield
    finally:
        _thread.paused = before


class _Pausing:
    """While any thread is within it, the generators of those that are paused stand still, and no others."""

    def __init__(self) -> None:
        self._lock, self._blocks, self._own = threading.Lock(), 0, keras.random.SeedGenerator.next

    def __enter__(self) -> None:
        with self._lock:
            if not self._blocks:
                self._own = keras.random.SeedGenerator.next
                keras.random.SeedGenerator.next = self._replaced()
            self._blocks += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._blocks -= 1
            if not self._blocks:
                keras.random.SeedGenerator.next = self._own

    def _replaced(self) -> Any:
        own = self._own

        def next_state(self: Any, *args: Any, **kwargs: Any) -> Any:
            if getattr(_thread, "paused", False):
                return self.state.value * 1
            return own(self, *args, **kwargs)

        return next_state


_thread, _pausing = threading.local(), _Pausing()


@contextlib.contextmanager
def restored(model: Any) -> Iterator[None]:
    """Put the generators of a built model, and Keras' global one, back to where they stood before the block.

    In contrast to :func:`paused`, two calls in the block draw different numbers.
    """
    seeds = generators(model)
    before, common = [keras.ops.convert_to_numpy(one.value).copy() for one in seeds], Common()
    state = common.state
    try:
        yield
    finally:
        for one, value in zip(seeds, before, strict=True):
            one.assign(value)
        common.state = state


@contextlib.contextmanager
def untouched() -> Iterator[None]:
    """Put the generators of Python, NumPy and torch back to where they stood before the block."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002  # the user's own
    torch: Any = sys.modules.get("torch")
    state = None if torch is None else torch.random.get_rng_state()
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
        if torch is not None:
            torch.random.set_rng_state(state)


class Common:
    """Keras' global generator, from which is drawn what has no seed, of the thread that makes this object.

    Keras makes that generator at its first draw, one for each thread.

    Example:
        >>> import keras
        >>> from nbkeras.model import randomness
        >>> common = randomness.Common()
        >>> before = common.state
        >>> first = keras.random.uniform(())
        >>> common.state = before
        >>> bool(first == keras.random.uniform(()))
        True
    """

    def __init__(self) -> None:
        self._attributes = vars(global_state.GLOBAL_STATE_TRACKER)

    def share(self) -> None:
        """Let this thread have Keras' settings and generator of the thread that made this object."""
        vars(global_state.GLOBAL_STATE_TRACKER).update(self._attributes)

    @property
    def state(self) -> list[int]:
        """The generator's state; before Keras makes it, the one that it would begin with."""
        made = self._attributes.get(seed_generator.GLOBAL_SEED_GENERATOR)
        if made is not None:
            state: list[int] = keras.ops.convert_to_numpy(made.state.value).tolist()
            return state
        before = random.getstate()
        first = seed_generator.make_default_seed()
        random.setstate(before)
        return [first, 0]

    @state.setter
    def state(self, state: list[int]) -> None:
        if state == self.state:
            return  # Nothing was drawn: Keras would not have made it either.
        name = seed_generator.GLOBAL_SEED_GENERATOR
        if self._attributes.get(name) is None:
            self._attributes[name] = keras.random.SeedGenerator()
        self._attributes[name].state.assign(state)
