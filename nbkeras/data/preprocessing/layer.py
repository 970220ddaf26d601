"""Layer: a layer of Keras, or a function of ``keras.ops``, that runs in a Spark task as it is."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from nbkeras import devices
from nbkeras.data.preprocessing.graph import Array, Operation, Text
from nbkeras.errors import ClusterError, DataError

#: The layers that are loaded in this process with their arguments, by their bytes.
_loaded: dict[bytes, Any] = {}
#: Those of them that have computed some rows alone as among others.
_checked: set[bytes] = set()


@dataclass(frozen=True)
class Place:
    """Stands in the arguments of a layer for one of the values that it takes."""

    number: int


@dataclass(frozen=True)
class Layer(Operation):
    """A layer or function of Keras, for what Arrow and NumPy cannot do.

    Attributes:
        title: of the layer, for messages.
        pickled: the layer, its arguments and keyword arguments, from :func:`nbkeras.model.pickling.dumps`;
            each value that it takes is a :class:`Place`.
        backend: of Keras, where this process has not chosen one.
        needs: the package that computes it: TensorFlow for lookup, hashing and text layers, on any backend.
    """

    title: str
    pickled: bytes
    backend: str
    needs: str

    def __call__(self, *values: Any) -> Any:
        """See :class:`Operation`."""
        found = self._computed(values)
        if values[0].shape[0] > 1 and self.pickled not in _checked:
            self._check(values, found)
            _checked.add(self.pickled)
        return found if len(found) > 1 else found[0]

    def _check(self, values: Sequence[Any], found: Sequence[Any]) -> None:
        """Refuse a function of which other rows change the result: each half must give its own again."""
        half = values[0].shape[0] // 2
        for part in (slice(0, half), slice(half, None)):
            again = self._computed([one[part] for one in values])
            if not all(_same(one[part], other) for one, other in zip(found, again, strict=True)):
                raise DataError(
                    f"{self.title} mixes the rows of a batch, and a lookup, hashing or text layer stands "
                    "behind it: compute its result in the DataFrame, where there are no batches"
                )

    def _computed(self, values: Sequence[Any]) -> list[Any]:
        if self.pickled not in _loaded:
            _loaded[self.pickled] = self._load()
        import keras

        called, args, kwargs = _loaded[self.pickled]
        # A trainer may need the GPUs.
        with keras.device("cpu"):
            given = [self._tensor(one) for one in values]
            args, kwargs = keras.tree.map_structure(
                lambda one: given[one.number] if isinstance(one, Place) else one, (args, kwargs)
            )
            made = keras.tree.flatten(called(*args, **kwargs))
        return [_array(keras.ops.convert_to_numpy(one)) for one in made]

    def _load(self) -> Any:
        if importlib.util.find_spec(self.needs) is None:
            raise ClusterError(
                f"{self.title} needs {self.needs}, which this executor's Python lacks: "
                f"install {self.needs} there"
            )
        os.environ.setdefault("KERAS_BACKEND", self.backend)
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        devices.share_memory()
        from nbkeras.model import pickling

        return pickling.loads(self.pickled)

    def _tensor(self, value: Any) -> Any:
        if self.needs != "tensorflow" and not isinstance(value, Text):
            import keras

            return keras.ops.convert_to_tensor(value)
        from nbkeras.model.portable import tables

        if not isinstance(value, Text):
            return tables.tensor(value)
        # NumPy's own type of words would lose zeros at their end.
        words = np.asarray(value.strings.cast(pa.binary()).to_pylist(), object)
        return tables.tensor(words.reshape(value.shape))


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, Text):
        return bool(one.shape == other.shape and one.strings.equals(other.strings))
    return np.array_equal(one, other, equal_nan=one.dtype.kind == "f")


def _array(value: Array) -> Any:
    """The result as an array, or as :class:`Text` where it holds words."""
    if value.dtype.kind not in "OSU":
        return value
    return Text(pa.array(value.reshape(-1).tolist(), pa.binary()).cast(pa.string()), value.shape)
