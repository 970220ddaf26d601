"""Operations: what Arrow and NumPy do in the place of a layer of Keras."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import pyarrow as pa

from nbkeras.data.preprocessing import checks
from nbkeras.data.preprocessing.graph import Operation
from nbkeras.data.preprocessing.layer import Layer
from nbkeras.data.preprocessing.lookup import Lookup
from nbkeras.data.preprocessing.shapes import Cast, Concatenate, Discretize, Reshape
from nbkeras.data.preprocessing.text import Tokens, Vectorize
from nbkeras.model import pickling

#: Layers, and functions of ``keras.ops``, that change the shape of a row alone.
_RESHAPES = ("Reshape", "Flatten", "ExpandDims", "Squeeze", "Identity", "TFDIdentity")


def operation(called: Any, arguments: Any, takes: Sequence[Any], gives: Sequence[Any]) -> Operation:
    """Return what does the work of a layer, or of a function of ``keras.ops``: itself if need be.

    Args:
        called: the layer or function.
        arguments: its arguments and keyword arguments, with a :class:`Place` for each tensor.
        takes: the tensors (``KerasTensor``) that it takes.
        gives: those that it gives.

    Raises:
        ModelError: it cannot be computed for each row alone, or lacks its vocabulary.
    """
    checks.require(called, takes, gives)
    if len(gives) == 1 and (made := _in_arrow(called) or _of_shape(called, takes, gives[0])):
        return made
    backend = keras.config.backend()
    words = any(one.dtype == "string" for one in (*takes, *gives))
    needs = "tensorflow" if words or isinstance(called, checks.LOOKUPS) else backend
    return Layer(checks.title(called), _pickled(called, arguments), backend, needs)


def _pickled(called: Any, arguments: Any) -> bytes:
    """Pickle a layer without its calls, by which it holds all layers of the model with their weights."""
    calls = {name: vars(called)[name] for name in ("_inbound_nodes", "_outbound_nodes")}
    try:
        vars(called).update({name: [] for name in calls})
        return pickling.dumps((called, *arguments))
    finally:
        vars(called).update(calls)


def _in_arrow(layer: Any) -> Operation | None:
    # A subclass may have a call of its own.
    if type(layer) in (keras.layers.StringLookup, keras.layers.IntegerLookup):
        return _lookup(layer)
    if type(layer) is keras.layers.TextVectorization:
        return _vectorize(layer)
    if type(layer) is keras.layers.Discretization and layer.output_mode == "int":
        return Discretize(tuple(layer.bin_boundaries))
    return None


def _of_shape(called: Any, takes: Sequence[Any], output: Any) -> Operation | None:
    if not type(called).__module__.startswith("keras."):
        return None
    name, shape = type(called).__name__, output.shape[1:]
    # On another axis, values do not lie side by side.
    if type(called) is keras.layers.Concatenate and len(shape) and called.axis in (-1, len(shape)):
        return Concatenate(str(output.dtype))
    if name in _RESHAPES and None not in shape and takes[0].shape[:1] == output.shape[:1]:
        sized = None not in takes[0].shape[1:] and np.prod(takes[0].shape[1:]) == np.prod(shape)
        moved = getattr(called, "data_format", None) == "channels_first"
        return Reshape(tuple(shape)) if sized and not moved else None
    if name == "Cast" and output.dtype not in ("string", "bfloat16"):
        return Cast(str(output.dtype))
    return None


def _lookup(layer: Any) -> Lookup | None:
    words = layer.vocabulary_dtype == "string"
    hashed = layer.num_oov_indices > 1 and (words or layer.oov_method != "floormod")
    if layer.invert or hashed:
        return None
    # Its get_vocabulary() drops zeros at the end of a word, and decodes what is no UTF-8.
    tokens, indices = (one.numpy() for one in layer.lookup_table.export())
    ordered = tokens[np.argsort(indices)]
    mask = layer.mask_token
    return Lookup(
        checks.title(layer),
        pa.array(ordered.tolist(), pa.binary()) if words else pa.array(ordered),
        pa.scalar(mask.encode(), pa.binary()) if words and mask is not None else mask,
        layer.num_oov_indices,
        layer.output_mode,
        (layer.max_tokens if layer.pad_to_max_tokens else layer.vocabulary_size()) or 0,
        layer.idf_weights_const.numpy() if layer.output_mode == "tf_idf" else None,
    )


def tokens_of(layer: Any) -> Tokens | None:
    """Return what cuts sentences as a ``TextVectorization`` does; None where its own functions do.

    Args:
        layer: a ``TextVectorization``, whose settings are not public.
    """
    standardize, split = layer._standardize, layer._split  # noqa: SLF001
    own = any(callable(one) for one in (standardize, split))
    return None if own or layer._ngrams is not None else Tokens(standardize, split)  # noqa: SLF001


def _vectorize(layer: Any) -> Vectorize | None:
    tokens, lookup = tokens_of(layer), _lookup(layer._lookup_layer)  # noqa: SLF001
    if tokens is None or lookup is None:
        return None
    return Vectorize(tokens, lookup, layer._output_sequence_length or 0)  # noqa: SLF001
