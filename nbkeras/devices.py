"""Devices: the cores of a process, the GPUs that backends see, and how they allocate GPU memory."""

from __future__ import annotations

import os
from collections.abc import Sequence

#: TensorFlow and JAX allocate nearly all of a GPU's memory at once by default, torch does not.
#: See tensorflow.org/guide/gpu and docs.jax.dev/en/latest/gpu_memory_allocation.html.
_AS_NEEDED = {"TF_FORCE_GPU_ALLOW_GROWTH": "true", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}


def cores() -> int:
    """Return how many processor cores this process may run on."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def share_memory() -> None:
    """Let backends allocate GPU memory as they need it, so that a notebook and trainers can share a GPU.

    Values that the user has set stay. Works until a backend first uses a GPU, also after its import.
    """
    for key, value in _AS_NEEDED.items():
        os.environ.setdefault(key, value)


def see(addresses: Sequence[str]) -> None:
    """Let backends see only the given GPUs, or all if none are given; works until a GPU is first used.

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


def may_have_gpus() -> bool:
    """Whether this machine may have GPUs that backends use, as far as its files say, which costs nothing."""
    return any(map(os.path.exists, ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")))
