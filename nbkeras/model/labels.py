"""Check that class labels are below the number of the model's outputs.

Otherwise TensorFlow and PyTorch raise errors of their kernels, and JAX silently computes a loss of 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from nbkeras.errors import DataError
from nbkeras.schema import Schema

#: Number of labels that are checked together.
_PIECE = 1 << 20


def check(
    model: Any, schema: Schema, arrays: Mapping[str, npt.NDArray[Any]], batch: Callable[[], Any]
) -> str:
    """Check all labels, and return a note about labels that Keras rounds to a class, or an empty string.

    Args:
        model: compiled.
        schema: of the rows.
        arrays: the values of all rows, by field.
        batch: returns some rows of the inputs; called if the model does not know the shapes of its outputs.

    Raises:
        DataError: a label is negative, or not below the number of outputs.
    """
    for name, loss, units in _numbered(model, schema, batch):
        labels, ignored = arrays[name].reshape(-1), getattr(loss, "ignore_class", None)
        for begin in range(0, len(labels), _PIECE):
            piece = labels[begin : begin + _PIECE]
            piece = piece[np.isfinite(piece) & (piece != (np.nan if ignored is None else ignored))]
            for label in (piece.min(), piece.max()) if len(piece) else ():
                if not 0 <= int(label) < units:
                    way = "down" if label < 0 else "up"
                    raise DataError(
                        f"labels go {way} to {label:g}, and the last layer has {units} outputs, for "
                        f"classes 0 to {units - 1}: number classes from 0, or give the layer as many units"
                    )
            if len(broken := piece[piece != np.trunc(piece)]):
                return (
                    f"labels such as {broken[0]:g} are no whole numbers: Keras takes class {int(broken[0])}"
                )
    return ""


def _numbered(model: Any, schema: Schema, batch: Callable[[], Any]) -> Iterator[tuple[str, Any, int]]:
    """Yield each label field that holds class numbers, with its loss and the number of classes."""
    fields, given = [one.name for one in schema.labels], model.loss
    names = list(schema.y) if isinstance(schema.y, dict) else []
    losses = list(given) if isinstance(given, (list, tuple)) else [given] * len(fields)
    if isinstance(given, dict):
        losses = [given.get(name) for name in names]
    found = [(name, loss) for name, loss in zip(fields, losses, strict=False) if _is_sparse(loss)]
    if not found:
        return
    outputs = getattr(model, "_outputs_struct", None)
    if not isinstance(outputs, dict):
        outputs = getattr(model, "outputs", None) or model(batch(), training=False)
    if isinstance(outputs, dict):
        outputs = [outputs.get(name) for name in names or outputs]
    by_field = dict(zip(fields, keras.tree.flatten(outputs), strict=False))
    for name, loss in found:
        if by_field.get(name) is not None and by_field[name].shape[-1] is not None:
            yield name, loss, int(by_field[name].shape[-1])


def _is_sparse(loss: Any) -> bool:
    if isinstance(loss, str):
        loss = keras.losses.get(loss)
    return getattr(loss, "fn", loss) is keras.losses.sparse_categorical_crossentropy
