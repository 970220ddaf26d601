"""Cut: find what a Keras model does with words and categories, and the part behind it that trains on numbers.

Calls of layers are early if a lookup, hashing or text layer stands in them or behind them, or if they take or
give words: they become the steps of a graph. All other calls are late, and become the trained part: a
``keras.Model`` over the same layers, so that what it learns, the user's model knows. It is given what late
calls take of early ones, and of the inputs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import keras

from nbkeras.data.preprocessing import checks
from nbkeras.data.preprocessing.graph import Graph, Step
from nbkeras.data.preprocessing.layer import Place
from nbkeras.data.preprocessing.operations import operation
from nbkeras.errors import ModelError
from nbkeras.model import state
from nbkeras.schema import Field

#: The classes of models whose graph says all that they do.
_PLAIN = (keras.src.models.functional.Functional, keras.Sequential)
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
    """A tensor between two calls of layers.

    Attributes:
        tensor: of the user's model; a model that is called twice has two values for each of its tensors.
        is_early: whether an early call takes or gives it.
    """

    tensor: Any
    is_early: bool = False

    @property
    def shape(self) -> tuple[Any, ...]:
        """The shape of one row."""
        shape = tuple(self.tensor.shape[1:])
        made = self.tensor._keras_history.operation  # noqa: SLF001
        # Keras says that a sentence in a column of its own keeps this axis; its layer gives none.
        counted = isinstance(made, keras.layers.TextVectorization) and checks.mode(made) != "int"
        return shape[-1:] if counted else shape


@dataclass(eq=False)
class _Call:
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
    _build(model)
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
    if type(model) not in _PLAIN and not any(one.tensor.dtype == "string" for one in inputs):
        return Cut(model)
    _require_trained_part(model, outputs)
    late = [one for one in calls if not one.is_early]
    taken = [*(one for call in late for one in call.takes), *outputs]
    given = list(dict.fromkeys(one for one in taken if one in inputs or one.is_early))
    early = [one for one in calls if one.is_early]
    graph = _graph(inputs, early, given)
    core = _rest(model, given, late, outputs)
    # Its weights come back in the order of its own variables.
    if [id(one) for one in state.variables(core)] != [id(one) for one in state.variables(model)]:
        raise ModelError(
            f"{model.name} holds weights that no layer behind its lookup or text layers uses, or in an order "
            "of its own: make it of layers alone, without models and layers that its outputs do not need"
        )
    used = {id(one.operation) for one in late}
    left = (one for one in (*(call.operation for call in early), *opened) if id(one) not in used)
    return Cut(core, graph, tuple(left))


def _require_trained_part(model: Any, outputs: list[_Value]) -> None:
    if type(model) not in _PLAIN:
        raise ModelError(
            f"{type(model).__name__} is a class of your own that takes words: give it the numbers of its "
            "lookup or text layers, and keep these in a keras.Model before it"
        )
    for one in outputs:
        if one.is_early or one.tensor.dtype == "string":
            raise ModelError(
                f"{_title(one)} is an output of the model and stands before its trained part: take it out of "
                "the outputs, and call it in a keras.Model of its own"
            )


def _build(model: Any) -> None:
    """Build a Sequential model that begins with a text layer, as its first sentences would.

    Raises:
        ModelError: it begins with a lookup layer, for rows of any shape.
    """
    if not isinstance(model, keras.Sequential) or model.built or not model.layers:
        return
    first = model.layers[0]
    if isinstance(first, keras.layers.TextVectorization):
        model.build((None,))
    elif isinstance(first, checks.LOOKUPS):
        raise ModelError(
            f"the model begins with {checks.title(first)} and does not say what it takes: "
            "begin it with keras.Input((1,), dtype='string'), or of whole numbers with dtype='int64'"
        )


def _calls(function: Any, inputs: list[_Value], calls: list[_Call], opened: list[Any]) -> list[_Value]:
    """List the calls of a model's graph; a model in it that holds lookups is opened, for the calls in it."""
    values = {id(tensor): value for tensor, value in zip(function.inputs, inputs, strict=True)}
    for depth in sorted(function._nodes_by_depth, reverse=True):  # noqa: SLF001  # the calls, first to last
        for node in function._nodes_by_depth[depth]:  # noqa: SLF001
            if node.is_input:
                continue
            arguments = _replaced((node.arguments.args, node.arguments.kwargs), values)
            takes = [values[id(one)] for one in node.input_tensors]
            if (inner := _inner(node.operation)) and (fed := _fed(inner, *arguments)):
                opened.append(node.operation)
                gives = _calls(inner, fed, calls, opened)
            else:
                gives = [_Value(one) for one in node.outputs]
                calls.append(_Call(node.operation, arguments, takes, gives))
            values |= {id(tensor): value for tensor, value in zip(node.outputs, gives, strict=True)}
    return [values[id(one)] for one in function.outputs]


def _inner(called: Any) -> Any:
    """The graph of a model within the model that holds lookups; None for all other layers."""
    inner = getattr(called, "_functional", None) or called
    if type(called) in _PLAIN and any(isinstance(one, checks.LOOKUPS) for one in _layers(inner)):
        return inner
    return None


def _fed(inner: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[_Value] | None:
    """What a model within the model is given, in the order of its inputs; None where the call changes it."""
    given, *rest = args or (None,)
    if rest or any(one is not None for one in kwargs.values()):
        return None  # such as training=False
    struct = inner._inputs_struct  # noqa: SLF001  # the public inputs are flat
    if isinstance(given, dict):
        names = sorted(struct) if isinstance(struct, dict) else [one.name for one in inner.inputs]
        given = [given.get(name) for name in names]
    flat = keras.tree.flatten(given)
    if len(flat) != len(inner.inputs) or not all(isinstance(one, _Value) for one in flat):
        return None
    same = all(
        (one.tensor.dtype, len(one.tensor.shape)) == (taken.dtype, len(taken.shape))
        for one, taken in zip(flat, inner.inputs, strict=True)
    )
    return flat if same else None


def _replaced(arguments: Any, found: dict[int, Any]) -> Any:
    """Arguments with other tensors in the place of theirs, by ``id()``."""
    return keras.tree.map_structure(lambda one: found.get(id(one), one), arguments)


def _layers(model: Any) -> Iterator[Any]:
    yield from model._flatten_layers(include_self=False)  # noqa: SLF001  # nested ones too


def _find_early(calls: list[_Call]) -> None:
    """Mark the calls of lookups, of what handles words, and of all that stands before them."""
    for call in reversed(calls):
        words = any(one.tensor.dtype == "string" for one in (*call.takes, *call.gives))
        if words or isinstance(call.operation, checks.LOOKUPS) or any(one.is_early for one in call.gives):
            call.is_early = True
            for one in (*call.takes, *call.gives):
                one.is_early = True


def _title(value: _Value) -> str:
    return f"layer '{value.tensor._keras_history.operation.name}'"  # noqa: SLF001


def _rest(model: Any, given: list[_Value], late: list[_Call], outputs: list[_Value]) -> Any:
    """A model of the calls behind the early ones, compiled as the user's own."""
    fresh = {
        one: keras.Input(one.shape, dtype=one.tensor.dtype, name=f"given_{number}")
        for number, one in enumerate(given)
    }
    for call in late:
        args, kwargs = _replaced(call.arguments, {id(one): made for one, made in fresh.items()})
        made = keras.tree.flatten(call.operation(*args, **kwargs))
        fresh |= dict(zip(call.gives, made, strict=True))
    inputs, ends = [fresh[one] for one in given], [fresh[one] for one in outputs]
    whole = getattr(model, "_functional", None) or model
    shaped = keras.tree.pack_sequence_as(whole._outputs_struct, ends)  # noqa: SLF001  # the public are flat
    core = keras.Model(inputs if len(inputs) > 1 else inputs[0], shaped, name=model.name)
    # A model in the model that was opened gave its name to its output.
    core.output_names = list(whole.output_names)
    core.dtype_policy = model.dtype_policy
    core._trainable = model.trainable  # noqa: SLF001  # the public name would set that of each layer
    order = {id(one): place for place, one in enumerate(model.variables)}
    core._layers.sort(key=lambda one: min((order.get(id(held), 0) for held in one.variables), default=0))  # noqa: SLF001
    for name in _COMPILED:
        if name in vars(model) or hasattr(model, name):
            setattr(core, name, getattr(model, name))
    return core


def _graph(inputs: list[_Value], early: list[_Call], given: list[_Value]) -> Graph:
    """The early calls as steps, from the inputs to what the trained part is given."""
    numbers = {one: number for number, one in enumerate(inputs)}
    dtypes: dict[_Value, str | None] = {}
    steps: list[Step] = []
    for call in early:
        places = {id(one): Place(number) for number, one in enumerate(call.takes)}
        tensors = [one.tensor for one in call.takes], [one.tensor for one in call.gives]
        made = operation(call.operation, _replaced(call.arguments, places), *tensors)
        steps.append(Step(made, tuple(numbers[one] for one in call.takes)))
        for one in call.gives:
            numbers[one] = len(numbers)
            dtypes[one] = made.dtype
    outputs = []
    for index, one in enumerate(given):
        checks.require_field(one.tensor, one.shape)
        # It lies on disk in the narrowest type, and is cast when it is read.
        dtype = dtypes.get(one) or str(one.tensor.dtype)
        outputs.append(Field(f"x{index}", (), _title(one), dtype, one.shape))
    return Graph(tuple(steps), tuple(numbers[one] for one in given), tuple(outputs))
