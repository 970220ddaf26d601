"""Keras objects on JAX, as another process can take them."""

from __future__ import annotations

from typing import Any

import jax
import keras

from nbkeras.model import portable

#: What JAX's part of Keras keeps for itself.
_OWN = {"_jax_state", "_jax_state_synced"}


def widen() -> None:
    """Let JAX compute in 64 bits: by itself it would take 32 for them."""
    jax.config.update("jax_enable_x64", True)


def held(thing: Any) -> dict[str, Any]:
    """The attributes of a Keras object that any backend understands."""
    return {key: value for key, value in vars(thing).items() if key not in _OWN}


def hold(thing: Any, attributes: dict[str, Any]) -> None:
    """Give a blank Keras object its attributes, and those that JAX has for itself."""
    # Past __setattr__: tracking is part of the attributes already.
    vars(thing).update({**portable.fresh(thing), **attributes})


def reduced(thing: Any) -> tuple[Any, ...] | None:
    """How a thing of JAX's own is pickled, or None if as any other."""
    if isinstance(thing, jax.Array) and not jax.dtypes.issubdtype(thing.dtype, jax.dtypes.prng_key):
        return portable.tensor, (keras.ops.convert_to_numpy(thing), thing.dtype.name)
    return None
