"""PyTorch as a backend."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import torch

from nbkeras.worker.backends.arrays import Circle, batches, is_free, reserve, trace  # noqa: F401  # offered on

#: The states of torch's own generators, on the processor and on GPUs, that are the same on all workers.
_everyones: list[Any] = []


def use_threads(number: int) -> None:
    """Use so many threads; must come before the first operation."""
    torch.set_num_threads(number)
    torch.set_num_interop_threads(number)


def draw(seeds: list[int]) -> None:
    """Seed torch's own generator, from which Dropout draws that was given no seed.

    Trainers are forks of one process, in which that generator stands where it stands in all of them.
    Each goes on with numbers of its own. Those for the rows of all workers are those of a single worker.
    """
    *before, rank, epoch = seeds
    for each in (0, rank):
        torch.manual_seed(int(np.random.SeedSequence([*before, each, epoch]).generate_state(1)[0]))
        if each == 0:
            _everyones[:] = _states()


def _states() -> list[Any]:
    return [torch.get_rng_state(), torch.cuda.get_rng_state_all()]


def _go_on(states: list[Any]) -> None:
    torch.set_rng_state(states[0])
    torch.cuda.set_rng_state_all(states[1])


def join(port: socket.socket, addresses: list[str], rank: int, secret: bytes, *, gpus: bool) -> Torch:  # noqa: ARG001
    """Meet the other workers; sums pass through main memory, also those of GPUs."""
    return Torch(port, addresses, rank, secret)


class Torch(Circle):
    """Workers that train with torch."""

    def begin(self, batch: Any, *, training: bool) -> Any:
        """Enter the next step, of a batch; this worker's share of its rows."""
        self.summed = False
        self._now = self._steps[training]
        self.share = keras.ops.convert_to_tensor(self.advance(training=training))
        return self.share

    def add_up(self, vector: Any) -> Any:
        """The sum of all workers' vectors, inside a step; the flags ride with it."""
        return torch.from_numpy(self.sum_step(vector.detach().cpu().numpy())).to(vector.device)

    def cut(self, draw: Callable[[Any], Any], number: Any, each: int) -> Any:
        """What is drawn for the rows of the step in work, cut to those of this worker."""
        own = _states()
        _go_on(_everyones)
        drawn = draw(self._rows * each)
        _everyones[:] = _states()
        _go_on(own)
        return drawn[torch.from_numpy(self._now.places(self._first, number, each)).to(drawn.device)]

    def sum_gradients(self, pairs: list[tuple[Any, Any]], *, apart: bool) -> list[Any]:
        """One packed all-reduce of the gradients of some variables; those of embeddings are dense."""
        present = [gradient for gradient, _ in pairs if gradient is not None]
        wide = torch.float64 if any(one.dtype == torch.float64 for one in present) else torch.float32
        flat = torch.cat([one.detach().reshape(-1).to(wide) for one in present])
        if self._weighted:
            flat = flat * self.share.to(wide)
        # Replaced where the batch was a filler, never multiplied: it may hold NaN.
        total = self.add_up(torch.where(self.share > 0, flat, torch.zeros_like(flat)))
        pieces = iter(total.split([one.numel() for one in present]))
        return [None if one is None else next(pieces).reshape(one.shape).to(one.dtype) for one, _ in pairs]
