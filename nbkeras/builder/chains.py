"""Chains: the layers of a network and those of its inputs, which are changed one by one."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from nbkeras.builder import front, presets
from nbkeras.builder.catalogue import FOREMOST, IMAGES, NORMALIZATION
from nbkeras.builder.choices import Choices
from nbkeras.builder.layers import Layer
from nbkeras.builder.network import Network
from nbkeras.errors import OptionError

_Rows = list[tuple[int, Layer]]


class Chains(Choices):
    """Changes layers: of the network, or of an input that is named.

    Args:
        frames: DataFrames by the names of their variables.
        models: the models that the user may open, by the names of their variables.
    """

    def __init__(self, frames: Mapping[str, Any], models: Mapping[str, Any]) -> None:
        super().__init__(frames, models)
        self._field = ""
        self._next = itertools.count()

    def place(self, number: Any) -> tuple[str, int] | None:
        """The input, empty for the network, and the position of a layer by its number in :meth:`state`.

        None if it was removed.
        """
        for name, numbers in self._numbers.items():
            if number in numbers:
                return name, numbers.index(number)
        return None

    def length(self, name: str) -> int:
        """How many layers the network has, or an input."""
        return len(self._layers_of(name))

    def _layers_of(self, name: str) -> tuple[Layer, ...]:
        if not name:
            return self.design.network.layers
        return {one.name: one for one in self.design.inputs}[name].network.layers

    def _put(self, name: str, layers: tuple[Layer, ...]) -> None:
        """Replace the layers of the network, or of an input: what the network takes follows."""
        if not name:
            self.design = replace(self.design, network=replace(self.design.network, layers=layers))
            return
        self._edited[self.design.data, name] = layers
        self._taken = self._with_edits(self._taken)
        network = replace(self.design.network, input_shape=self._taken.shape)
        self.design = replace(self.design, inputs=self._taken.inputs, network=network)

    def _with_edits(self, taken: front.Features) -> front.Features:
        """What a network takes, with what the user has changed of the layers of inputs."""
        data = self._question.data
        branches = tuple(
            one.with_(self._edited[data, one.name]) if (data, one.name) in self._edited else one
            for one in taken.inputs
        )
        if branches == taken.inputs:
            return taken
        return replace(taken, inputs=branches, shape=(front.width(branches),))

    # -- actions ----------------------------------------------------------

    def _on_column(self, value: str) -> None:
        known = dict.fromkeys(one.column for one in self.design.inputs)
        if value and value not in known:
            raise OptionError(f"column={value!r}: use a column with an input of its own")
        self._column = value
        self._give_numbers()

    def _on_add(self, kind: str, at: int, input: str = "") -> None:  # noqa: A002  # as the page says it
        layer = Layer.first(kind)
        if not input:
            at, layer = self._foremost(kind, at, layer)
        added = next(self._next), layer
        self._change(lambda rows: [*rows[:at], added, *rows[at:]], input)

    def _foremost(self, kind: str, at: int, layer: Layer) -> tuple[int, Layer]:
        """Where a layer goes that is for the features or for images, and how it begins."""
        design = self.design
        if kind in FOREMOST and design.inputs and any(one.network.layers for one in design.inputs):
            raise OptionError(f"{kind} is for a single column here: choose one, and add it there")
        if kind == NORMALIZATION:
            if presets.TAKES[self._preset] != "numbers":
                raise OptionError(
                    f"{kind} is for numbers: Rescaling is for images, a TextVectorization for words"
                )
            layer = self._frames.normalization(design.data, design.features, self._taken)
        if kind in IMAGES:
            return self._first_image(), layer
        return (0 if kind in FOREMOST else at), layer

    def _first_image(self) -> int:
        """The first position at which the network has images, behind the layers for the features."""
        network = self.design.network
        shapes = [network.input_shape, *(one.shape for one in network.looked_at())]
        kinds = [one.kind for one in network.layers]
        first = next((at for at, shape in enumerate(shapes) if shape is not None and len(shape) == 3), 0)
        while first < len(kinds) and kinds[first] in FOREMOST | IMAGES:
            first += 1
        return first

    def _on_remove(self, at: int, input: str = "") -> None:  # noqa: A002  # as above
        self._change(lambda rows: [*rows[:at], *rows[at + 1 :]], input)

    def _on_move(self, at: int, to: int, input: str = "") -> None:  # noqa: A002  # as above
        def moved(rows: _Rows) -> _Rows:
            rows.insert(to, rows.pop(at))
            return rows

        self._change(moved, input)

    def _on_set(self, at: int, name: str, value: Any, input: str = "") -> None:  # noqa: A002  # as above
        layers = self._layers_of(input)
        self._give_numbers(input)
        self._field = f"{self._numbers[input][at]}.{name}"
        changed = Layer(layers[at].kind, {**layers[at].arguments, name: value})
        self._put(input, (*layers[:at], changed, *layers[at + 1 :]))

    def _change(self, change: Callable[[_Rows], _Rows], name: str) -> None:
        """Reorder, remove or add layers: each keeps its number."""
        layers = self._layers_of(name)
        self._give_numbers(name)
        rows = change(list(zip(self._numbers[name], layers, strict=True)))
        self._put(name, tuple(one for _, one in rows))
        self._numbers[name] = [number for number, _ in rows]

    def _take(self, network: Network) -> None:
        """Replace the network; layers keep their numbers where the kinds of all layers are the same."""
        kinds = [one.kind for one in self.design.network.layers]
        if len(self._numbers[""]) != len(kinds) or [one.kind for one in network.layers] != kinds:
            self._numbers[""] = [next(self._next) for _ in network.layers]
        self.design = replace(self.design, network=network)

    def _give_numbers(self, name: str = "") -> None:
        """Give numbers to the layers of an input, and of the column that is shown: there may be thousands."""
        inputs = {one.name: one for one in self.design.inputs}
        self._numbers = {one: numbers for one, numbers in self._numbers.items() if not one or one in inputs}
        for one in inputs.values():
            if one.name in (*self._numbers, name) or one.column == self._column:
                numbers, layers = self._numbers.get(one.name, []), one.network.layers
                fits = len(numbers) == len(layers)
                self._numbers[one.name] = numbers if fits else [next(self._next) for _ in layers]
