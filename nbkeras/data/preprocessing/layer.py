"""Layer: one of Keras' own layers that runs in a Spark task, where Arrow cannot do what it does."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from nbkeras.data.preprocessing.graph import Array, Operation, Text
from nbkeras.errors import ClusterError

#: The layers that are loaded in this process, by their bytes.
_loaded: dict[bytes, Any] = {}


@dataclass(frozen=True)
class Layer(Operation):
    """A layer of Keras that needs TensorFlow, whatever the backend.

    Attributes:
        title: of the layer, for messages.
        pickled: the layer, from :func:`nbkeras.model.pickling.dumps`.
        backend: of Keras, where this process has not chosen one.
        listed: whether the layer takes its values as a list.
    """

    title: str
    pickled: bytes
    backend: str
    listed: bool = False

    def __call__(self, *values: Any) -> Array:
        """See :class:`Operation`."""
        if self.pickled not in _loaded:
            if importlib.util.find_spec("tensorflow") is None:
                raise ClusterError(
                    f"{self.title} needs TensorFlow, which this executor's Python lacks: "
                    "install tensorflow there"
                )
            os.environ.setdefault("KERAS_BACKEND", self.backend)
            os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
            from nbkeras.model import pickling

            _loaded[self.pickled] = pickling.loads(self.pickled)
        given = [_as_array(one) for one in values]
        return np.asarray(_loaded[self.pickled](given if self.listed else given[0]))


def _as_array(value: Any) -> Array:
    if not isinstance(value, Text):
        return np.asarray(value)
    # TensorFlow takes words as bytes; those of NumPy's own type would lose zeros at their end.
    return np.asarray(value.values.cast("binary").to_pylist(), object).reshape(value.shape)
