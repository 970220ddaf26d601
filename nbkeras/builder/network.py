"""A network as a list of layers: its Keras code, and what each layer makes of its input."""

from __future__ import annotations

import functools
import math
import re
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Self

from nbkeras.builder.arguments import Value
from nbkeras.builder.catalogue import IMAGES, OFFERED, WHOLE, WORDS
from nbkeras.builder.layers import Layer, evaluated
from nbkeras.errors import ModelError, one_line
from nbkeras.model import code
from nbkeras.model.code import Piece

Shape = tuple[int, ...]

#: How Keras says that an input has too few or too many dimensions; the batch's is among them.
_DIMENSIONS = re.compile(r"expected (min_|max_|)ndim=(\d+), found ndim=\d+")
#: Dimensions of images, with that of the rows.
_IMAGE = 4
#: Chains of layers that have been looked at.
_REMEMBERED = 4096
_WORD_LAYERS = "a TextVectorization, a StringLookup or a Hashing"
#: Layers behind which probabilities are still some: they only reorder or pool them.
_KEEPING = {"Flatten", "Reshape", *OFFERED["pooling"]}


@dataclass(frozen=True)
class Looked:
    """What one layer makes of its input.

    Attributes:
        shape: of its output for one row; None where an earlier layer or this one is wrong.
        weights: number of them.
        trained: of these, how many are learnt.
        error: what is wrong with this layer, in words.
        dtype: of its output, where there is one.
    """

    shape: tuple[int | None, ...] | None
    weights: int = 0
    trained: int = 0
    error: str = ""
    dtype: str = ""


@dataclass(frozen=True)
class Network:
    """Layers, one behind the other.

    Attributes:
        input_shape: of one row.
        layers: from the first to the last.
        dtype: of its input; empty for Keras' float type.

    Example:
        >>> from nbkeras.builder.layers import Layer
        >>> print(Network((4,), (Layer("Dense", {"units": 3}),)).code())
        model = keras.Sequential(
            [
                keras.Input((4,)),
                keras.layers.Dense(3),
            ]
        )
    """

    input_shape: Shape
    layers: tuple[Layer, ...]
    dtype: str = ""

    @classmethod
    def of(cls, model: Any) -> Self:
        """The network of a model made by hand.

        Raises:
            ModelError: it is no chain of layers that the builder knows.
        """
        chain = list(_chain(model))
        (shape,) = {tuple(model.input_shape[1:])}
        if None in shape:
            raise ModelError(f"{model.name!r} takes inputs of any size, {shape}: the builder needs one size")
        dtype = model.inputs[0].dtype
        return cls(shape, tuple(Layer.of(one) for one in chain), "string" if dtype == "string" else "")

    def input(self, **named: str) -> Piece:
        """Its input in Python."""
        dtype = {"dtype": self.dtype} if self.dtype else {}
        return code.call("keras.Input", [code.value(self.input_shape)], **dtype, **named)

    def code(self) -> str:
        """The network in Python: ``model``."""
        stack = Piece("[", [self.input(), *(layer.piece() for layer in self.layers)], "]", open=True)
        return code.call("model = keras.Sequential", [stack]).written()

    def activation(self) -> Value:
        """The activation that its outputs come of; None where the layer that computes them has none.

        Example:
            >>> from nbkeras.builder.layers import Layer
            >>> dense = Layer("Dense", {"units": 3, "activation": "softmax"})
            >>> Network((4,), (dense, Layer("Flatten"))).activation()
            'softmax'
            >>> Network((4,), (dense, Layer("BatchNormalization"))).activation() is None
            True
        """
        computing = (one for one in reversed(self.layers) if one.kind not in _KEEPING)
        last = next(computing, None)
        return None if last is None else last.arguments.get("activation")

    def looked_at(self) -> list[Looked]:
        """What each layer gives, without making its weights.

        Keras collects variables that wait for their values by thread: this one ends with all of them.
        """
        layers = tuple((one.kind, one.code()) for one in self.layers)
        return list(_looked(self.input_shape, self.dtype, layers))


@functools.lru_cache(_REMEMBERED)
def _looked(shape: Shape, dtype: str, layers: tuple[tuple[str, str], ...]) -> tuple[Looked, ...]:
    """What is looked at once: many columns are often taken by the same layers."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(_look, shape, dtype, layers).result()


def _look(shape: Shape, dtype: str, layers: tuple[tuple[str, str], ...]) -> tuple[Looked, ...]:
    import keras

    found: list[Looked] = []
    tensor: Any = keras.KerasTensor((None, *shape), dtype or keras.config.floatx())
    with keras.StatelessScope(initialize_variables=False), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what a layer says of masks, it says as it trains
        for kind, written in layers:
            if tensor is None:
                found.append(Looked(None))
                continue
            if wrong := _misfit(kind, tensor):
                found.append(Looked(None, error=wrong))
                tensor = None
                continue
            try:
                layer = evaluated(written)
                tensor = layer(tensor)
            except Exception as error:  # noqa: BLE001  # Keras may raise anything; the field shows it
                found.append(Looked(None, error=_words(error, tuple(tensor.shape[1:]))))
                tensor = None
            else:
                weights, trained = _count(layer.weights), _count(layer.trainable_weights)
                found.append(Looked(tuple(tensor.shape[1:]), weights, trained, dtype=tensor.dtype))
    return tuple(found)


def _misfit(kind: str, tensor: Any) -> str:
    """Why a layer cannot take a tensor, where Keras would only say so as it trains."""
    if kind in IMAGES and len(tensor.shape) != _IMAGE:
        error = f"takes images, (lines, columns, channels) for each row, gets {tuple(tensor.shape[1:])}"
        return f"{error}: move it behind a Reshape that makes them"
    if tensor.dtype == "string":
        return "" if kind in WORDS else f"takes numbers, gets words: add {_WORD_LAYERS} before it"
    if kind in WORDS - WHOLE:
        return "takes words, gets numbers: IntegerLookup, Hashing and Discretization take numbers"
    if kind in WHOLE and "float" in tensor.dtype:
        return f"takes whole numbers, gets {tensor.dtype}: Discretization makes whole numbers of others"
    return ""


def _count(variables: list[Any]) -> int:
    return sum(math.prod(one.shape) for one in variables)


def _chain(model: Any) -> Iterator[Any]:
    """The layers of a model that is one behind the other."""
    import keras

    if not isinstance(model, (keras.Sequential, keras.Model)) or not getattr(model, "inputs", None):
        raise ModelError(f"{model!r} has no inputs yet: give it a keras.Input, or build it")
    if len(model.inputs) > 1 or len(model.outputs) > 1:
        raise ModelError(f"{model.name!r} has several inputs or outputs: the builder knows one of each")
    layers = [one for one in model.layers if not isinstance(one, keras.layers.InputLayer)]
    if isinstance(model, keras.Sequential):
        yield from layers
        return
    tensor = model.inputs[0]
    for layer in layers:
        if len(layer._inbound_nodes) != 1 or layer.input is not tensor:  # noqa: SLF001
            raise ModelError(
                f"{model.name!r} branches at {layer.name!r}: the builder knows one layer behind the other"
            )
        tensor = layer.output
        yield layer


def _words(error: Exception, shape: tuple[int | None, ...]) -> str:
    """What Keras says of a layer and its input, without how the layer was called."""
    words = one_line(error)
    if found := _DIMENSIONS.search(words):
        or_more = " or more" if found[1] == "min_" else ""
        return (
            f"takes inputs of {int(found[2]) - 1} dimensions{or_more} for each row, gets {shape}: "
            "a Reshape before it helps"
        )
    words = words.partition("Arguments received by")[0]
    return words.partition("called. ")[2].strip() or words.strip()
