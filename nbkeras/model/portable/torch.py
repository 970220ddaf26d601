"""Keras objects on PyTorch, as another process can take them."""

from __future__ import annotations

from typing import Any

import keras
import torch

from nbkeras.model import portable

#: What a module of torch keeps for itself; layers and other modules that it holds are among them.
_OWN = {*vars(torch.nn.Module())} - {"training"}


def widen() -> None:
    """Torch always computes in the type that it is given."""


def held(thing: Any) -> dict[str, Any]:
    """The attributes of a Keras object that any backend understands.

    Raises:
        TypeError: it holds parameters that are not Keras' own.
    """
    attributes = vars(thing)
    values = {key: value for key, value in attributes.items() if key not in _OWN}
    if isinstance(thing, torch.nn.Module):
        modules = {key: one for key, one in attributes["_modules"].items() if key != "_torch_params"}
        foreign = [key for key, one in modules.items() if not isinstance(one, keras.Layer)]
        foreign += [*attributes["_parameters"], *attributes["_buffers"]]
        if foreign:
            raise TypeError(f"{foreign[0]} belongs to torch, not to Keras")
        values |= modules
    return values


def hold(thing: Any, attributes: dict[str, Any]) -> None:
    """Give a blank Keras object its attributes, and those that torch has for itself."""
    # Past __setattr__: tracking is part of the attributes already.
    values = vars(thing)
    values.update(portable.fresh(thing))
    # A module keeps the modules that it holds, layers among them, apart from its other attributes.
    modules = values.get("_modules", values)
    for key, value in attributes.items():
        (modules if isinstance(value, torch.nn.Module) else values)[key] = value


def reduced(thing: Any) -> tuple[Any, ...] | None:
    """How a thing of torch's own is pickled, or None if as any other."""
    if type(thing) is torch.Tensor:
        return portable.tensor, (keras.ops.convert_to_numpy(thing), str(thing.dtype).removeprefix("torch."))
    return None
