"""A layer as it was chosen: its arguments, its Keras code, and how it is read from a model made by hand."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from nbkeras.builder.arguments import Value
from nbkeras.builder.catalogue import KINDS, beginning, defaults, offered
from nbkeras.errors import ModelError, OptionError, one_line
from nbkeras.model import code
from nbkeras.model.code import Piece

_WRAPPER = "Bidirectional"
#: What a layer was called and what it has learned, which nobody has chosen.
_OTHER = ("name", "build_config", "vocabulary_size")
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
        return cls(kind, beginning(kind))

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
                    f"layer {layer.name!r} ({kind}) has {name}={shown!r}, which the builder does not show: "
                    "leave it out, or train the model as it is in a %%keras_spark cell"
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
        return defaults(self.kind)

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


def evaluated(written: str) -> Any:
    """What code of the builder's own makes."""
    import keras

    return eval(written, {"keras": keras, "__builtins__": {}})  # noqa: S307  # written by this module


def _short(words: str) -> str:
    return words if len(words) <= _LONGEST else f"{words[: _LONGEST - 1]}…"


def _described(layer: Any) -> dict[str, Any]:
    """All that tells two layers apart, but for their names."""
    config: dict[str, Any] = layer.get_config()
    config = {key: value for key, value in config.items() if key not in _OTHER}
    if isinstance(config.get("axis"), (list, tuple)) and len(config["axis"]) == 1:
        config["axis"] = config["axis"][0]  # a layer that is built has a list where it was given one
    for key in ("layer", "backward_layer"):
        if isinstance(config.get(key), dict):
            inner = config[key].get("config", {})
            config[key] = {name: value for name, value in inner.items() if name != "name"}
    return config
