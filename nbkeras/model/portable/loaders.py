"""Batches of a torch ``DataLoader``, in the same order in every process."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any


def started(loader: Any, seed: int) -> Iterator[Any]:
    """Return the batches of a ``DataLoader``, whose sampler draws from torch's generator at the first one.

    The generator of this process stays as it is.
    """
    import torch

    # Samplers draw on the CPU; CUDA, if there is one, keeps its own generators.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        batches = iter(loader)
        first = list(itertools.islice(batches, 1))
    return itertools.chain(first, batches)
