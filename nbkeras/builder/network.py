"""A network as a list of layers: its Keras code, and what each layer makes of its input."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Self

from nbkeras.builder.arguments import Value
from nbkeras.builder.layers import IMAGES, OFFERED, Layer, evaluated
from nbkeras.errors import ModelError, one_line
from nbkeras.model import code
from nbkeras.model.code import Piece

Shape = tuple[int, ...]

#: How Keras says that an input has too few or too many dimensions; the batch's is among them.
_DIMENSIONS = re.compile(r"expected (min_|max_|)ndim=(\d+), found ndim=\d+")
#: Dimensions of images, with that of the rows.
_IMAGE = 4
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
    """

    shape: tuple[int | None, ...] | None
    weights: int = 0
    trained: int = 0
    error: str = ""


@dataclass(frozen=True)
class Network:
    """Layers, one behind the other.

    Attributes:
        input_shape: of one row.
        layers: from the first to the last.

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
        return cls(shape, tuple(Layer.of(one) for one in chain))

    def code(self, inputs: Sequence[tuple[str, int]] = ()) -> str:
        """The network in Python: ``model``.

        Args:
            inputs: where there are several, the name of each and its numbers: one behind the other.
        """
        layers = [layer.piece() for layer in self.layers]
        if not inputs:
            first = code.call("keras.Input", [code.value(self.input_shape)])
            stack = Piece("[", [first, *layers], "]", open=True)
            return code.call("model = keras.Sequential", [stack]).written()
        named = [code.call("keras.Input", [f"({size},)"], name=name) for name, size in inputs]
        stack = Piece("[", layers, "]", open=bool(layers))
        lines = [
            Piece("inputs = [", named, "]", open=True),
            code.call("layers = keras.Sequential", [stack]),
            code.call("model = keras.Model", ["inputs", "layers(keras.layers.Concatenate()(inputs))"]),
        ]
        return "\n".join(one.written() for one in lines)

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
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(self._look).result()

    def _look(self) -> list[Looked]:
        import keras

        found: list[Looked] = []
        tensor: Any = keras.KerasTensor((None, *self.input_shape))
        with keras.StatelessScope(initialize_variables=False):
            for one in self.layers:
                if tensor is None:
                    found.append(Looked(None))
                    continue
                if one.kind in IMAGES and len(tensor.shape) != _IMAGE:
                    shape = tuple(tensor.shape[1:])
                    error = f"takes images, (lines, columns, channels) for each row, gets {shape}"
                    found.append(Looked(None, error=f"{error}: move it behind a Reshape that makes them"))
                    tensor = None
                    continue
                try:
                    layer = evaluated(one.code())
                    tensor = layer(tensor)
                except Exception as error:  # noqa: BLE001  # Keras may raise anything; the field shows it
                    found.append(Looked(None, error=_words(error, tuple(tensor.shape[1:]))))
                    tensor = None
                else:
                    found.append(
                        Looked(
                            tuple(tensor.shape[1:]), _count(layer.weights), _count(layer.trainable_weights)
                        )
                    )
        return found


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
