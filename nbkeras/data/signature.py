"""Signature of a model: names, shapes and types of its inputs, and names of its outputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Input:
    """One input of a model.

    Attributes:
        name: as in ``keras.Input(name=…)``.
        shape: of one row; None where a size is not fixed.
        dtype: NumPy name of its type.
    """

    name: str
    shape: tuple[int, ...] | None
    dtype: str

    def __str__(self) -> str:
        shape = "of any shape" if self.shape is None else f"of shape {self.shape}"
        return f"'{self.name}' {shape}"


@dataclass(frozen=True)
class Signature:
    """The inputs and the output names of a model.

    Attributes:
        inputs: in the model's order.
        outputs: names in the model's order; empty where they are not known.
    """

    inputs: tuple[Input, ...]
    outputs: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "the model takes " + ", ".join(str(one) for one in self.inputs)


def signature(model: Any) -> Signature:
    """Return the signature of a Keras model; one that is not built yet has one input of any shape.

    Example:
        >>> import keras
        >>> from nbkeras.data.signature import signature
        >>> print(signature(keras.Sequential([keras.Input((4,), name="iris"), keras.layers.Dense(3)])))
        the model takes 'iris' of shape (4,)
    """
    import keras

    inputs = getattr(model, "inputs", None)
    if not inputs:
        return Signature((Input("x", None, keras.config.floatx()),))
    taken = tuple(Input(one.name, _shape(one.shape), str(one.dtype)) for one in inputs)
    return Signature(taken, tuple(getattr(model, "output_names", ()) or ()))


def _shape(shape: Any) -> tuple[int, ...] | None:
    sizes = tuple(shape[1:])
    return None if any(size is None for size in sizes) else sizes
