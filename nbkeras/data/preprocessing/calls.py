"""Calls: what a Keras model does with its inputs, layer by layer, as a list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import keras

from nbkeras.data.preprocessing import checks
from nbkeras.data.preprocessing.graph import Graph, Step
from nbkeras.data.preprocessing.layer import Place
from nbkeras.data.preprocessing.operations import operation
from nbkeras.schema import Field

#: The classes of models whose graph says all that they do.
PLAIN = (keras.src.models.functional.Functional, keras.Sequential)


@dataclass(eq=False)
class Value:
    """A tensor between two calls of layers.

    Attributes:
        tensor: of the user's model; a model that is called twice has two values for each of its tensors.
        is_early: whether an early call takes or gives it.
    """

    tensor: Any
    is_early: bool = False

    @property
    def title(self) -> str:
        """The layer that gives it, in words."""
        return f"layer '{self.tensor._keras_history.operation.name}'"  # noqa: SLF001

    @property
    def shape(self) -> tuple[Any, ...]:
        """The shape of one row."""
        shape = tuple(self.tensor.shape[1:])
        made = self.tensor._keras_history.operation  # noqa: SLF001
        # Keras says that a sentence in a column of its own keeps this axis; its layer gives none.
        counted = isinstance(made, keras.layers.TextVectorization) and checks.mode(made) != "int"
        return shape[-1:] if counted else shape


@dataclass(eq=False)
class Call:
    """A call of a layer or of a function of ``keras.ops``.

    Attributes:
        operation: the layer or function.
        arguments: positional and named, with values in the place of tensors.
        takes: those values.
        gives: its results.
        is_early: whether it stands before the cut.
    """

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

    def before(self, given: Sequence[Value]) -> list[Call]:
        """The calls that lead to some values."""
        found: list[Call] = []
        wanted = set(given)
        for call in reversed(self.made):
            if wanted & set(call.gives):
                found.insert(0, call)
                wanted |= set(call.takes)
        return found

    def graph(self, given: Sequence[Value]) -> Graph:
        """The steps that lead to some values.

        Raises:
            ModelError: a call cannot be made for each row alone.
        """
        numbers = {one: number for number, one in enumerate(self.inputs)}
        dtypes: dict[Value, str | None] = {}
        steps: list[Step] = []
        for call in self.before(given):
            places = {id(one): Place(number) for number, one in enumerate(call.takes)}
            tensors = [one.tensor for one in call.takes], [one.tensor for one in call.gives]
            made = operation(call.operation, replaced(call.arguments, places), *tensors)
            steps.append(Step(made, tuple(numbers[one] for one in call.takes)))
            for one in call.gives:
                numbers[one] = len(numbers)
                dtypes[one] = made.dtype
        outputs = []
        for index, one in enumerate(given):
            # It lies on disk in the narrowest type, and is cast when it is read.
            dtype = dtypes.get(one) or str(one.tensor.dtype)
            outputs.append(Field(f"x{index}", (), one.title, dtype, tuple(size or 0 for size in one.shape)))
        return Graph(tuple(steps), tuple(numbers[one] for one in given), tuple(outputs))


def calls(model: Any, opens: tuple[type, ...]) -> Calls | None:
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


def _listed(function: Any, inputs: list[Value], found: Calls, opens: tuple[type, ...]) -> list[Value]:
    """Add the calls of a graph to those that are found; its outputs."""
    values = {id(tensor): value for tensor, value in zip(function.inputs, inputs, strict=True)}
    for depth in sorted(function._nodes_by_depth, reverse=True):  # noqa: SLF001  # the calls, first to last
        for node in function._nodes_by_depth[depth]:  # noqa: SLF001
            if node.is_input:
                continue
            arguments = replaced((node.arguments.args, node.arguments.kwargs), values)
            takes = [values[id(one)] for one in node.input_tensors]
            if (inner := _inner(node.operation, opens)) and (fed := _fed(inner, *arguments)):
                found.opened.append(node.operation)
                gives = _listed(inner, fed, found, opens)
            else:
                gives = [Value(one) for one in node.outputs]
                found.made.append(Call(node.operation, arguments, takes, gives))
            values |= {id(tensor): value for tensor, value in zip(node.outputs, gives, strict=True)}
    return [values[id(one)] for one in function.outputs]


def _inner(called: Any, opens: tuple[type, ...]) -> Any:
    """The graph of a model within the model that holds such layers; None for all other layers."""
    inner = getattr(called, "_functional", None) or called
    if type(called) not in PLAIN:
        return None
    held = inner._flatten_layers(include_self=False)  # noqa: SLF001  # nested ones too
    return inner if any(isinstance(one, opens) for one in held) else None


def _fed(inner: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Value] | None:
    """What a model within the model is given, in the order of its inputs; None where the call changes it."""
    given, *rest = args or (None,)
    if rest or any(one is not None for one in kwargs.values()):
        return None  # such as training=False
    struct = inner._inputs_struct  # noqa: SLF001  # the public inputs are flat
    if isinstance(given, dict):
        names = sorted(struct) if isinstance(struct, dict) else [one.name for one in inner.inputs]
        given = [given.get(name) for name in names]
    flat = keras.tree.flatten(given)
    if len(flat) != len(inner.inputs) or not all(isinstance(one, Value) for one in flat):
        return None
    same = all(
        (one.tensor.dtype, len(one.tensor.shape)) == (taken.dtype, len(taken.shape))
        for one, taken in zip(flat, inner.inputs, strict=True)
    )
    return flat if same else None


def replaced(arguments: Any, found: dict[int, Any]) -> Any:
    """Arguments with other tensors in the place of theirs, by ``id()``."""
    return keras.tree.map_structure(lambda one: found.get(id(one), one), arguments)
