"""PyTorch as a backend."""

from __future__ import annotations

import socket
from typing import Any

import keras
import numpy as np
import torch

from nbkeras.worker.backends.arrays import Circle, batches, is_free, reserve  # noqa: F401  # offered on


def use_threads(number: int) -> None:
    """Use so many threads; must come before the first operation."""
    torch.set_num_threads(number)
    torch.set_num_interop_threads(number)


def draw(seeds: list[int]) -> None:
    """Seed torch's own generator, from which Dropout draws that was given no seed.

    Trainers are forks of one process, in which that generator stands where it stands in all of them.
    """
    torch.manual_seed(int(np.random.SeedSequence(seeds).generate_state(1)[0]))


def join(port: socket.socket, addresses: list[str], rank: int, secret: bytes, *, gpus: bool) -> Torch:  # noqa: ARG001
    """Meet the other workers; sums pass through main memory, also those of GPUs."""
    return Torch(port, addresses, rank, secret)


class Torch(Circle):
    """Workers that train with torch."""

    def begin(self, batch: Any, *, training: bool) -> Any:
        """Enter the next step, of a batch; this worker's share of its rows."""
        self.summed = False
        self.share = keras.ops.convert_to_tensor(self.advance(training=training))
        return self.share

    def add_up(self, vector: Any) -> Any:
        """The sum of all workers' vectors, inside a step; the flags ride with it."""
        return torch.from_numpy(self.sum_step(vector.detach().cpu().numpy())).to(vector.device)

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
