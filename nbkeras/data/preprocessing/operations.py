"""Operations: what Arrow and NumPy do in the place of a layer of Keras."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pyarrow as pa

from nbkeras.data.preprocessing.graph import Operation
from nbkeras.data.preprocessing.layer import Layer
from nbkeras.data.preprocessing.lookup import Lookup
from nbkeras.data.preprocessing.shapes import Cast, Concatenate, Discretize, Reshape
from nbkeras.data.preprocessing.text import Tokens, Vectorize
from nbkeras.errors import ModelError
from nbkeras.model import pickling

#: Layers, and functions of ``keras.ops``, that change the shape of a row alone.
_RESHAPES = ("Reshape", "Flatten", "ExpandDims", "Squeeze", "Identity", "TFDIdentity")


def operation(called: Any, output: Any, *, listed: bool) -> Operation:
    """Return what does the work of a layer, or of a function of ``keras.ops``: the layer itself if need be.

    Args:
        called: the layer.
        output: the ``KerasTensor`` that it gives.
        listed: whether it takes a list.

    Raises:
        ModelError: it is no layer, and nothing else can do its work.
    """
    if made := _in_arrow(called) or _of_shape(called, output):
        return made
    title = f"{type(called).__name__} '{called.name}'"
    if isinstance(called, keras.Layer):
        return Layer(title, pickling.dumps(called), keras.config.backend(), listed)
    raise ModelError(
        f"{title} stands before a lookup or text layer, where only layers can: put it into a "
        "keras.layers.Lambda"
    )


def _in_arrow(layer: Any) -> Operation | None:
    if isinstance(layer, (keras.layers.StringLookup, keras.layers.IntegerLookup)):
        return _lookup(layer)
    if isinstance(layer, keras.layers.TextVectorization):
        return _vectorize(layer)
    if isinstance(layer, keras.layers.Discretization) and layer.output_mode == "int":
        return Discretize(tuple(layer.bin_boundaries))
    return None


def _of_shape(called: Any, output: Any) -> Operation | None:
    shape = tuple(-1 if size is None else size for size in output.shape[1:])
    if isinstance(called, keras.layers.Concatenate) and called.axis in (-1, len(shape)):
        return Concatenate()
    if type(called).__name__ in _RESHAPES and shape.count(-1) < 2:
        return Reshape(shape)
    if type(called).__name__ == "Cast" and output.dtype != "string":
        return Cast(str(output.dtype))
    return None


def _lookup(layer: Any) -> Lookup | None:
    words = layer.vocabulary_dtype == "string"
    hashed = layer.num_oov_indices > 1 and (words or layer.oov_method != "floormod")
    if layer.invert or layer.sparse or hashed:
        return None
    vocabulary = layer.get_vocabulary(include_special_tokens=False)
    idf = layer.idf_weights.numpy() if layer.output_mode == "tf_idf" else None
    depth = layer.max_tokens if layer.pad_to_max_tokens else layer.vocabulary_size()
    return Lookup(
        f"{type(layer).__name__} '{layer.name}'",
        pa.array([str(one) for one in vocabulary] if words else np.asarray(vocabulary, np.int64)),
        layer.mask_token,
        layer.num_oov_indices,
        layer.output_mode,
        depth or 0,
        idf,
    )


def tokens_of(layer: Any) -> Tokens | None:
    """Return what cuts sentences as a ``TextVectorization`` does; None where its own functions do.

    Args:
        layer: a ``TextVectorization``, whose settings are not public.
    """
    standardize, split = layer._standardize, layer._split  # noqa: SLF001
    own = any(callable(one) for one in (standardize, split))
    if own or layer._ngrams is not None or layer._encoding != "utf-8":  # noqa: SLF001
        return None
    return Tokens(standardize, split)


def _vectorize(layer: Any) -> Vectorize | None:
    tokens, lookup = tokens_of(layer), _lookup(layer._lookup_layer)  # noqa: SLF001
    if tokens is None or lookup is None or layer._ragged:  # noqa: SLF001
        return None
    return Vectorize(tokens, lookup, layer._output_sequence_length or 0)  # noqa: SLF001
