"""Pickling of Keras objects on each backend: one module per backend, all with the same functions.

Attributes that a backend adds for itself are not sent; the process that receives the object makes them.
"""

from __future__ import annotations

import importlib
from typing import Any, Protocol, cast

import keras


class Backend(Protocol):
    """The functions of each module."""

    def widen(self) -> None:
        """Allow 64-bit numbers, on a backend that does not support them by default."""

    def held(self, thing: Any) -> dict[str, Any]:
        """Return the attributes of a Keras object that are the same on every backend."""

    def hold(self, thing: Any, attributes: dict[str, Any]) -> None:
        """Set the attributes of a blank Keras object, and the backend's own."""

    def reduced(self, thing: Any) -> tuple[Any, ...] | None:
        """Return how to pickle an object of the backend, or None for the usual way."""


def load() -> Backend:
    """Return the module for the backend that Keras runs on in this process."""
    return cast("Backend", importlib.import_module(f"{__name__}.{keras.config.backend()}"))


def fresh(thing: Any) -> dict[str, Any]:
    """Return the attributes of a new Keras object of the same class, among them the backend's own."""
    new: Any = None
    if isinstance(thing, keras.Model):
        new = keras.Model(name="fresh")
    elif isinstance(thing, keras.Layer):
        new = keras.Layer(name="fresh")
    elif isinstance(thing, keras.optimizers.Optimizer):
        new = keras.optimizers.Optimizer(0.0)
    return {} if new is None else dict(vars(new))


def tensor(array: Any, dtype: str) -> Any:
    """Make a tensor of this process's backend."""
    return keras.ops.convert_to_tensor(array, dtype)
