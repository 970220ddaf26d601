"""Keras objects that leave their process, on each backend: one module each, all with the same functions.

What a backend keeps in an object for itself stays behind, and is made new where the object arrives.
"""

from __future__ import annotations

import importlib
from typing import Any, Protocol, cast

import keras


class Backend(Protocol):
    """What each module offers."""

    def widen(self) -> None:
        """Compute in 64 bits where the model asks for it, also on a backend that does not by itself."""

    def held(self, thing: Any) -> dict[str, Any]:
        """The attributes of a Keras object that any backend understands."""

    def hold(self, thing: Any, attributes: dict[str, Any]) -> None:
        """Give a blank Keras object its attributes, and those that the backend has for itself."""

    def reduced(self, thing: Any) -> tuple[Any, ...] | None:
        """How a thing of the backend's own is pickled, or None if as any other."""


def load() -> Backend:
    """The module of the backend that Keras runs on in this process."""
    return cast("Backend", importlib.import_module(f"{__name__}.{keras.config.backend()}"))


def fresh(thing: Any) -> dict[str, Any]:
    """The attributes of a new Keras object of the same sort: of them the backend's own are wanted."""
    new: Any = None
    if isinstance(thing, keras.Model):
        new = keras.Model(name="fresh")
    elif isinstance(thing, keras.Layer):
        new = keras.Layer(name="fresh")
    elif isinstance(thing, keras.optimizers.Optimizer):
        new = keras.optimizers.Optimizer(0.0)
    return {} if new is None else dict(vars(new))


def tensor(array: Any, dtype: str) -> Any:
    """A tensor of this process's backend."""
    return keras.ops.convert_to_tensor(array, dtype)
