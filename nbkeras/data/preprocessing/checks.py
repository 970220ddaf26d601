"""Checks: refuse what a model does before its trained part, where it cannot be done for each row alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from nbkeras.errors import ModelError

#: Layers that need TensorFlow on every backend: they are done before the rows reach a model.
LOOKUPS = (
    keras.layers.StringLookup,
    keras.layers.IntegerLookup,
    keras.layers.TextVectorization,
    keras.layers.Hashing,
    keras.layers.HashedCrossing,
)
_COUNTED = ("multi_hot", "count", "tf_idf")


def title(called: Any) -> str:
    """Name a layer, or a function of ``keras.ops``, in messages."""
    return f"{type(called).__name__} '{called.name}'"


def mode(layer: Any) -> str:
    """The ``output_mode`` of a lookup, hashing or text layer, which the latter keeps for itself."""
    return str(getattr(layer, "output_mode", getattr(layer, "_output_mode", "")))


def require(called: Any, takes: Sequence[Any], gives: Sequence[Any]) -> None:
    """Check that the rows can go through a layer, or a function of ``keras.ops``, before the training.

    Args:
        called: the layer or function.
        takes: the tensors (``KerasTensor``) that it takes.
        gives: those that it gives.

    Raises:
        ModelError: it has weights, mixes rows, lacks its vocabulary or takes other values.
    """
    if getattr(called, "variables", None):
        raise ModelError(
            f"{title(called)} has weights or a random state, and a lookup, hashing or text layer stands in "
            "it or behind it: put these before all layers with weights, or do its work in the DataFrame"
        )
    if isinstance(called, LOOKUPS):
        _require_vocabulary(called)
        _require_values(called, takes[0])
        _require_shape(called, tuple(takes[0].shape[1:]))
    if isinstance(called, keras.layers.Discretization) and called.bin_boundaries is None:
        raise ModelError(f"{title(called)} has no boundaries: call its adapt(…) before")
    if any(one.shape[:1] != takes[0].shape[:1] for one in gives):
        raise ModelError(f"{title(called)} mixes the rows of a batch: give its rows the shape (1,) before it")


def require_field(tensor: Any, shape: tuple[int | None, ...]) -> None:
    """Check that the trained part of a model can be given a tensor.

    Args:
        tensor: (``KerasTensor``) that the trained part takes.
        shape: of one row of it.

    Raises:
        ModelError: its rows are of any length, or it has a mask.
    """
    made = title(tensor._keras_history.operation)  # noqa: SLF001  # Keras says it nowhere else
    if None in shape:
        raise ModelError(
            f"{made} gives rows of any length: give TextVectorization output_sequence_length=…, "
            "or a lookup its vocabulary before it is called, or keras.Input a shape of numbers"
        )
    if getattr(tensor, "_keras_mask", None) is not None:
        raise ModelError(
            f"{made} makes a mask before the trained part of the model, where masks are lost: "
            "let keras.layers.Embedding(mask_zero=True) make it"
        )


def _table(layer: Any) -> Any:
    """The lookup layer in a text layer, or the layer itself."""
    return getattr(layer, "_lookup_layer", layer)


def _require_vocabulary(layer: Any) -> None:
    table = getattr(_table(layer), "lookup_table", None)
    if table is not None and not int(table.size()):
        raise ModelError(
            f"{title(layer)} has no vocabulary: call its adapt(…) before, or give it vocabulary=…"
        )
    if getattr(layer, "_ragged", False):
        raise ModelError(f"{title(layer)} gives rows of any length: give it ragged=False")


def _require_values(layer: Any, taken: Any) -> None:
    # Of what other layers give, Keras does not say that it holds words.
    from_input = isinstance(taken._keras_history.operation, keras.layers.InputLayer)  # noqa: SLF001
    if isinstance(layer, (keras.layers.Hashing, keras.layers.HashedCrossing)) or not from_input:
        return
    whole = isinstance(layer, keras.layers.IntegerLookup) or _table(layer).invert
    if whole == (taken.dtype == "string"):
        takes, other = ("numbers", "StringLookup") if whole else ("words", "IntegerLookup")
        raise ModelError(
            f"{title(layer)} takes {takes}, and is given values of type {taken.dtype}: use {other}, or "
            f"give the input keras.Input(…, dtype='{'int64' if whole else 'string'}')"
        )


def _require_shape(layer: Any, shape: tuple[int | None, ...]) -> None:
    """Refuse rows of which Keras gives another shape than it says, or one that other rows change."""
    advice, fits = "", True
    if isinstance(layer, keras.layers.TextVectorization):
        splits = layer._split is not None  # noqa: SLF001  # not public
        fits = shape in ((), (1,)) if splits else len(shape) == 1
        advice = "keras.Input((), dtype='string')" if splits else "keras.Input((1,), dtype='string')"
        if mode(layer) == "one_hot":
            raise ModelError(f"{title(layer)} gives no one_hot of sentences: give it output_mode='multi_hot'")
    elif mode(layer) in _COUNTED:
        fits = len(shape) == 1
        advice = f"keras.layers.Reshape(({'1' if not shape else '-1'},)) before it"
    elif mode(layer) == "one_hot" and isinstance(layer, keras.layers.Hashing):
        fits = shape == (1,)
        advice = "output_mode='int', and keras.layers.CategoryEncoding behind it"
    if not fits:
        raise ModelError(f"{title(layer)} cannot take rows of shape {shape} one by one: use {advice}")
