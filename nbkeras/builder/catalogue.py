"""The layers that the builder offers, and what may stand in their main arguments, by Keras' signatures."""

from __future__ import annotations

import functools
import inspect
import math
from typing import Any

from nbkeras.builder.arguments import (
    Argument,
    Choice,
    EachWay,
    Flag,
    Number,
    Numbers,
    Perhaps,
    Sizes,
    UpTo,
    Value,
    Whole,
)
from nbkeras.errors import OptionError

#: By group, each layer with the arguments that it shows. One more layer is one more line.
OFFERED: dict[str, dict[str, str]] = {
    "core": {
        "Dense": "units activation use_bias",
        "Dropout": "rate",
        "Flatten": "",
        "Reshape": "target_shape",
        "Embedding": "input_dim output_dim mask_zero",
    },
    "convolution": {
        "Conv1D": "filters kernel_size strides padding activation use_bias",
        "Conv2D": "filters kernel_size strides padding activation use_bias",
    },
    "pooling": {
        "MaxPooling1D": "pool_size strides padding",
        "MaxPooling2D": "pool_size strides padding",
        "AveragePooling1D": "pool_size strides padding",
        "AveragePooling2D": "pool_size strides padding",
        "GlobalMaxPooling1D": "",
        "GlobalMaxPooling2D": "",
        "GlobalAveragePooling1D": "",
        "GlobalAveragePooling2D": "",
    },
    "sequence": {
        "LSTM": "units return_sequences dropout",
        "GRU": "units return_sequences dropout",
        "Bidirectional LSTM": "units return_sequences dropout",
        "Bidirectional GRU": "units return_sequences dropout",
    },
    "normalisation": {
        "BatchNormalization": "momentum epsilon",
        "LayerNormalization": "epsilon",
        "GroupNormalization": "groups epsilon",
    },
    "preprocessing": {
        "Normalization": "axis mean variance",
        "Discretization": "num_bins bin_boundaries output_mode",
        "StringLookup": "max_tokens num_oov_indices output_mode pad_to_max_tokens",
        "IntegerLookup": "max_tokens num_oov_indices output_mode pad_to_max_tokens",
        "CategoryEncoding": "num_tokens output_mode",
        "Hashing": "num_bins output_mode",
        "TextVectorization": "max_tokens standardize split ngrams output_mode "
        "output_sequence_length pad_to_max_tokens",
        "Rescaling": "scale offset",
        "Resizing": "height width interpolation crop_to_aspect_ratio pad_to_aspect_ratio",
        "CenterCrop": "height width",
    },
    "augmentation": {
        "RandomFlip": "mode",
        "RandomRotation": "factor",
        "RandomTranslation": "height_factor width_factor",
        "RandomZoom": "height_factor",
        "RandomContrast": "factor",
        "GaussianNoise": "stddev",
    },
}
#: The layer that knows the mean and the variance of what it is given.
NORMALIZATION = "Normalization"
#: Layers that change images; of what has another shape they would make one image of many rows.
IMAGES = frozenset(
    ["Resizing", "CenterCrop", *(kind for kind in OFFERED["augmentation"] if kind.startswith("Random"))]
)
#: Layers that take words.
WORDS = frozenset({"StringLookup", "Hashing", "TextVectorization"})
#: Layers that take whole numbers, and of words only what is named above.
WHOLE = frozenset({"IntegerLookup", "CategoryEncoding", "Hashing"})
#: Layers that are for the features themselves.
FOREMOST = frozenset({*OFFERED["preprocessing"]} - IMAGES)
KINDS = tuple(kind for group in OFFERED.values() for kind in group)

ACTIVATIONS = (
    None,
    "relu",
    "tanh",
    "sigmoid",
    "softmax",
    "elu",
    "gelu",
    "leaky_relu",
    "selu",
    "silu",
    "softplus",
    "linear",
)
#: What may stand in an argument that its default does not tell enough of.
_BY_NAME: dict[str, Argument] = {
    "activation": Choice(ACTIVATIONS),
    "padding": Choice(("valid", "same")),
    "rate": Number(end=1.0),
    "dropout": Number(end=1.0),
    "momentum": Number(end=1.0),
    "kernel_size": Sizes(),
    "pool_size": Sizes(),
    "strides": Sizes(empty=True),
    "target_shape": Sizes(least=-1, alone=False),
    "scale": Number(above=True),
    "offset": Number(-math.inf),
    "axis": Sizes(least=-1, empty=True),
    "mean": Numbers(),
    "variance": Numbers(least=0.0),
    "mode": Choice(("horizontal_and_vertical", "horizontal", "vertical")),
    **dict.fromkeys(("factor", "height_factor", "width_factor"), EachWay(end=1.0)),
    "stddev": Number(end=1.0),
    **dict.fromkeys(("num_tokens", "ngrams", "output_sequence_length"), Perhaps(Whole())),
    "max_tokens": Perhaps(Whole(2)),
    "bin_boundaries": Numbers(alone=False),
    "interpolation": Choice(("bilinear", "nearest", "bicubic", "lanczos3", "lanczos5")),
    "standardize": Choice((None, "lower_and_strip_punctuation", "lower", "strip_punctuation")),
    "split": Choice((None, "whitespace", "character")),
}
_COUNTS = ("one_hot", "multi_hot", "count")
#: The same for an argument of one layer, that other layers have, too.
_BY_LAYER: dict[str, dict[str, Argument]] = {
    "CategoryEncoding": {"output_mode": Choice(_COUNTS)},
    "Discretization": {"output_mode": Choice(("int", *_COUNTS)), "num_bins": Perhaps(Whole())},
    "Hashing": {"output_mode": Choice(("int", *_COUNTS))},
    "IntegerLookup": {"output_mode": Choice(("int", *_COUNTS, "tf_idf"))},
    "RandomContrast": {"factor": UpTo(end=1.0)},
    "StringLookup": {"output_mode": Choice(("int", *_COUNTS, "tf_idf"))},
    "TextVectorization": {"output_mode": Choice(("int", "multi_hot", "count", "tf_idf"))},
}
#: What stands in a required argument at first.
_FIRST: dict[str, Value] = {
    "units": 64,
    "filters": 32,
    "kernel_size": 3,
    "pool_size": 2,
    "rate": 0.5,
    "input_dim": 1000,
    "output_dim": 32,
    "target_shape": (-1,),
    "scale": 1 / 255,
    **dict.fromkeys(("factor", "height_factor", "width_factor", "stddev"), 0.1),
    **dict.fromkeys(("height", "width"), 180),
    "num_bins": 16,
}
#: What else a layer begins with.
_BEGINNING: dict[str, dict[str, Value]] = {
    "CategoryEncoding": {"num_tokens": 10},
    "Discretization": {"num_bins": 16},
    "TextVectorization": {"max_tokens": 10_000, "output_sequence_length": 64},
}


@functools.cache
def offered(kind: str) -> dict[str, Argument]:
    """The arguments that a layer shows, in the order of its signature.

    Raises:
        OptionError: there is no such layer.
    """
    for group in OFFERED.values():
        if kind in group:
            shown = group[kind].split()
            signature = _signature(kind).parameters
            return {
                name: _BY_LAYER.get(kind, {}).get(name) or _argument(name, one.default)
                for name, one in signature.items()
                if name in shown
            }
    raise OptionError(f"{kind!r} is no layer here: use one of {', '.join(KINDS)}")


def beginning(kind: str) -> dict[str, Value]:
    """The arguments of a layer that has just been added.

    Example:
        >>> beginning("Hashing"), beginning("Discretization")
        ({'num_bins': 16}, {'num_bins': 16})
    """
    required = set(offered(kind)) - set(defaults(kind))
    return {name: _FIRST[name] for name in required} | _BEGINNING.get(kind, {})


def _signature(kind: str) -> inspect.Signature:
    import keras

    return inspect.signature(getattr(keras.layers, kind.rsplit(maxsplit=1)[-1]))


@functools.cache
def defaults(kind: str) -> dict[str, Value]:
    """What Keras takes for arguments that are not given; required ones have none."""
    parameters = _signature(kind).parameters
    return {
        name: argument.read(name, parameters[name].default)
        for name, argument in offered(kind).items()
        if parameters[name].default is not inspect.Parameter.empty
    }


def _argument(name: str, default: Any) -> Argument:
    if name in _BY_NAME:
        return _BY_NAME[name]
    if isinstance(default, bool):
        return Flag()
    return Number() if isinstance(default, float) else Whole()
