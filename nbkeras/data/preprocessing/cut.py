"""Cut: find what a Keras model does with words and categories, and the part behind it that trains on numbers.

Calls of layers are early if a lookup, hashing or text layer stands in them or behind them, or if they take or
give words: they become the steps of a graph. All other calls are late, and become the trained part: a
``keras.Model`` over the same layers, so that what it learns, the user's model knows. It is given what late
calls take of early ones, and of the inputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
from keras.src.utils.tracking import DotNotTrackScope

from nbkeras.data.preprocessing import checks
from nbkeras.data.preprocessing.calls import PLAIN, Call, Value, calls, replaced
from nbkeras.data.preprocessing.graph import Graph
from nbkeras.errors import ModelError
from nbkeras.model import state
from nbkeras.schema import WORDS

#: What ``compile`` gives a model.
_COMPILED = (
    *("optimizer", "loss", "compiled", "jit_compile", "run_eagerly", "steps_per_execution"),
    *("_compile_loss", "_compile_metrics", "_loss_tracker", "_compile_config"),
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


def cut(model: Any) -> Cut:
    """Cut a model behind its lookup, hashing and text layers.

    Args:
        model: any Keras model.

    Raises:
        ModelError: the model takes words, and cannot be cut.
    """
    _build(model)
    found = calls(model, checks.LOOKUPS)
    if found is None:
        return Cut(model)
    _find_early(found.made)
    if not any(one.is_early for one in found.made):
        return Cut(model)
    if type(model) not in PLAIN and not any(one.tensor.dtype == WORDS for one in found.inputs):
        return Cut(model)
    _require_trained_part(model, found.outputs)
    late = [one for one in found.made if not one.is_early]
    taken = [*(one for call in late for one in call.takes), *found.outputs]
    given = list(dict.fromkeys(one for one in taken if one in found.inputs or one.is_early))
    graph = found.graph(given)
    for one in given:
        checks.require_field(one.tensor, one.shape)
    core = _rest(model, given, late, found.outputs)
    # Its weights come back in the order of its own variables.
    if [id(one) for one in state.variables(core)] != [id(one) for one in state.variables(model)]:
        raise ModelError(
            f"{model.name} holds weights that no layer behind its lookup or text layers uses, or in an order "
            "of its own: make it of layers alone, without models and layers that its outputs do not need"
        )
    used = {id(one.operation) for one in late}
    early = (call.operation for call in found.made if call.is_early)
    left = (one for one in (*early, *found.opened) if id(one) not in used)
    return Cut(core, graph, tuple(left))


def _require_trained_part(model: Any, outputs: list[Value]) -> None:
    if type(model) not in PLAIN:
        raise ModelError(
            f"{type(model).__name__} is a class of your own that takes words: give it the numbers of its "
            "lookup or text layers, and keep these in a keras.Model before it"
        )
    for one in outputs:
        if one.is_early or one.tensor.dtype == WORDS:
            raise ModelError(
                f"{one.title} is an output of the model and stands before its trained part: take it out of "
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


def _find_early(calls: list[Call]) -> None:
    """Mark the calls of lookups, of what handles words, and of all that stands before them."""
    for call in reversed(calls):
        words = any(one.tensor.dtype == WORDS for one in (*call.takes, *call.gives))
        if words or isinstance(call.operation, checks.LOOKUPS) or any(one.is_early for one in call.gives):
            call.is_early = True
            for one in (*call.takes, *call.gives):
                one.is_early = True


def _rest(model: Any, given: list[Value], late: list[Call], outputs: list[Value]) -> Any:
    """A model of the calls behind the early ones, compiled as the user's own."""
    fresh = {
        one: keras.Input(one.shape, dtype=one.tensor.dtype, name=f"given_{number}")
        for number, one in enumerate(given)
    }
    for call in late:
        args, kwargs = replaced(call.arguments, {id(one): made for one, made in fresh.items()})
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
    # As `compile` does: tracked, its metrics would be there twice, and JAX gives no buffer away twice.
    with DotNotTrackScope():
        for name in _COMPILED:
            if name in vars(model) or hasattr(model, name):
                setattr(core, name, getattr(model, name))
    # Keras keeps which layers were frozen when the model was compiled.
    if before := getattr(model, "_compiled_trainable_state", None):
        kept = {one: before.get(one, model.trainable) for one in core._flatten_layers()}  # noqa: SLF001
        core._compiled_trainable_state = kept  # noqa: SLF001
    return core
