"""Additivity: whether the loss, metric or output of several rows follows from its values for each row."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import ops
from keras.src import backend

from nbkeras.errors import ModelError
from nbkeras.model import randomness, state
from nbkeras.model.state import Vector


def count(structure: Any) -> int:
    """Count the rows of what Keras takes or returns."""
    return int(keras.tree.flatten(structure)[0].shape[0])


def tensors(structure: Any) -> Any:
    """Convert the arrays of a structure, and leave None where an output has no label."""
    return keras.tree.map_structure(ops.convert_to_tensor, structure, none_is_leaf=False)


def cut(structure: Any, row: int | None) -> Any:
    """Return one row as a batch of one, with its mask; all rows if ``row`` is None."""
    if row is None:
        return structure

    def one(value: Any) -> Any:
        if value is None:
            return None
        piece = value[row : row + 1]
        if (mask := backend.get_keras_mask(value)) is not None:
            backend.set_keras_mask(piece, mask[row : row + 1])
        # Keras computes a loss from the logits where the activation has stored them.
        if (logits := getattr(value, "_keras_logits", None)) is not None:
            piece._keras_logits = logits[row : row + 1]  # noqa: SLF001
        return piece

    return keras.tree.map_structure(one, structure)


def spread(predicted: Any) -> Any:
    """Return predictions that differ from row to row, and from step to step, with their masks.

    Those of a model that has learned nothing may all be alike, and then any mean is that of the rows.
    """
    random = np.random.default_rng(0)

    def one(value: Any) -> Any:
        if "float" not in str(getattr(value, "dtype", "")) or None in value.shape:
            return value
        factors = random.uniform(0.01, 1, value.shape)  # probabilities stay probabilities
        changed = value * ops.convert_to_tensor(factors, value.dtype)
        if (mask := backend.get_keras_mask(value)) is not None:
            backend.set_keras_mask(changed, mask)
        return changed

    return keras.tree.map_structure(one, predicted)


def number(loss: Any) -> float:
    """Convert a loss into a float; the losses of several rows are summed."""
    return float(ops.convert_to_numpy(ops.sum(loss)))


def _state(metric: Any) -> Vector:
    values = [np.ravel(state.value(one).astype(np.float64)) for one in metric.variables]
    return np.concatenate(values) if values else np.empty(0)


def couples(model: Any, x: Any) -> bool:
    """Whether the output for a row depends on the other rows of its batch, at inference.

    Args:
        model: built.
        x: some rows.
    """

    def outputs(rows: Any) -> list[npt.NDArray[Any]]:
        return [ops.convert_to_numpy(one) for one in keras.tree.flatten(model(rows, training=False))]

    with randomness.restored(model):
        whole, again = outputs(x), outputs(x)
        singles = [outputs(cut(x, row)) for row in range(count(x))]
    joined = [np.concatenate(several) for several in zip(*singles, strict=True)]
    # An output that differs between two calls is random: it shows nothing about coupling.
    return any(
        close(one, same) and not close(one, apart)
        for one, same, apart in zip(whole, again, joined, strict=True)
    )


def is_mean(model: Any, x: Any, y: Any, weights: Any) -> bool:
    """Whether the loss of some rows is the mean of the losses of each row, and no step is masked.

    Args:
        model: compiled and built.
        x, y, weights: of the rows, as Keras takes them.
    """
    with randomness.paused():
        predicted = model(x, training=False)
        if any(backend.get_keras_mask(one) is not None for one in keras.tree.flatten(predicted)):
            return False
        found, predicted = [], spread(predicted)
        for row in (None, *range(count(x))):
            cut_x, cut_y, cut_predicted, cut_weights = cut((x, y, predicted, weights), row)
            model(cut_x, training=False)  # adds its losses
            found.append(number(model.compute_loss(cut_x, cut_y, cut_predicted, cut_weights, training=False)))
    model.reset_metrics()
    return close(found[0], np.mean(found[1:]))


def growths(compiled: Any, y: Any, predicted: Any, weights: Any) -> list[list[Vector]]:
    """Return how much the state of each compiled metric grows by all rows together, then by each row.

    Args:
        compiled: ``model._compile_metrics``, built; its metrics are reset.
        y, predicted, weights: of the rows.
    """
    found, predicted = [], spread(predicted)
    for rows in (None, *range(count(predicted))):
        compiled.reset_state()
        begun = [_state(one) for one in compiled.metrics]
        compiled.update_state(*cut((y, predicted, weights), rows))
        found.append([_state(one) - start for one, start in zip(compiled.metrics, begun, strict=True)])
    return found


def follows(whole: Vector, singles: list[Vector]) -> tuple[bool, bool]:
    """Whether the growth by all rows is the sum, and whether it is the mean, of the growth by each row."""
    return close(whole, np.sum(singles, axis=0)), close(whole, np.mean(singles, axis=0))


def close(one: Any, other: Any) -> bool:
    """Whether two results are equal up to rounding."""
    return np.shape(one) == np.shape(other) and bool(
        np.allclose(one, other, rtol=1e-3, atol=1e-5, equal_nan=True)
    )


def coupled(name: str, whole: Any, singles: Any) -> ModelError:
    """Make the error for a loss that is neither the mean nor the sum over rows."""
    return ModelError(
        f"the loss {name} of {len(singles)} rows is {np.mean(whole):.6g}, the mean of their losses is "
        f"{np.mean(singles):.6g}: with several "
        "workers a loss must be the mean or the sum over rows; use --workers 1"
    )
