"""Pickling of Keras objects on PyTorch."""

from __future__ import annotations

from typing import Any

import keras
import torch

from nbkeras.model import portable

#: Attributes of every module of torch, among them its layers and other modules.
_OWN = {*vars(torch.nn.Module())} - {"training"}


def widen() -> None:
    """Do nothing: torch always computes in the given type."""


def held(thing: Any) -> dict[str, Any]:
    """Return the attributes of a Keras object that are the same on every backend.

    Raises:
        TypeError: the object holds parameters of torch that Keras does not know.
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
    """Set the attributes of a blank Keras object, and those of torch."""
    # Bypass __setattr__, which would track them again.
    values = vars(thing)
    values.update(portable.fresh(thing))
    # A module of torch stores modules, layers among them, apart from its other attributes.
    modules = values.get("_modules", values)
    for key, value in attributes.items():
        (modules if isinstance(value, torch.nn.Module) else values)[key] = value


def reduced(thing: Any) -> tuple[Any, ...] | None:
    """Return how to pickle an object of torch, or None for the usual way."""
    if type(thing) is torch.Tensor:
        return portable.tensor, (keras.ops.convert_to_numpy(thing), str(thing.dtype).removeprefix("torch."))
    return None
