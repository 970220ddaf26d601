"""Branches: the inputs of a network of several, each with the layers that take it alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Self

from nbkeras.builder.catalogue import WHOLE
from nbkeras.builder.layers import Layer
from nbkeras.builder.network import Looked, Network
from nbkeras.model import code
from nbkeras.model.code import Piece

if TYPE_CHECKING:
    from nbkeras.driver.columns.encoding import Taken

#: Columns that are taken alike, from which on they are named in a list.
_ALIKE = 2


@dataclass(frozen=True)
class Branch:
    """An input and its layers; what these give stands in a line with what those of others give.

    Attributes:
        column: of the DataFrame.
        name: of the input: the column, or a part of it.
        network: the input's shape and the layers; none where its numbers are taken as they are.
        whole: whether the values are whole numbers.
    """

    column: str
    name: str
    network: Network
    whole: bool = False

    @classmethod
    def of(cls, column: str, taken: Taken, whole: bool) -> Self:
        """The branch of an input as it is proposed."""
        layers = tuple(Layer(step.kind, step.arguments) for step in taken.steps)
        dtype = "string" if taken.dtype == "string" else ""
        return cls(column, taken.name, Network(taken.shape, (), dtype), whole or bool(taken.dtype)).with_(
            layers
        )

    def with_(self, layers: tuple[Layer, ...]) -> Self:
        """The same with other layers: whole numbers are taken as such where the first one counts them."""
        dtype = self.network.dtype
        if dtype != "string":
            counted = self.whole and bool(layers) and layers[0].kind in WHOLE
            dtype = "int64" if counted else ""
        return replace(self, network=replace(self.network, layers=layers, dtype=dtype))

    def looked_at(self) -> list[Looked]:
        """What each of its layers gives, with an error where it is no line of numbers in the end."""
        looked = self.network.looked_at()
        last = looked[-1] if looked else self._alone()
        if last.shape is None or last.error:
            return looked
        error = ""
        if last.dtype == "string":
            error = "gives words: add a TextVectorization, a StringLookup or a Hashing"
        elif None in last.shape:
            error = f"gives {last.shape} for each row, of any length: pad_to_max_tokens says how long"
        elif len(last.shape) != 1:
            error = f"gives {last.shape} for each row: add a Flatten, or a pooling layer behind it"
        return [*looked[:-1], replace(last, error=error)] if error else looked

    def _alone(self) -> Looked:
        return Looked(self.network.input_shape, dtype=self.network.dtype)

    def error(self) -> str:
        """What is wrong with it; empty where nothing is."""
        return next((one.error for one in self.looked_at() if one.error), "")

    def width(self) -> int:
        """The numbers that it gives for a row; one where something is wrong with it."""
        looked = self.looked_at()
        shape = (looked[-1] if looked else self._alone()).shape
        return int(shape[0]) if shape is not None and len(shape) == 1 and shape[0] else 1


def written(branches: Sequence[Branch], layers: Sequence[Layer]) -> str:
    """The network of several inputs in Python: ``model``.

    Args:
        branches: the inputs, with their layers.
        layers: that take what these give, in one line.

    Example:
        >>> from nbkeras.builder.layers import Layer
        >>> from nbkeras.builder.network import Network
        >>> branches = [Branch(name, name, Network((1,), (Layer("Normalization"),))) for name in "ab"]
        >>> print(written(branches, [Layer("Dense", {"units": 1})]))
        inputs, encoded = {}, []
        for name in ["a", "b"]:
            x = inputs[name] = keras.Input((1,), name=name)
            x = keras.layers.Normalization()(x)
            encoded.append(x)
        layers = keras.Sequential(
            [
                keras.layers.Dense(1),
            ]
        )
        model = keras.Model(inputs, layers(keras.layers.Concatenate()(encoded)))
    """
    lines = ["inputs, encoded = {}, []"]
    for _, alike in groupby(_together(branches), key=_taken):
        lines += _lines(list(alike))
    stack = Piece("[", [one.piece() for one in layers], "]", open=bool(layers))
    together = "keras.layers.Concatenate()(encoded)" if len(branches) > 1 else "encoded[0]"
    model = code.call("model = keras.Model", ["inputs", f"layers({together})"])
    return "\n".join([*lines, code.call("layers = keras.Sequential", [stack]).written(), model.written()])


def _taken(one: Branch) -> tuple[str, ...]:
    """All that is said of a branch but its name."""
    return (one.network.input().flat(), *(layer.code() for layer in one.network.layers))


def _together(branches: Sequence[Branch]) -> list[Branch]:
    """Branches that are taken alike behind each other, in the order of the first ones."""
    first = {_taken(one): at for at, one in reversed(list(enumerate(branches)))}
    return sorted(branches, key=lambda one: first[_taken(one)])


def _lines(alike: list[Branch]) -> list[str]:
    """The lines of branches that are taken alike."""
    names, network = [code.value(one.name) for one in alike], alike[0].network
    many = len(alike) >= _ALIKE
    lines, indent = ([Piece("for name in [", names, "]:").written()], " " * 4) if many else ([], "")
    name = "name" if many else names[0]
    made = network.input()
    named = Piece(f"x = inputs[{name}] = {made.head}", [*made.items, f"name={name}"], made.tail)
    lines.append(named.written(indent))
    for layer in network.layers:
        piece = layer.piece()
        lines.append(Piece(f"x = {piece.head}", piece.items, f"{piece.tail}(x)").written(indent))
    return [*lines, f"{indent}encoded.append(x)"]
