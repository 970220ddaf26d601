"""The layers that the builder offers, with their main arguments as Keras' own signatures have them."""

from __future__ import annotations

import contextlib
import functools
import inspect
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from nbkeras.builder.arguments import Argument, Choice, EachWay, Flag, Number, Numbers, Sizes, Value, Whole
from nbkeras.errors import ModelError, OptionError, one_line
from nbkeras.model import code
from nbkeras.model.code import Piece

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
        "Rescaling": "scale offset",
    },
    "augmentation": {
        "RandomFlip": "mode",
        "RandomRotation": "factor",
        "RandomTranslation": "height_factor width_factor",
        "RandomZoom": "height_factor",
        "GaussianNoise": "stddev",
    },
}
#: The layer that knows the mean and the variance of what it is given.
NORMALIZATION = "Normalization"
#: Layers that change images at random; of what has another shape they would make one image of many rows.
IMAGES = frozenset(kind for kind in OFFERED["augmentation"] if kind.startswith("Random"))
#: Layers that are for the features themselves.
FOREMOST = frozenset({*OFFERED["preprocessing"]})
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
}
_WRAPPER = "Bidirectional"
#: Characters of an argument that is said in short.
_LONGEST = 24


@dataclass(frozen=True)
class Layer:
    """One layer of a network, as it was chosen.

    Attributes:
        kind: one of :data:`KINDS`.
        arguments: those that differ from Keras' defaults.

    Raises:
        OptionError: there is no such layer or argument, or it cannot have that value.

    Example:
        >>> Layer("Dense", {"units": 64, "activation": "relu"}).code()
        'keras.layers.Dense(64, activation="relu")'
        >>> Layer("Bidirectional LSTM", {"units": 8}).code()
        'keras.layers.Bidirectional(keras.layers.LSTM(8))'
    """

    kind: str
    arguments: Mapping[str, Value] = field(default_factory=dict)

    def __post_init__(self) -> None:
        known, defaults = offered(self.kind), self.defaults()
        read = {}
        for name, typed in self.arguments.items():
            if name not in known:
                raise OptionError(
                    f"{self.kind} has no {name} here: it has {', '.join(known) or 'no arguments'}"
                )
            value = known[name].read(name, typed)
            if name not in defaults or value != defaults[name]:
                read[name] = value
        if missing := [name for name in known if name not in defaults and name not in read]:
            raise OptionError(f"{self.kind} needs {missing[0]}")
        # In the order of the signature, so that two that say the same are equal in print, too.
        object.__setattr__(self, "arguments", {name: read[name] for name in known if name in read})

    @classmethod
    def first(cls, kind: str) -> Self:
        """The layer as it is when it has just been added."""
        required = set(offered(kind)) - set(_defaults(kind))
        return cls(kind, {name: _FIRST[name] for name in required})

    @classmethod
    def of(cls, layer: Any) -> Self:
        """A layer of a model made by hand.

        Raises:
            ModelError: the builder does not offer it, or not all that it was given.
        """
        import keras

        inner, kind = layer, type(layer).__name__
        if kind == _WRAPPER:
            inner = layer.forward_layer
            kind = f"{_WRAPPER} {type(inner).__name__}"
        if kind not in KINDS or type(inner) is not getattr(keras.layers, kind.rsplit(maxsplit=1)[-1]):
            raise ModelError(f"layer {layer.name!r} is a {kind}: the builder knows {', '.join(KINDS)}")
        try:
            config, described = inner.get_config(), _described(layer)
            found = cls(kind, {name: config[name] for name in offered(kind)})
        except Exception as error:
            raise ModelError(
                f"layer {layer.name!r} ({kind}) has what the builder does not show: {one_line(error)}"
            ) from error
        other = _described(evaluated(found.code()))
        for name, value in described.items():
            if other[name] != value:
                shown = value.get("class_name", value) if isinstance(value, dict) else value
                raise ModelError(
                    f"layer {layer.name!r} ({kind}) has {name}={shown!r}, which the builder does not show"
                )
        return found._shortest(described)

    def _shortest(self, described: dict[str, Any]) -> Self:
        """The same layer without what goes without saying, as strides that are the size of the pool."""
        for name in self.arguments.keys() & self.defaults().keys():
            rest = {key: value for key, value in self.arguments.items() if key != name}
            shorter = type(self)(self.kind, rest)
            with contextlib.suppress(ValueError):  # as where Keras takes two of its arguments or none
                if _described(evaluated(shorter.code())) == described:
                    return shorter._shortest(described)  # noqa: SLF001  # its own kind
        return self

    def defaults(self) -> dict[str, Value]:
        """What Keras takes for arguments that are not given; required ones have none."""
        return _defaults(self.kind)

    def said(self) -> str:
        """Its arguments in short, required ones without their names.

        Example:
            >>> Layer("Dense", {"units": 64, "activation": "relu"}).said()
            '64, relu'
        """
        words = []
        for name, value in self.arguments.items():
            plain = isinstance(value, str) or name not in self.defaults()
            shown = value if isinstance(value, str) else _short(code.value(value))
            words.append(shown if plain else f"{name}={shown}")
        return ", ".join(words)

    def piece(self) -> Piece:
        """The layer in Python."""
        required = [name for name in self.arguments if name not in self.defaults()]
        rest = {name: value for name, value in self.arguments.items() if name not in required}
        name = self.kind.rsplit(maxsplit=1)[-1]
        made = code.call(
            f"keras.layers.{name}", [code.value(self.arguments[one]) for one in required], **rest
        )
        return code.call(f"keras.layers.{_WRAPPER}", [made]) if self.kind.startswith(_WRAPPER) else made

    def code(self) -> str:
        """The same, as text."""
        return self.piece().written()


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
            return {name: _argument(name, one.default) for name, one in signature.items() if name in shown}
    raise OptionError(f"{kind!r} is no layer here: use one of {', '.join(KINDS)}")


def evaluated(written: str) -> Any:
    """What code of the builder's own makes."""
    import keras

    return eval(written, {"keras": keras, "__builtins__": {}})  # noqa: S307  # written by this module


def _signature(kind: str) -> inspect.Signature:
    import keras

    return inspect.signature(getattr(keras.layers, kind.rsplit(maxsplit=1)[-1]))


@functools.cache
def _defaults(kind: str) -> dict[str, Value]:
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


def _short(words: str) -> str:
    return words if len(words) <= _LONGEST else f"{words[: _LONGEST - 1]}…"


def _described(layer: Any) -> dict[str, Any]:
    """All that tells two layers apart, but for their names."""
    config: dict[str, Any] = layer.get_config()
    config = {key: value for key, value in config.items() if key not in ("name", "build_config")}
    if isinstance(config.get("axis"), (list, tuple)) and len(config["axis"]) == 1:
        config["axis"] = config["axis"][0]  # a layer that is built has a list where it was given one
    for key in ("layer", "backward_layer"):
        if isinstance(config.get(key), dict):
            inner = config[key].get("config", {})
            config[key] = {name: value for name, value in inner.items() if name != "name"}
    return config
