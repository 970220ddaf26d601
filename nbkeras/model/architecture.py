"""Architecture: what a model's layers are told, so that two models can be compared without their weights."""

from __future__ import annotations

import json
from typing import Any

from nbkeras.model import settings

#: Keys of Keras' configurations that differ between two equal models: names, and seeds that layers draw
#: where none is given.
_GIVEN = {"module", "name", "registered_name", "seed", "shared_object_id"}
#: Those of which each layer tells by itself, and those that the optimizer and the loss tell.
_TWICE = {"build_config", "compile_config", "layers"}
#: Those of what a layer has learned by ``adapt``, which it may do again.
_LEARNED = {"bin_boundaries", "idf_weights", "mean", "variance", "vocabulary", "vocabulary_size"}
_APART = _GIVEN | _TWICE | _LEARNED
#: What tells of a model how its layers are connected.
_WIRES = frozenset({"connected", "input_layers", "output_layers"})


def of(model: Any) -> list[list[Any]]:
    """Describe each layer of a model, also of models within, ready for JSON.

    Names that Keras or the user has given do not count, nor do initializers and seeds, which a trained model
    has no more use for, nor what layers have learned by ``adapt``. Nothing looks into the code of functions
    and of custom classes.

    Returns:
        The class and the arguments of each layer; a model's arguments tell how its layers are connected.

    Example:
        >>> import keras
        >>> one, other = (
        ...     keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, activation=name)])
        ...     for name in ("relu", "tanh")
        ... )
        >>> difference(of(one), of(other))
        "layer 2, Dense: activation='tanh' here, activation='relu' there"
        >>> difference(of(one), of(keras.models.clone_model(one)))
        ''
    """
    layers = [*model._flatten_layers(include_self=False), model]  # noqa: SLF001  # nested ones too
    places = {one.name: f"layer {number}" for number, one in enumerate(layers, 1)}
    return [[type(one).__name__, _arguments(one, places)] for one in layers]


def difference(there: list[list[Any]], here: list[list[Any]]) -> str:
    """Name the first difference of two models; empty where there is none.

    Args:
        there: the one, from :func:`of`.
        here: the other.
    """
    if len(there) != len(here):
        return f"{len(here) - 1} layers here, {len(there) - 1} there"
    for number, ((kind, before), (now_kind, now)) in enumerate(zip(there, here, strict=True), 1):
        what = f"layer {number}, {now_kind}" if number < len(here) else "the model"
        if kind != now_kind:
            return f"{what} here, {kind} there"
        if before != now:
            return f"{what}: {_first(before, now)}"
    return ""


def _first(there: dict[str, Any], here: dict[str, Any]) -> str:
    """The first argument that differs, also of what an argument is made of."""
    name = next(one for one in sorted({*there, *here}) if there.get(one) != here.get(one))
    before, now = there.get(name), here.get(name)
    if name in _WIRES:
        return "its layers are connected in another way"
    if isinstance(before, dict) and isinstance(now, dict):
        return _first(before, now)
    return f"{name}={now!r} here, {name}={before!r} there"


def _arguments(layer: Any, places: dict[str, str]) -> dict[str, Any]:
    try:
        config = layer.get_config()
        inner = [one for one in config.get("layers") or [] if isinstance(one, dict)]
        connected = [one["inbound_nodes"] for one in inner if one.get("inbound_nodes")]
        told = _plain(config | ({"connected": connected} if connected else {}), places)
        # As the checkpoint gives it back: without tuples.
        arguments: dict[str, Any] = json.loads(json.dumps(told, default=settings.described))
    except Exception:  # noqa: BLE001  # a custom class: its name is all that is known
        return {}
    return arguments


def _plain(value: Any, places: dict[str, str]) -> Any:
    """A part of a configuration, with places for the names of layers, and without what does not count."""
    if isinstance(value, dict):
        if value.get("class_name") in ("__lambda__", "function"):
            return _plain(value["class_name"], places)
        return {
            key: _plain(one, places)
            for key, one in value.items()
            # A policy of types has nothing but its name.
            if len(value) == 1 or (key not in _APART and not str(key).endswith("_initializer"))
        }
    if isinstance(value, (list, tuple)):
        return [_plain(one, places) for one in value]
    return places.get(value, value) if isinstance(value, str) else value
