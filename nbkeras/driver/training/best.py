"""The best epoch of a training, whose weights the model gets in the end."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

import keras

from nbkeras.errors import OptionError
from nbkeras.worker.callbacks.best import EarlyStopping


def keeper(monitor: str | None, *, restore: bool, validates: bool, epochs: int) -> Any:
    """Return the callback that keeps the best epoch's weights and never stops; None where none is asked for.

    Args:
        monitor: what is best; None for the loss, of validation if there is one.
        restore: whether the model gets the weights.
        validates: whether the training validates.
        epochs: of the training.

    Raises:
        OptionError: a metric is named, and nothing is to be done with it.
    """
    if not restore:
        if monitor is None:
            return None
        raise OptionError(
            f"monitor={monitor!r} says which epoch is best: add restore_best=True (--restore-best)"
        )
    chosen = monitor or ("val_loss" if validates else "loss")
    return EarlyStopping(chosen, patience=max(1, epochs), restore_best_weights=True)


def require_known(callback: Any, model: Any, *, validates: bool) -> None:
    """Make sure that an epoch's logs will have what a callback from :func:`keeper` looks at.

    Args:
        callback: the callback.
        model: built, with its metrics.
        validates: whether the training validates.

    Raises:
        OptionError: they will not.
    """
    names = [*model.get_metrics_result()]
    known = [*names, *(f"val_{name}" for name in names if validates)]
    if callback.monitor in known:
        return
    near = difflib.get_close_matches(callback.monitor, known, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
    lacks = "" if validates or not callback.monitor.startswith("val_") else ", as nothing is validated on"
    raise OptionError(f"monitor={callback.monitor!r} is no metric of this training{lacks}: {hint}")


def said(callbacks: Sequence[Any]) -> list[str]:
    """Say of which epoch the weights are, where a callback has restored those of the best one.

    Args:
        callbacks: of a training that has ended.
    """
    restored = [
        one
        for one in callbacks
        if isinstance(one, keras.callbacks.EarlyStopping)
        and one.restore_best_weights
        and one.best_weights is not None
    ]
    words = "the weights are those of epoch {epoch}, the best by {monitor}: {best:.4g}"
    return [
        words.format(epoch=one.best_epoch + 1, monitor=one.monitor, best=float(one.best)) for one in restored
    ]
