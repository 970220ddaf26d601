"""Plan: all parameters of one training, validated, frozen and serialisable."""

from __future__ import annotations

import numbers
from dataclasses import dataclass, field
from typing import Any

from nbkeras.errors import OptionError
from nbkeras.schema import Schema

#: Seconds: workers send a heartbeat each second, and a busy machine may delay several.
LEAST_HEARTBEAT = 5.0

#: Stands for class weights that make all classes count alike.
BALANCED = "balanced"

#: Keras backends that workers can train with.
BACKENDS = ("tensorflow", "torch", "jax")


@dataclass(frozen=True)
class Plan:
    """One training or evaluation.

    Attributes:
        schema: of a row.
        workers: number of workers.
        ordered: row i is on worker i modulo workers, and shards are in the order of the rows;
            otherwise each shard is in the order of the rows' hashes.
        seed: of the permutation of the rows in each epoch; None keeps the order.
        batch_size: rows of a global batch; None for Keras' default.
        epochs, initial_epoch: as in ``keras.Model.fit``.
        validates: whether there are validation rows.
        steps_per_epoch, validation_batch_size, validation_steps, validation_freq,
            class_weight: as in ``fit``.
        asks: whether the notebook's callbacks run at the end of each epoch.
        needs_weights: whether these callbacks read the model's weights.
        watches_training, watches_validation: whether these callbacks see the logs of each batch.
        backend: Keras backend of the workers.
        checkpoint: folder of the checkpoints, an absolute path or a URI, or None.
        training: identifier of the training in the names of its checkpoints.
        heartbeat: seconds of silence after which a worker counts as lost.
        gpus: number that each worker requests from Spark; None for those that Spark assigns to each task.
        sync_every: steps that each worker takes on its own rows before all average their weights.
        before: pairs of epoch and logs that other rows of a stream have given, which a checkpoint keeps.
        about: description of the run that a checkpoint stores besides its state, ready for JSON.

    Raises:
        OptionError: a number is out of its range.

    Example:
        >>> from nbkeras.plan import Plan
        >>> from nbkeras.schema import Schema
        >>> Plan(Schema(), epochs=0)
        Traceback (most recent call last):
        nbkeras.errors.OptionError: epochs=0: use a whole number from 1
    """

    schema: Schema
    workers: int = 1
    ordered: bool = False
    seed: int | None = None
    batch_size: int | None = None
    epochs: int = 1
    initial_epoch: int = 0
    validates: bool = False
    steps_per_epoch: int | None = None
    validation_batch_size: int | None = None
    validation_steps: int | None = None
    validation_freq: Any = 1
    class_weight: Any = None
    asks: bool = False
    needs_weights: bool = False
    watches_training: bool = False
    watches_validation: bool = False
    backend: str = "tensorflow"
    checkpoint: str | None = None
    training: str = ""
    heartbeat: float = 60.0
    gpus: int | None = None
    sync_every: int = 1
    before: tuple[tuple[int, dict[str, Any]], ...] = ()
    about: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.backend not in BACKENDS:
            raise OptionError(f"backend={self.backend!r}: use one of {', '.join(map(repr, BACKENDS))}")
        for name in ("workers", "epochs", "sync_every"):
            self._keep_whole(name, 1)
        for name in ("batch_size", "steps_per_epoch", "validation_batch_size", "validation_steps", "gpus"):
            if getattr(self, name) is not None:
                self._keep_whole(name, 1)
        self._keep_whole("initial_epoch", 0)
        if self.initial_epoch >= self.epochs:
            raise OptionError(
                f"initial_epoch={self.initial_epoch} leaves nothing to train: "
                f"epochs={self.epochs} is the epoch to end at, so give a larger one"
            )
        if not isinstance(self.validation_freq, (list, tuple, set, range)):
            self._keep_whole("validation_freq", 1)
        if self.checkpoint is not None and self.steps_per_epoch is not None:
            raise OptionError(
                f"steps_per_epoch={self.steps_per_epoch} ends epochs in the middle of the rows, where a "
                "checkpoint cannot go on: use steps_per_epoch or --checkpoint, not both"
            )
        seconds: Any = self.heartbeat
        is_number = isinstance(seconds, numbers.Real) and not isinstance(seconds, bool)
        if not is_number or seconds < LEAST_HEARTBEAT:
            raise OptionError(
                f"heartbeat={self.heartbeat!r}: use a number of seconds from {LEAST_HEARTBEAT:g}"
            )
        object.__setattr__(self, "heartbeat", float(seconds))
        if not isinstance(self.class_weight, (dict, type(None))) and self.class_weight != BALANCED:
            raise OptionError(
                f"class_weight={self.class_weight!r}: use a dict from class to weight, "
                f"such as {{0: 1.0, 1: 2.5}}, or {BALANCED!r}"
            )

    def _keep_whole(self, name: str, least: int) -> None:
        # Convert NumPy's numbers, which JSON cannot hold.
        object.__setattr__(self, name, whole(name, getattr(self, name), least))


def whole(name: str, value: Any, least: int) -> int:
    """Check that a value is a whole number, and return it as an int.

    Raises:
        OptionError: not a whole number, or less than ``least``.
    """
    integral = hasattr(value, "__index__") and not isinstance(value, bool)
    if not integral or value < least:
        raise OptionError(f"{name}={value!r}: use a whole number from {least}")
    return int(value)
