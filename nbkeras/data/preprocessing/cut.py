"""Cut: find what a Keras model does with words and categories, and the part behind it that trains on numbers.

The trained part is a ``keras.Model`` over the same layers: what it learns, the user's model knows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
from keras.src.models.functional import Functional

from nbkeras.data.preprocessing.calls import LOOKUPS, Call, Calls, Value, calls, replaced
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
    found = calls(model, LOOKUPS)
    if found is None:
        return Cut(model)
    _find_early(found.made)
    if not any(one.is_early for one in found.made):
        return Cut(model)
    if type(model) not in (keras.Sequential, Functional):
        if not any(one.tensor.dtype == WORDS for one in found.inputs):
            return Cut(model)
        raise ModelError(
            f"{type(model).__name__} is a class of your own that takes words: give it the numbers of its "
            "lookup or text layers, and keep these in a keras.Model before it"
        )
    late = [one for one in found.made if not one.is_early]
    if not late or any(one.is_early for one in found.outputs):
        raise ModelError("the model ends in its lookup or text layers: nothing behind them is trained")
    taken = (one for call in late for one in call.takes)
    given = list(dict.fromkeys(one for one in taken if one in found.inputs or one.is_early))
    _require_numbers(given)
    rest = _rest(model, found, given)
    # Its weights come back in the order of its own variables.
    if [id(one) for one in state.variables(rest)] != [id(one) for one in state.variables(model)]:
        raise ModelError("the layers behind the lookup or text layers keep their weights in another order")
    left = (*(one.operation for one in found.made if one.is_early), *found.opened)
    return Cut(rest, found.graph(given), left)


def _find_early(calls: list[Call]) -> None:
    """Mark the calls of lookups, of what handles words, and of all that stands before them."""
    for call in reversed(calls):
        words = any(one.tensor.dtype == WORDS for one in (*call.takes, *call.gives))
        if words or isinstance(call.operation, LOOKUPS) or any(one.is_early for one in call.gives):
            call.is_early = True
            for one in (*call.takes, *call.gives):
                one.is_early = True


def _require_numbers(given: list[Value]) -> None:
    for one in given:
        if None in one.shape:
            raise ModelError(
                f"{one.title} gives rows of any length: give TextVectorization "
                "output_sequence_length=…, or a lookup its vocabulary before it is called"
            )


def _rest(model: Any, found: Calls, given: list[Value]) -> Any:
    """A model of the calls that are not early, compiled as the user's own."""
    fresh = {
        one: keras.Input(one.shape, dtype=one.tensor.dtype, name=f"given_{number}")
        for number, one in enumerate(given)
    }
    for call in found.made:
        if not call.is_early:
            args, kwargs = replaced(call.arguments, {id(one): made for one, made in fresh.items()})
            made = keras.tree.flatten(call.operation(*args, **kwargs))
            fresh |= dict(zip(call.gives, made, strict=True))
    inputs, ends = [fresh[one] for one in given], [fresh[one] for one in found.outputs]
    whole = getattr(model, "_functional", None) or model
    # The public outputs are flat.
    nested = keras.tree.pack_sequence_as(whole._outputs_struct, ends)  # noqa: SLF001
    rest = keras.Model(inputs if len(inputs) > 1 else inputs[0], nested, name=model.name)
    # Not by its setter, which would change all layers.
    rest._trainable = model._trainable  # noqa: SLF001
    for name in _COMPILED:
        if hasattr(model, name):
            setattr(rest, name, getattr(model, name))
    # Keras keeps which layers were frozen when the model was compiled.
    if before := getattr(model, "_compiled_trainable_state", None):
        kept = {one: before.get(one, model.trainable) for one in rest._flatten_layers()}  # noqa: SLF001
        rest._compiled_trainable_state = kept  # noqa: SLF001
    return rest
