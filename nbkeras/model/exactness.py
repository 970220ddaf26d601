"""Exactness: what several workers can and cannot train exactly as one process would.

Equal to float rounding: any ``reduction`` of a loss, weights of rows and
classes, masks, several inputs and outputs, ``add_loss`` and regularizers, a
model's own ``compute_loss`` that is a mean or a sum over rows, every optimizer
with its clipping, accumulation, averages and schedules, embeddings, loss
scaling, ``steps_per_execution``, ``BatchNormalization(synchronized=True)``, and
metrics whose state adds up or that are means over batches. Random numbers that
layers draw by ``keras.random``, for each row or for a whole batch.

Close, and named in a note: other BatchNormalization (each worker normalises its
part of a batch; the moving statistics become the workers' mean, weighted by their
rows, at the end of each epoch); Keras' layers that compute an image from the other
images of its batch; layers that use what they draw on several rows at once, such as
those that mix rows (each worker draws numbers of its own, see ``worker/draws.py``);
custom layers whose output for a row depends on other rows, which
is tested on some rows; a custom ``train_step`` (its gradients and its results for
whole batches are weighted by rows, and each worker draws numbers of its own). Mixed
precision rounds each worker's part. An embedding of a model that runs eagerly is
close where its optimizer squares or clips gradients. Only if chosen: ``sync_every``,
with which each worker trains alone for several steps.

Refused: losses and metrics whose value for several rows does not follow from the
values for each row; masks where a loss is one number for all rows; a ``train_step``
that passes no gradients to an optimizer of the model.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras

from nbkeras.errors import ModelError

#: Message about a model that a test has found to couple rows.
COUPLED = "the model's output for a row depends on the other rows of its batch"
#: Keras' layers that compute a row from the other rows of its batch too; RandAugment holds one.
_MIXING = ("Equalization",)
#: The class of a model that Keras makes of inputs and outputs.
_GRAPH = keras.src.models.functional.Functional


def plain(model: Any) -> bool:
    """Whether the model uses Keras' own training step, whose loss can be divided into parts."""
    return type(model).train_step is keras.Model.train_step


def refuse(model: Any) -> None:
    """Refuse a model that several workers cannot train, because the parts of a batch do not add up.

    Raises:
        ModelError: it needs whole batches, or what its loss is divided by is not known.
    """
    if reason := alone(model):
        raise ModelError(f"{reason}: use --workers 1 (workers=1)")


def alone(model: Any) -> str:
    """Why one worker alone can train a model, as a clause; empty if several can."""
    return whole_batches(model) or _divides_by_masks(model)


def whole_batches(model: Any) -> str:
    """Why a model needs Keras' own batches, one after the other, as a clause; empty if it does not.

    Example:
        >>> import keras
        >>> from nbkeras.model.exactness import whole_batches
        >>> whole_batches(keras.Sequential([keras.Input(batch_shape=(4, 2)), keras.layers.Dense(1)]))
        'the model takes batches of 4 rows alone'
    """
    for layer in _layers(model):
        if getattr(layer, "stateful", False) is True and hasattr(layer, "reset_state"):
            return f"layer {layer.name!r} keeps its state from batch to batch"
    size = fixed_batch(model)
    return "" if size is None else f"the model takes batches of {size} rows alone"


def require_any_batches(model: Any) -> None:
    """Refuse to predict in the batches that Spark makes of a DataFrame where the model needs Keras' own.

    Raises:
        ModelError: it does.
    """
    if reason := whole_batches(model):
        raise ModelError(
            f"{reason}, and Spark makes batches of its own of a DataFrame: predict arrays, "
            "model.predict(x, batch_size=…)"
        )


def fixed_batch(model: Any) -> int | None:
    """Return the number of rows that the model's inputs fix for a batch, if they do."""
    sizes = [one.shape[0] for one in getattr(model, "inputs", None) or ()]
    return next((int(one) for one in sizes if one is not None), None)


def _divides_by_masks(model: Any) -> str:
    if type(model).compute_loss is keras.Model.compute_loss or not plain(model):
        return ""
    for layer in masking(model):
        return (
            f"layer {layer.name!r} masks steps of a sequence, and {type(model).__name__} has its own "
            "compute_loss: what it divides by is not known"
        )
    return ""


def notes(model: Any, workers: int, sync_every: int) -> list[str]:
    """Say in sentences how the training differs from one process of Keras."""
    sentences = []
    if layers := changed(model):
        sentences.append(
            f"trainable was set after compile ({', '.join(layers)}): it holds at once, where Keras, when it "
            "has trained the model before, goes on as it was until compile is called again"
        )
    if any(isinstance(one, keras.layers.AugMix) for one in _layers(model)):
        sentences.append(
            "AugMix chooses by Python's own random numbers, in a traced step once for all batches: "
            "the result is close to that of Keras here, not equal"
        )
    if workers == 1:
        return sentences
    if sync_every > 1:
        sentences.append(
            f"--sync-every {sync_every}: each worker trains on its own rows for {sync_every} steps, then all "
            "take the mean of their weights, so the result is not that of one process"
        )
    if layers := coupled(model):
        sentences.append(
            f"{', '.join(layers)}: with {workers} workers each sees its own part of a batch, "
            "so the result is close to that of one process, not equal"
        )
    if not plain(model):
        sentences.append(
            f"{type(model).__name__} has its own train_step: the gradients of the {workers} workers are "
            "weighted by their rows, which is exact where its loss is a mean over rows"
        )
    return sentences


def masking(model: Any) -> list[Any]:
    """Return the layers that mask steps of sequences."""
    return [
        layer
        for layer in _layers(model)
        if isinstance(layer, keras.layers.Masking) or getattr(layer, "mask_zero", False)
    ]


def apart(model: Any) -> bool:
    """Whether each row's output certainly depends on no other row: the model is a graph of Keras' own layers.

    Example:
        >>> import keras
        >>> from nbkeras.model.exactness import apart
        >>> apart(keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]))
        True
        >>> apart(keras.Sequential([keras.Input((2,)), keras.layers.Lambda(lambda x: x)]))
        False
    """
    graphs = [model, *(one for one in _layers(model) if isinstance(one, keras.Model))]
    nodes = [node for graph in graphs for node in getattr(graph, "operations", ())]
    return all(type(graph).call in (keras.Sequential.call, _GRAPH.call) for graph in graphs) and all(
        isinstance(one, keras.Layer)
        and type(one).__module__.startswith("keras.")
        and type(one).__name__ not in ("Lambda", *_MIXING)
        for one in (*nodes, *_layers(model))
        if not isinstance(one, keras.Model)
    )


def changed(model: Any) -> list[str]:
    """Name the layers whose ``trainable`` was changed after ``compile``, if Keras has stored it.

    Example:
        >>> import keras
        >>> from nbkeras.model.exactness import changed
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, name="last")])
        >>> model.compile("sgd", "mse")
        >>> changed(model)
        []
        >>> model.get_layer("last").trainable = False
        >>> changed(model)
        ['last']
    """
    compiled = getattr(model, "_compiled_trainable_state", None) or {}  # Keras 3.15 and later
    return [one.name for one in _layers(model) if compiled.get(one, one.trainable) != one.trainable]


def synchronized(model: Any) -> list[Any]:
    """Return the layers that normalise by the rows of all workers."""
    return [
        layer
        for layer in _layers(model)
        if isinstance(layer, keras.layers.BatchNormalization) and layer.synchronized
    ]


def coupled(model: Any) -> list[str]:
    """Name the layers that make the result of several workers close, not equal, whatever they draw.

    Example:
        >>> import keras
        >>> from nbkeras.model.exactness import coupled
        >>> coupled(keras.Sequential([keras.Input((2,)), keras.layers.BatchNormalization()]))
        ['BatchNormalization']
    """
    names = []
    for layer in _layers(model):
        normal = isinstance(layer, keras.layers.BatchNormalization) and not layer.synchronized
        if (normal and layer.trainable) or type(layer).__name__ in _MIXING:
            names.append(type(layer).__name__)
    return sorted(set(names))


def _layers(model: Any) -> Iterator[Any]:
    # Public `layers` does not look into layers.
    yield from model._flatten_layers(include_self=False, recursive=True)  # noqa: SLF001
