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


def weights(classes: Any, class_weight: Mapping[int, float]) -> npt.NDArray[Any]:
    """Return the weight of each row's class, as Keras does; 1 for a class that has none.

    Args:
        classes: numbers of classes, of shape (rows,) or (rows, 1), or one-hot, of shape (rows, classes).
        class_weight: by class.

    Raises:
        DataError: rows have several labels each.

    Example:
        >>> from nbkeras.model import labels
        >>> labels.weights([0, 1, 2], {1: 3.0}).tolist()
        [1.0, 3.0, 1.0]
    """
    classes = np.asarray(classes)
    if classes.ndim > 2:
        raise DataError(
            f"class_weight takes one class per row, but labels are rows of shape {classes.shape[1:]}: "
            "give sample_weight"
        )
    if classes.ndim > 1:
        classes = np.argmax(classes, axis=-1) if classes.shape[-1] != 1 else classes[..., 0]
    given, classes = np.ones(len(classes), keras.config.floatx()), np.round(classes)
    for name, value in class_weight.items():
        given[classes == name] = value
    return given


def _numbered(model: Any, schema: Schema, batch: Callable[[], Any]) -> Iterator[tuple[str, Any, int]]:
    """Yield each label field that holds class numbers, with its loss and the number of classes."""
    given = model.loss
    # Labels that are nested deeper are as Keras finds them.
    names = schema.y if schema.y is not None else tuple(one.name for one in schema.labels)
    places = list(names) if isinstance(names, dict) else list(range(len(names)))
    single = not isinstance(given, (dict, list, tuple))
    found = [
        (place, names[place], loss)
        for place in places
        if isinstance(names[place], str) and _is_sparse(loss := given if single else _at(given, place))
    ]
    if not found:
        return
    outputs = getattr(model, "_outputs_struct", None)
    if not isinstance(outputs, dict):
        outputs = getattr(model, "outputs", None) or model(batch(), training=False)
    outputs = outputs if isinstance(outputs, (dict, list, tuple)) else [outputs]
    by_name = dict(zip(getattr(model, "output_names", ()), keras.tree.flatten(outputs), strict=False))
    for place, name, loss in found:
        output = _at(outputs, place)
        units = getattr(by_name.get(place) if output is None else output, "shape", (None,))[-1]
        if units is not None:
            yield name, loss, int(units)


def _at(things: Any, place: Any) -> Any | None:
    """What lies at a place, a key or a number; None where nothing does."""
    if isinstance(things, dict):
        return things.get(place)
    return things[place] if isinstance(place, int) and place < len(things) else None


def _is_sparse(loss: Any) -> bool:
    if isinstance(loss, str):
        loss = keras.losses.get(loss)
    return getattr(loss, "fn", loss) is keras.losses.sparse_categorical_crossentropy
