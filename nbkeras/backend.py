"""The backend of Keras: one that is installed, before Keras is imported."""

from __future__ import annotations

import os
import sys

from nbkeras import requirements
from nbkeras.errors import ClusterError
from nbkeras.requirements import BACKENDS


def require() -> None:
    """Make sure that Keras has a backend; where its usual one is not installed, it is told another one.

    Raises:
        ClusterError: none is installed, or not the one that ``KERAS_BACKEND`` names.

    Example:
        >>> from nbkeras import backend
        >>> backend.require()
    """
    if "keras" in sys.modules:
        return
    named, chosen = os.environ.get("KERAS_BACKEND"), requirements.backend()
    if chosen in BACKENDS and not requirements.is_there(chosen):
        others = [name for name in BACKENDS if requirements.is_there(name)]
        what = (
            f"Keras is to work with {chosen}, which is not installed"
            if named
            else "Keras has no backend here"
        )
        other = f", or set KERAS_BACKEND={others[0]}" if others else " (or torch, or jax)"
        raise ClusterError(f"{what}: pip install 'nbkeras[{chosen}]'{other}, and restart the kernel")
    if not named and chosen in BACKENDS and chosen != "tensorflow":
        # What Keras would find itself is said too: its settings file is seldom known.
        os.environ["KERAS_BACKEND"] = chosen
        print(f"Keras works with {BACKENDS[chosen][0]} here.")  # noqa: T201  # the user has not asked for it
