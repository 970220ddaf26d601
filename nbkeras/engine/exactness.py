"""What several workers can and cannot train exactly as one process would."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras

from nbkeras.errors import ModelError

#: Divisors that the engine knows: the number of rows.
_REDUCTIONS = ("sum_over_batch_size", "mean")


def refuse(model: Any) -> None:
    """Refuse a model whose parts of a batch do not add up to the whole, with several workers.

    Raises:
        ModelError: says what it is and what to type.
    """
    alone = "use --workers 1 (workers=1)"
    for loss in _losses(model):
        reduction = getattr(loss, "reduction", "sum_over_batch_size")
        if reduction not in _REDUCTIONS:
            raise ModelError(
                f"loss {loss.name!r} has reduction={reduction!r}; several workers add up losses that are "
                f"the mean over rows, reduction='sum_over_batch_size': {alone}"
            )
    if isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer):
        raise ModelError(f"mixed_float16 scales the loss, which is not exact with several workers: {alone}")
    if getattr(model, "steps_per_execution", 1) > 1:
        raise ModelError(f"steps_per_execution={model.steps_per_execution} needs one worker: {alone}")
    if type(model).train_step is not _plain_step():
        raise ModelError(f"{type(model).__name__} has its own train_step, which needs one worker: {alone}")
    for layer in _layers(model):
        if isinstance(layer, keras.layers.Masking) or getattr(layer, "mask_zero", False):
            raise ModelError(
                f"layer {layer.name!r} masks steps of a sequence; the mean over unmasked steps "
                f"is not exact with several workers: {alone}"
            )


def notes(model: Any, workers: int) -> list[str]:
    """What several workers train close to one process, not equal to it, in sentences."""
    if workers == 1:
        return []
    sentences = []
    if layers := coupled(model):
        sentences.append(
            f"{', '.join(layers)}: with {workers} workers each sees its own part of a batch, "
            "so the result is close to that of one process, not equal"
        )
    if len(list(_losses(model))) > 1 or len(getattr(model, "outputs", None) or ()) > 1:
        sentences.append(
            f"several outputs: with {workers} workers the loss shown for each single output is averaged over "
            "each worker's batches; the total loss, the metrics and the weights are exact"
        )
    return sentences


def coupled(model: Any) -> list[str]:
    """Names of the layers that make the result of several workers close, not equal.

    Example:
        >>> import keras
        >>> from nbkeras.engine.exactness import coupled
        >>> coupled(keras.Sequential([keras.Input((2,)), keras.layers.BatchNormalization()]))
        ['BatchNormalization']
    """
    names = []
    for layer in _layers(model):
        random = getattr(layer, "seed_generator", None) is not None
        if isinstance(layer, keras.layers.BatchNormalization) or random:
            names.append(type(layer).__name__)
    return sorted(set(names))


def _losses(model: Any) -> Iterator[Any]:
    compiled = model._compile_loss  # noqa: SLF001  # model.loss may hold names only
    given = getattr(compiled, "_user_loss", None)
    yield from (one for one in keras.tree.flatten(given) if isinstance(one, keras.Loss))


def _layers(model: Any) -> Iterator[Any]:
    # Public `layers` does not look into layers.
    yield from model._flatten_layers(include_self=False, recursive=True)  # noqa: SLF001


def _plain_step() -> Any:
    return keras.Model.train_step
