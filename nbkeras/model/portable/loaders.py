"""Batches of a torch ``DataLoader``, which draws from torch's own generator.

On a worker the loaders draw from one that begins where that of the notebook stands. What else draws there has
the worker's own.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

#: On a worker, where torch's generator stands for its loaders.
_state: dict[str, Any] = {}


def is_loader(thing: Any) -> bool:
    """Whether this is a ``DataLoader``, without an import of torch."""
    return any(one.__name__ == "DataLoader" for one in type(thing).__mro__)


def has_generator(loader: Any) -> bool:
    """Whether a loader or its sampler draws from a generator of its own."""
    return bool(_generators(loader))


@contextmanager
def unmoved(loader: Any) -> Iterator[None]:
    """Put a loader's own generators back to where they stood before the block; other data has none."""
    before = [(one, one.get_state()) for one in (_generators(loader) if is_loader(loader) else ())]
    try:
        yield
    finally:
        for one, stood in before:
            one.set_state(stood)


def shuffles(loader: Any) -> bool:
    """Whether a loader may give its rows in another order in each epoch."""
    return has_generator(loader) or type(getattr(loader, "sampler", None)).__name__ != "SequentialSampler"


def state() -> bytes:
    """Return where torch's generator stands."""
    torch = sys.modules["torch"]
    return bytes(torch.random.get_rng_state().numpy())


def restore(stands: bytes) -> None:
    """Let the loaders of this worker draw from there on."""
    _state["torch"] = _tensor(stands)


def given() -> dict[str, str]:
    """Return where torch's generator stands for the loaders of this worker, in hexadecimal, if it has any."""
    return {name: bytes(one.numpy()).hex() for name, one in _state.items()}


def go_on(stands: dict[str, Any]) -> None:
    """Let torch's generator in the notebook go on as it has for the loaders of a worker.

    Args:
        stands: from :func:`given`.
    """
    if (found := stands.get("torch")) is not None:
        sys.modules["torch"].random.set_rng_state(_tensor(bytes.fromhex(found)))


def started(loader: Any) -> Iterator[Any]:
    """Read the batches of a ``DataLoader`` from the first."""
    if not _state:
        yield from loader
        return
    import torch

    batches: Any = None
    while True:
        # Samplers draw on the CPU; CUDA, if there is one, keeps its own generators.
        with torch.random.fork_rng(devices=[]):
            torch.random.set_rng_state(_state["torch"])
            if batches is None:
                batches = iter(loader)
            batch = next(batches, _state)
            _state["torch"] = torch.random.get_rng_state()
        if batch is _state:
            return
        yield batch


def _generators(loader: Any) -> list[Any]:
    found = (getattr(one, "generator", None) for one in (loader, getattr(loader, "sampler", None)))
    return [one for one in found if one is not None]


def _tensor(stands: bytes) -> Any:
    import torch

    return torch.from_numpy(np.frombuffer(stands, np.uint8).copy())
