"""GPUs as the backends see them: which are there, and how their memory is taken."""

from __future__ import annotations

import os
from collections.abc import Sequence

#: TensorFlow and JAX take nearly all of a GPU's memory at once unless told otherwise, torch does not.
#: See tensorflow.org/guide/gpu and docs.jax.dev/en/latest/gpu_memory_allocation.html.
_AS_NEEDED = {"TF_FORCE_GPU_ALLOW_GROWTH": "true", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}


def share_memory() -> None:
    """Have backends take a GPU's memory as they need it: a notebook and trainers may share one.

    What the user has set stays. Works until a backend first uses a GPU, also after its import.
    """
    for key, value in _AS_NEEDED.items():
        os.environ.setdefault(key, value)


def see(addresses: Sequence[str]) -> None:
    """Have backends see these GPUs alone, where any are named; works until one is first used.

    Example:
        >>> import os
        >>> from nbkeras import devices
        >>> devices.see(["1", "3"])
        >>> os.environ.pop("CUDA_VISIBLE_DEVICES")
        '1,3'
        >>> devices.see([])
        >>> "CUDA_VISIBLE_DEVICES" in os.environ
        False
    """
    if addresses:
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(addresses)
