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
        key: in the dict that the model was made with; empty where it was made with none.
        axes: the sizes of one row, None for one that is not fixed; None where nothing is known of them.
    """

    name: str
    shape: tuple[int, ...] | None
    dtype: str
    key: str = ""
    axes: tuple[int | None, ...] | None = None

    def __str__(self) -> str:
        shape = "of any shape" if self.shape is None else f"of shape {self.shape}"
        return f"'{self.key or self.name}' {shape}"


@dataclass(frozen=True)
class Signature:
    """The inputs and the output names of a model.

    Attributes:
        inputs: in the order in which Keras flattens them.
        outputs: names in the model's order; empty where they are not known.
        nested: how the model takes its inputs: ``x0``, ``x1``, … in dicts and tuples; None for a single one.
        open: whether the model takes any structure of inputs: it is not built, or has a ``call`` of its own.
    """

    inputs: tuple[Input, ...]
    outputs: tuple[str, ...] = ()
    nested: Any = None
    open: bool = False

    @property
    def names(self) -> tuple[tuple[str, ...], ...]:
        """The names by which all inputs may be given: by the keys of the model's dict, else by their own."""
        keys = tuple(one.key or one.name for one in self.inputs)
        own = tuple(one.name for one in self.inputs)
        return (keys,) if keys == own else (keys, own)

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
        return Signature((Input("x", None, keras.config.floatx()),), open=True)
    # As keras.Model(inputs=…) was given them; a Sequential model has one.
    given = getattr(model, "_inputs_struct", inputs[0] if len(inputs) == 1 else inputs)
    keys = _keys(given)
    taken = tuple(
        Input(one.name, _shape(one.shape), str(one.dtype), key, tuple(one.shape[1:]))
        for one, key in zip(keras.tree.flatten(given), keys, strict=True)
    )
    return Signature(taken, tuple(getattr(model, "output_names", ()) or ()), _nested(given))


def signature_of(x: Any, model: Signature) -> Signature:
    """The signature of a model that takes any structure of arrays, by one that it is given.

    Args:
        x: arrays in dicts, lists and tuples.
        model: an open signature.
    """
    import keras

    (only,) = model.inputs
    paths = [path for path, _ in keras.tree.flatten_with_path(x)]
    names = [only.name + "".join(f"[{part!r}]" for part in path) for path in paths]
    taken = (Input(name, None, only.dtype, key) for name, key in zip(names, _keys(x), strict=True))
    return Signature(tuple(taken), model.outputs, _nested(x))


def _keys(given: Any) -> list[str]:
    """The key of each part of a structure in its dict; all empty where these do not tell the parts apart."""
    import keras

    ends = [path[-1] if path else "" for path, _ in keras.tree.flatten_with_path(given)]
    keys = [one if isinstance(one, str) else "" for one in ends]
    return keys if len(set(keys)) == len(keys) else [""] * len(keys)


def _nested(given: Any) -> Any:
    """A structure with the names of fields in it, lists as tuples; None where it is a single part."""
    import keras

    fields = [f"x{index}" for index, _ in enumerate(keras.tree.flatten(given))]
    nested = _plain(keras.tree.pack_sequence_as(given, fields))
    return None if nested == "x0" else nested


def _plain(nested: Any) -> Any:
    """Dicts and tuples as Python's own: a layer such as ``FeatureSpace`` keeps others."""
    if isinstance(nested, dict):
        return {key: _plain(one) for key, one in nested.items()}
    return tuple(map(_plain, nested)) if isinstance(nested, (list, tuple)) else nested


def _shape(shape: Any) -> tuple[int, ...] | None:
    sizes = tuple(shape[1:])
    return None if any(size is None for size in sizes) else sizes
