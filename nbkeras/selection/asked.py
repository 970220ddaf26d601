"""Asked: what a comparison is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Asked:
    """What a comparison is asked for; see :func:`nbkeras.compare`."""

    y: Any
    models: Any
    features: Sequence[str] | None
    sample_weight: str | None
    test: Any
    folds: Any
    metric: str | None
    task: str | None
    seed: int
    training: Mapping[str, Any]

    @property
    def columns(self) -> list[str] | None:
        """The feature columns that are named; a single one may stand for a list."""
        if self.features is None:
            return None
        return [self.features] if isinstance(self.features, str) else list(self.features)
