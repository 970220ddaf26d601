"""Plan: everything that one training needs, validated, frozen and serialisable."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nbkeras.errors import OptionError

#: The column and field that orders the rows of a shard: position or hash of the row.
ORDER = "order"
#: The column with a row's hash where its order is a position.
CHECK = "check"
#: Sets the inputs' columns apart from a DataFrame's own where both travel.
PREFIX = "nbkeras_"
#: Seconds: workers give a sign of life each second, and a busy machine may be late with some.
LEAST_HEARTBEAT = 5.0

#: Keras backends that workers can train with.
BACKENDS = ("tensorflow", "torch", "jax")


@dataclass(frozen=True)
class Field:
    """One field of a row on its way to a worker, and the columns that it comes from.

    Attributes:
        name: ``x0``, ``x1``, … for model inputs, ``y0``, … for labels, ``w``.
        sources: the user's columns; several are stacked into one vector.
        title: how an error names it ("model input 'image'", "label").
        dtype: NumPy dtype of the values; None keeps the column's own.
        shape: shape of one row's value; None takes it from the first row.
        kind: how its values travel, by the name of an encoding of :mod:`nbkeras.data.kinds`.
    """

    name: str
    sources: tuple[str, ...]
    title: str
    dtype: str | None = None
    shape: tuple[int, ...] | None = None
    kind: str = "array"


@dataclass(frozen=True)
class Structure:
    """The fields of a row, and how Keras takes them.

    Attributes:
        fields: of a row.
        inputs: model input names in the order of the fields x0, x1, ….
        outputs: output names for the label fields; None where Keras gets an
            array or a tuple.
    """

    fields: tuple[Field, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...] | None = None

    @property
    def features(self) -> tuple[Field, ...]:
        """The fields of the model's inputs."""
        return tuple(one for one in self.fields if one.name.startswith("x"))

    @property
    def labels(self) -> tuple[Field, ...]:
        """The fields of the labels."""
        return tuple(one for one in self.fields if one.name.startswith("y"))

    @property
    def weighted(self) -> bool:
        """Whether rows carry a sample weight."""
        return any(one.name == "w" for one in self.fields)

    @property
    def row_bytes(self) -> int:
        """Bytes of a row's values, as far as their shapes are known; eight for each number at most."""
        return sum(8 * math.prod(one.shape or ()) for one in self.fields)

    def nest(self, values: Mapping[str, Any]) -> tuple[Any, ...]:
        """x, y and sample_weight, as far as there are any, from arrays by field name.

        One model input gives an array, several give a dict by input name; labels
        are an array, a tuple (a list would be one tensor to tf.data), or a dict
        by output name.

        Example:
            >>> from nbkeras.plan import Field, Structure
            >>> one = Structure((Field("x0", ("a",), "a"), Field("y0", ("b",), "b")), ("x",))
            >>> one.nest({"x0": [1], "y0": [2]})
            ([1], [2])
        """
        x = [values[one.name] for one in self.features]
        parts: list[Any] = [x[0] if len(x) == 1 else dict(zip(self.inputs, x, strict=True))]
        y = [values[one.name] for one in self.labels]
        if self.outputs is not None:
            parts.append(dict(zip(self.outputs, y, strict=True)))
        elif y:
            parts.append(y[0] if len(y) == 1 else tuple(y))
        if self.weighted:
            parts.append(values["w"])
        return tuple(parts)


@dataclass(frozen=True)
class Plan:
    """One training or evaluation.

    Attributes:
        structure: of a row.
        workers: number of workers.
        ordered: rows lie on worker (position modulo workers), in their order;
            otherwise each shard is put in the order of the rows' hashes.
        seed: permutes the rows in each epoch; None keeps the order.
        batch_size: rows of a global batch; None leaves it to Keras' rule.
        epochs, initial_epoch: as in ``keras.Model.fit``.
        validates: whether there are validation rows.
        steps_per_epoch, validation_batch_size, validation_steps, validation_freq,
            class_weight: as in ``fit``.
        asks: whether the notebook's callbacks run at the end of each epoch.
        needs_weights: whether they look at the model's weights.
        backend: Keras backend of the workers.
        checkpoint: where to keep checkpoints, an absolute path or a URI, or None.
        training: whose checkpoints they are, as their names tell.
        heartbeat: seconds of silence after which a worker counts as lost.
        gpus: that each worker asks Spark for; None for those that it gives by itself.
        sync_every: steps that each worker takes on its own rows before the workers meet.
        about: what a checkpoint tells of its run beside what it needs to go on, ready for JSON.

    Raises:
        OptionError: a number is out of its range.

    Example:
        >>> from nbkeras.plan import Plan, Structure
        >>> Plan(Structure((), ()), epochs=0)
        Traceback (most recent call last):
        nbkeras.errors.OptionError: epochs=0: use a whole number from 1
    """

    structure: Structure
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
    backend: str = "tensorflow"
    checkpoint: str | None = None
    training: str = ""
    heartbeat: float = 60.0
    gpus: int | None = None
    sync_every: int = 1
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
        if not isinstance(self.class_weight, (dict, type(None))):
            raise OptionError(
                f"class_weight={self.class_weight!r}: use a dict from class to weight, "
                "such as {0: 1.0, 1: 2.5}"
            )

    def _keep_whole(self, name: str, least: int) -> None:
        # NumPy's numbers are of other types, which messages and checkpoints cannot hold.
        object.__setattr__(self, name, whole(name, getattr(self, name), least))


def whole(name: str, value: Any, least: int) -> int:
    """A whole number, as itself.

    Raises:
        OptionError: not a whole number, or less than ``least``.
    """
    integral = hasattr(value, "__index__") and not isinstance(value, bool)
    if not integral or value < least:
        raise OptionError(f"{name}={value!r}: use a whole number from {least}")
    return int(value)
