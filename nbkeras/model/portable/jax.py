"""Pickling of Keras objects on JAX."""

from __future__ import annotations

from typing import Any

import jax
import keras

from nbkeras.model import portable

#: Attributes that Keras adds on JAX only.
_OWN = {"_jax_state", "_jax_state_synced"}


def widen() -> None:
    """Let JAX compute in 64 bits: by default it converts them to 32."""
    jax.config.update("jax_enable_x64", True)


def held(thing: Any) -> dict[str, Any]:
    """Return the attributes of a Keras object that are the same on every backend."""
    return {key: value for key, value in vars(thing).items() if key not in _OWN}


def hold(thing: Any, attributes: dict[str, Any]) -> None:
    """Set the attributes of a blank Keras object, and those of JAX."""
    # Bypass __setattr__, which would track them again.
    vars(thing).update({**portable.fresh(thing), **attributes})


def reduced(thing: Any) -> tuple[Any, ...] | None:
    """Return how to pickle an object of JAX, or None for the usual way."""
    if isinstance(thing, jax.Array) and not jax.dtypes.issubdtype(thing.dtype, jax.dtypes.prng_key):
        return portable.tensor, (keras.ops.convert_to_numpy(thing), thing.dtype.name)
    return None
