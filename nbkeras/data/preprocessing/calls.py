"""Calls: what a Keras model does with its inputs, layer by layer, as a list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import keras

from nbkeras.data.preprocessing.graph import Graph, Step
from nbkeras.data.preprocessing.operations import operation
from nbkeras.schema import Field

#: Layers that need TensorFlow on every backend: they are done before the rows reach a model.
LOOKUPS = (
    keras.layers.StringLookup,
    keras.layers.IntegerLookup,
    keras.layers.TextVectorization,
    keras.layers.Hashing,
    keras.layers.HashedCrossing,
)


@dataclass(eq=False)
class Value:
    """A tensor between two calls of layers."""

    tensor: Any
    is_early: bool = False

    @property
    def title(self) -> str:
        """What gives it, in words."""
        return f"layer '{self.tensor._keras_history.operation.name}'"  # noqa: SLF001

    @property
    def shape(self) -> tuple[int | None, ...]:
        """The shape of one row."""
        shape = tuple(self.tensor.shape[1:])
        made = self.tensor._keras_history.operation  # noqa: SLF001
        # Keras says that a sentence in a column of its own keeps this axis; its layer gives none.
        counted = isinstance(made, keras.layers.TextVectorization) and made._output_mode != "int"  # noqa: SLF001
        return shape[-1:] if counted else shape


@dataclass(eq=False)
class Call:
    """A call of a layer or of a function of ``keras.ops``."""

    operation: Any
    arguments: tuple[Any, dict[str, Any]]
    takes: list[Value]
    gives: list[Value] = field(default_factory=list)
    is_early: bool = False


@dataclass(frozen=True)
class Calls:
    """The calls of a model.

    Attributes:
        inputs, outputs: of the model.
        made: the calls, in an order in which they can be made.
        opened: models within the model, of which the calls are listed.
    """

    inputs: list[Value]
    made: list[Call]
    outputs: list[Value]
    opened: list[Any]

    def graph(self, given: Sequence[Value]) -> Graph:
        """The steps that lead to some values.

        Raises:
            ModelError: a call is none of a layer, and nothing else can do its work.
        """
        needed: list[Call] = []
        wanted = set(given)
        for call in reversed(self.made):
            if wanted & set(call.gives):
                needed.insert(0, call)
                wanted |= set(call.takes)
        numbers = {one: number for number, one in enumerate(self.inputs)}
        steps: list[Step] = []
        for call in needed:
            (only,) = call.gives
            numbers[only] = len(self.inputs) + len(steps)
            listed = isinstance(call.arguments[0][0], (list, tuple))
            made = operation(call.operation, only.tensor, listed=listed)
            steps.append(Step(made, tuple(numbers[one] for one in call.takes)))
        outputs = tuple(
            Field(f"x{index}", (), one.title, _dtype(one, needed), tuple(size or 0 for size in one.shape))
            for index, one in enumerate(given)
        )
        return Graph(tuple(steps), tuple(numbers[one] for one in given), outputs)


def calls(model: Any, opens: type | tuple[type, ...]) -> Calls | None:
    """List the calls of a model; None for one of which Keras keeps no graph.

    Args:
        model: any Keras model.
        opens: a model within it that holds layers of such classes is opened, for the calls in it.
    """
    whole: Any = getattr(model, "_functional", None) if isinstance(model, keras.Sequential) else model
    if not hasattr(whole, "_nodes_by_depth"):
        return None
    inputs = [Value(one) for one in whole.inputs]
    found = Calls(inputs, [], [], [])
    found.outputs.extend(_listed(whole, inputs, found, opens))
    return found


def _listed(function: Any, inputs: list[Value], found: Calls, opens: type | tuple[type, ...]) -> list[Value]:
    """Add the calls of a graph to those that are found; its outputs."""
    values = {id(tensor): value for tensor, value in zip(function.inputs, inputs, strict=True)}
    for depth in sorted(function._nodes_by_depth, reverse=True):  # noqa: SLF001  # the calls, first to last
        for node in function._nodes_by_depth[depth]:  # noqa: SLF001
            if node.is_input:
                continue
            arguments = replaced((node.arguments.args, node.arguments.kwargs), values)
            takes = [values[id(one)] for one in node.input_tensors]
            inner = getattr(node.operation, "_functional", None) or node.operation
            if hasattr(inner, "_nodes_by_depth") and _holds(inner, opens):
                found.opened.append(node.operation)
                gives = _listed(inner, takes, found, opens)
            else:
                gives = [Value(one) for one in node.outputs]
                found.made.append(Call(node.operation, arguments, takes, gives))
            values |= {id(tensor): value for tensor, value in zip(node.outputs, gives, strict=True)}
    return [values[id(one)] for one in function.outputs]


def replaced(arguments: Any, found: dict[int, Any]) -> Any:
    """Arguments with other tensors in the place of theirs, by ``id()``."""
    return keras.tree.map_structure(lambda one: found.get(id(one), one), arguments)


def _holds(model: Any, kinds: type | tuple[type, ...]) -> bool:
    return any(isinstance(one, kinds) for one in model._flatten_layers(include_self=False))  # noqa: SLF001


def _dtype(value: Value, made_by: list[Call]) -> str:
    """The narrowest type that holds what is given to the trained part: it lies on disk, and is cast later."""
    made = next((call.operation for call in made_by if value in call.gives), None)
    mode = getattr(made, "output_mode", getattr(made, "_output_mode", ""))
    if mode in ("one_hot", "multi_hot"):
        return "uint8"
    if mode in ("int", "count"):
        return "int32"
    return str(value.tensor.dtype)
