"""Cut: find what a Keras model does with words and categories, and the part behind it that trains on numbers.

The trained part is a ``keras.Model`` over the same layers: what it learns, the user's model knows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import keras

from nbkeras.data.preprocessing.graph import Graph, Step
from nbkeras.data.preprocessing.operations import operation
from nbkeras.errors import ModelError
from nbkeras.model import state
from nbkeras.schema import Field

#: Layers that need TensorFlow on every backend: they are done before the rows reach a model.
_LOOKUPS = (
    keras.layers.StringLookup,
    keras.layers.IntegerLookup,
    keras.layers.TextVectorization,
    keras.layers.Hashing,
    keras.layers.HashedCrossing,
)
#: What ``compile`` gives a model.
_COMPILED = (
    *("optimizer", "loss", "compiled", "jit_compile", "run_eagerly", "steps_per_execution"),
    *("_compile_loss", "_compile_metrics", "_loss_tracker", "_compile_config", "_compiled_trainable_state"),
)


@dataclass(frozen=True)
class Cut:
    """A model in two parts.

    Attributes:
        model: the part that is trained; the user's own where there is nothing to cut off.
        graph: what stands before it; None for nothing.
        left: layers of the user's model that the trained part does without.
    """

    model: Any
    graph: Graph | None = None
    left: tuple[Any, ...] = ()


@dataclass(eq=False)
class _Value:
    """A tensor between two calls of layers."""

    tensor: Any
    is_early: bool = False

    @property
    def shape(self) -> tuple[int | None, ...]:
        """The shape of one row."""
        shape = tuple(self.tensor.shape[1:])
        made = self.tensor._keras_history.operation  # noqa: SLF001
        # Keras says that a sentence in a column of its own keeps this axis; its layer gives none.
        counted = isinstance(made, keras.layers.TextVectorization) and made._output_mode != "int"  # noqa: SLF001
        return shape[-1:] if counted else shape


@dataclass(eq=False)
class _Call:
    """A call of a layer or of a function of ``keras.ops``."""

    operation: Any
    arguments: tuple[Any, dict[str, Any]]
    takes: list[_Value]
    gives: list[_Value] = field(default_factory=list)
    is_early: bool = False


def cut(model: Any) -> Cut:
    """Cut a model behind its lookup, hashing and text layers.

    Args:
        model: any Keras model.

    Raises:
        ModelError: the model takes words, and cannot be cut.
    """
    whole: Any = getattr(model, "_functional", None) if isinstance(model, keras.Sequential) else model
    if not hasattr(whole, "_nodes_by_depth"):
        return Cut(model)
    inputs = [_Value(one) for one in whole.inputs]
    calls: list[_Call] = []
    opened: list[Any] = []
    outputs = _calls(whole, inputs, calls, opened)
    _find_early(calls)
    if not any(one.is_early for one in calls):
        return Cut(model)
    if type(model) not in (keras.Model, keras.Sequential, type(whole)):
        if not any(one.tensor.dtype == "string" for one in inputs):
            return Cut(model)
        raise ModelError(
            f"{type(model).__name__} is a class of your own that takes words: give it the numbers of its "
            "lookup or text layers, and keep these in a keras.Model before it"
        )
    late = [one for one in calls if not one.is_early]
    given = list(dict.fromkeys(one for call in late for one in call.takes if one in inputs or one.is_early))
    if not late or any(one.is_early for one in outputs):
        raise ModelError("the model ends in its lookup or text layers: nothing behind them is trained")
    _require_numbers(given)
    core = _rest(model, given, calls, outputs)
    # Its weights come back in the order of its own variables.
    if [id(one) for one in state.variables(core)] != [id(one) for one in state.variables(model)]:
        raise ModelError("the layers behind the lookup or text layers keep their weights in another order")
    early = [one for one in calls if one.is_early]
    left = (*(one.operation for one in early), *opened)
    return Cut(core, _graph(inputs, early, given), left)


def _calls(function: Any, inputs: list[_Value], calls: list[_Call], opened: list[Any]) -> list[_Value]:
    """List the calls of a model's graph; a model in it that holds lookups is opened, for the calls in it."""
    values = {id(tensor): value for tensor, value in zip(function.inputs, inputs, strict=True)}
    for depth in sorted(function._nodes_by_depth, reverse=True):  # noqa: SLF001  # the calls, first to last
        for node in function._nodes_by_depth[depth]:  # noqa: SLF001
            if node.is_input:
                continue
            arguments = _replaced((node.arguments.args, node.arguments.kwargs), values)
            takes = [values[id(one)] for one in node.input_tensors]
            inner = getattr(node.operation, "_functional", None) or node.operation
            if hasattr(inner, "_nodes_by_depth") and any(map(_is_lookup, _layers(inner))):
                opened.append(node.operation)
                gives = _calls(inner, takes, calls, opened)
            else:
                gives = [_Value(one) for one in node.outputs]
                calls.append(_Call(node.operation, arguments, takes, gives))
            values |= {id(tensor): value for tensor, value in zip(node.outputs, gives, strict=True)}
    return [values[id(one)] for one in function.outputs]


def _replaced(arguments: Any, found: dict[int, Any]) -> Any:
    """Arguments with other tensors in the place of theirs, by ``id()``."""
    return keras.tree.map_structure(lambda one: found.get(id(one), one), arguments)


def _layers(model: Any) -> Iterator[Any]:
    yield from model._flatten_layers(include_self=False)  # noqa: SLF001  # nested ones too


def _is_lookup(operation: Any) -> bool:
    return isinstance(operation, _LOOKUPS)


def _find_early(calls: list[_Call]) -> None:
    """Mark the calls of lookups, of what handles words, and of all that stands before them."""
    for call in reversed(calls):
        words = any(one.tensor.dtype == "string" for one in (*call.takes, *call.gives))
        if words or _is_lookup(call.operation) or any(one.is_early for one in call.gives):
            call.is_early = True
            for one in (*call.takes, *call.gives):
                one.is_early = True


def _require_numbers(given: list[_Value]) -> None:
    for one in given:
        if None in one.shape:
            raise ModelError(
                f"{_title(one)} gives rows of any length: give TextVectorization "
                "output_sequence_length=…, or a lookup its vocabulary before it is called"
            )


def _title(value: _Value) -> str:
    return f"layer '{value.tensor._keras_history.operation.name}'"  # noqa: SLF001


def _rest(model: Any, given: list[_Value], calls: list[_Call], outputs: list[_Value]) -> Any:
    """A model of the calls that are not early, compiled as the user's own."""
    fresh = {
        one: keras.Input(one.shape, dtype=one.tensor.dtype, name=f"given_{number}")
        for number, one in enumerate(given)
    }
    for call in calls:
        if not call.is_early:
            args, kwargs = _replaced(call.arguments, {id(one): made for one, made in fresh.items()})
            made = keras.tree.flatten(call.operation(*args, **kwargs))
            fresh |= dict(zip(call.gives, made, strict=True))
    inputs, ends = [fresh[one] for one in given], [fresh[one] for one in outputs]
    shaped = keras.tree.pack_sequence_as(_structure(model), ends)
    core = keras.Model(inputs if len(inputs) > 1 else inputs[0], shaped, name=model.name)
    core.trainable = model.trainable
    for name in _COMPILED:
        if name in vars(model) or hasattr(model, name):
            setattr(core, name, getattr(model, name))
    return core


def _structure(model: Any) -> Any:
    whole = getattr(model, "_functional", None) or model
    return whole._outputs_struct  # noqa: SLF001  # the public outputs are flat


def _graph(inputs: list[_Value], early: list[_Call], given: list[_Value]) -> Graph:
    """The early calls as steps, from the inputs to what the trained part is given."""
    numbers = {one: number for number, one in enumerate(inputs)}
    steps: list[Step] = []
    for call in early:
        (only,) = call.gives
        numbers[only] = len(inputs) + len(steps)
        listed = isinstance(call.arguments[0][0], (list, tuple))
        made = operation(call.operation, only.tensor, listed=listed)
        steps.append(Step(made, tuple(numbers[one] for one in call.takes)))
    outputs = tuple(
        Field(f"x{index}", (), _title(one), _dtype(one, early), tuple(size or 0 for size in one.shape))
        for index, one in enumerate(given)
    )
    return Graph(tuple(steps), tuple(numbers[one] for one in given), outputs)


def _dtype(value: _Value, early: list[_Call]) -> str:
    """The narrowest type that holds what is given to the trained part: it lies on disk, and is cast later."""
    made = next((call.operation for call in early if value in call.gives), None)
    mode = getattr(made, "output_mode", getattr(made, "_output_mode", ""))
    if mode in ("one_hot", "multi_hot"):
        return "uint8"
    if mode in ("int", "count"):
        return "int32"
    return str(value.tensor.dtype)
