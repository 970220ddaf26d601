"""Parts: what one worker's rows add to the losses and metrics of a whole batch.

Keras divides a loss by the rows, the weights or the unmasked steps that it
sees. Here each worker's loss is made its part of the whole batch's loss, so
that losses and gradients of all workers simply add up:

    loss of a batch = sum of all rows' losses / divisor of all rows
                    = sum over workers of (worker's loss · worker's divisor / divisor of all rows)

For a mean over rows the quotient is the worker's share of the rows, which is
known beforehand; the sum of weights or of unmasked steps is added up in the
step. A loss that is a sum is a part already. Only numbers that Keras itself
has found are used: a divisor is asked of Keras with losses of one.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import ops
from keras.src import backend
from keras.src.losses.loss import reduce_weighted_values

from nbkeras.errors import ModelError
from nbkeras.model import exactness, state
from nbkeras.worker.collectives import Collective, Vector
from nbkeras.worker.schedule import Steps


@dataclass
class Parts:
    """A model whose losses and metrics are this worker's parts of the whole.

    Args:
        model: compiled and built.
        group: the workers.

    Attributes:
        messages: whether a loss is added up in each step of validation too.
        coupled: whether the output for a row hangs on the other rows of its batch.
    """

    model: Any
    group: Collective
    messages: bool = False
    coupled: bool = False

    def install(self, training: Steps, validation: Steps | None, sample: tuple[Any, ...]) -> None:
        """Change the model, before it is traced.

        Args:
            training: this worker's steps.
            validation: likewise, None where there are none.
            sample: some rows of this worker as Keras takes them.

        Raises:
            ModelError: a loss or metric has no parts that add up.
        """
        self.group.share = 1.0
        # As in a step: losses and metrics of the user's own may do with tensors what arrays cannot.
        sample = keras.tree.map_structure(ops.convert_to_tensor, sample)
        if exactness.plain(self.model):
            if not exactness.apart(self.model):
                self.coupled = not self._agreed([not couples(self.model, sample[0])])
            self._divide(sample)
        self._measure(sample)
        self.model.reset_metrics()
        for layer in exactness.synchronized(self.model):
            layer._moments = functools.partial(_moments, layer, self.group)  # noqa: SLF001
        for name, steps in {"train_step": training, "test_step": validation}.items():
            if steps is not None:
                setattr(self.model, name, self._stepped(getattr(self.model, name), steps, name))

    # -- losses ----------------------------------------------------------------

    def _divide(self, sample: tuple[Any, ...]) -> None:
        model, group = self.model, self.group
        x, y, weights = keras.utils.unpack_x_y_sample_weight(sample)
        predicted = model(x, training=False)
        own = type(model).compute_loss is not keras.Model.compute_loss
        if own:
            self._divide_own(x, y, predicted, weights)
        else:
            self._divide_compiled(y, predicted, weights)
            summed = self._additional(x)
            compiled, aggregate = model._compile_loss, model._aggregate_additional_loss  # noqa: SLF001

            def compute_loss(  # as Keras calls it
                x: Any = None,
                y: Any = None,
                y_pred: Any = None,
                sample_weight: Any = None,
                training: bool = True,
            ) -> Any:
                del x, training
                whole = None if compiled is None else compiled(y, y_pred, sample_weight)
                parts = [] if whole is None else [whole]
                for index, loss in enumerate(model.losses):
                    whole = aggregate(loss)
                    parts.append(whole if index in summed else whole * ops.cast(group.share, whole.dtype))
                return parts[0] if len(parts) == 1 else ops.sum(parts)

            model.compute_loss = compute_loss
        per_output = () if own else getattr(model._compile_loss, "metrics", ())  # noqa: SLF001
        for tracker in (model._loss_tracker, *per_output):  # noqa: SLF001
            tracker.update_state = _tracked(tracker.update_state, group)

    def _divide_compiled(self, y: Any, predicted: Any, weights: Any) -> None:
        """Make each loss of ``compile`` a part."""
        compiled = self.model._compile_loss  # noqa: SLF001
        if compiled is None:
            return
        compiled(y, predicted, weights)
        losses = [_Loss(one.loss, self.group) for one in compiled._flat_losses]  # noqa: SLF001
        compiled._flat_losses = [  # noqa: SLF001
            one._replace(loss=part)
            for one, part in zip(compiled._flat_losses, losses, strict=True)  # noqa: SLF001
        ]
        found = []
        for rows in (None, *range(_rows(predicted))):
            compiled(*_cut((y, predicted, weights), rows))
            found.append([ops.convert_to_numpy(part.seen).astype(np.float64) for part in losses])
        self.messages = any(part.counted for part in losses)
        whole, *singles = found
        for index, part in enumerate(losses):
            several = [single[index] for single in singles]
            if np.ndim(whole[index]) and not self._agreed(
                [len(several) < 2 or _close(whole[index], np.concatenate(several))]
            ):
                raise _coupled(part.name, whole[index], several)
            if not np.ndim(whole[index]):
                part.summed = self._adds(part.name, whole[index], several) == "sum"
            part.judged = True

    def _divide_own(self, x: Any, y: Any, predicted: Any, weights: Any) -> None:
        """Make what a model's own ``compute_loss`` returns a part."""
        model, group = self.model, self.group
        own = model.compute_loss
        found = []
        for rows in (None, *range(_rows(predicted))):
            cut_x, cut_y, _, cut_weights = _cut((x, y, predicted, weights), rows)
            found.append(_number(own(cut_x, cut_y, model(cut_x), cut_weights)))
        summed = self._adds(f"{type(model).__name__}.compute_loss", found[0], found[1:]) == "sum"

        def compute_loss(*args: Any, **kwargs: Any) -> Any:
            loss = own(*args, **kwargs)
            return loss if summed else loss * ops.cast(group.share, loss.dtype)

        model.compute_loss = compute_loss

    def _additional(self, x: Any) -> set[int]:
        """Which of the losses that layers add are sums over rows; others are means, or the same for all."""
        model = self.model

        def losses(rows: int | None) -> list[float]:
            model(_cut(x, rows), training=False)
            return [_number(one) for one in model.losses]

        whole = losses(None)
        # Without losses of rows there are only regularizers, which are the same for all.
        singles = [losses(row) for row in range(_rows(x))] if whole else []
        return {
            index
            for index, value in enumerate(whole)
            if self._adds("of add_loss", value, [single[index] for single in singles]) == "sum"
        }

    # -- metrics -----------------------------------------------------------------

    def _measure(self, sample: tuple[Any, ...]) -> None:
        """Make each metric count what this worker's rows add to it."""
        model = self.model
        x, y, weights = keras.utils.unpack_x_y_sample_weight(sample)
        compiled = model._compile_metrics  # noqa: SLF001
        measured = []
        if compiled is not None and y is not None:
            predicted = model(x, training=False)
            compiled.update_state(y, predicted, weights)
            measured = compiled.metrics
            whole, *singles = growths(compiled, y, predicted, weights)
            for index, one in enumerate(measured):
                several = [single[index] for single in singles]
                if self._sums(one.name, whole[index], several) == "mean":
                    one.update_state = _weighed(one, self.group)
        for one in model.metrics:
            if type(one) is keras.metrics.Mean and "update_state" not in vars(one):
                one.update_state = _scalar(one.update_state, self.group)

    # -- judging -----------------------------------------------------------------

    def _adds(self, name: str, whole: Any, singles: list[Any]) -> str:
        """How a loss of several rows follows from those of each row: as their ``mean`` or ``sum``."""
        if len(singles) < 2:
            # Another worker judges.
            singles = [whole]
        mean, total = _close(whole, np.mean(singles)), _close(whole, np.sum(singles))
        if self._agreed([mean]):
            return "mean"
        if self._agreed([total]):
            return "sum"
        raise _coupled(name, whole, singles)

    def _sums(self, name: str, whole: Vector, singles: list[Vector]) -> str:
        """How a metric's state grows by several rows: by ``sum`` or ``mean`` of its growth by each."""
        total, mean = follows(whole, singles if len(singles) > 1 else [whole])
        if self._agreed([total]):
            return "sum"
        if self._agreed([mean]):
            return "mean"
        raise ModelError(
            f"metric {name!r} of some rows does not follow from those of each row, so several workers cannot "
            "add it up: leave it out, or use --workers 1"
        )

    def _agreed(self, verdicts: list[bool]) -> bool:
        """Whether it holds on all workers: their rows differ, and they must judge alike."""
        return bool(self.group.sum(np.array(verdicts, dtype=np.float64))[0] == self.group.size)

    # -- steps -------------------------------------------------------------------

    def _stepped(self, step: Callable[[Any], Any], steps: Steps, name: str) -> Callable[[Any], Any]:
        """The step, which knows its share and leaves no trace where this worker has no rows."""
        model, group = self.model, self.group
        fillers = bool((steps.counts == 0).any())

        def stepped(*arguments: Any) -> Any:
            logs = step(*arguments)
            if name == "train_step" and not group.summed and model.trainable_variables:
                raise ModelError(
                    f"{type(model).__name__}.train_step hands no gradients to an optimizer that the model "
                    "holds, so several workers cannot add them up: use optimizer.apply, or --workers 1"
                )
            return logs

        def run(*arguments: Any) -> Any:  # of JAX the state comes before the data
            group.begin(training=name == "train_step")
            if not fillers:
                return stepped(*arguments)
            return group.traceless(stepped, arguments, list(_untrained(model)))

        return run


class _Loss:
    """A loss of ``compile`` that gives this worker's part.

    Attributes:
        seen: losses of the rows of the last call, or the loss where there is but one number.
        summed: whether a loss of one number is a sum over rows.
        counted: whether the divisor is added up in each step.
        judged: whether it gives parts; until then the whole, without a word to others.
    """

    def __init__(self, loss: Any, group: Collective) -> None:
        self.name, self._loss, self._group = loss.name, loss, group
        self.summed = self.counted = self.judged = False
        self._plain = type(loss).__call__ is keras.Loss.__call__
        self.seen: Any = None
        self._rows: Any = None
        self._call = loss.call
        loss.call = self._remembered

    def _remembered(self, *args: Any) -> Any:
        self._rows = self._call(*args)
        return self._rows

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        value = self._loss(y_true, y_pred, sample_weight)
        # Now: outputs that share a loss object remember in each other's calls.
        rows = self._rows
        alone = not self._plain or not len(rows.shape)
        self.seen = value if alone else rows
        masks = [backend.get_keras_mask(one) for one in (y_pred, rows) if one is not None]
        masks = [one for one in masks if one is not None]
        if alone:
            if masks:
                raise ModelError(
                    f"loss {self.name!r} is one number for all rows, and the model masks steps: "
                    "what it is divided by is not known, so use --workers 1"
                )
            return value if self.summed else value * self._share(value)
        reduction = self._loss.reduction
        if reduction in (None, "none", "sum"):
            return value
        weighted = reduction == "mean_with_sample_weight"
        if not masks and not (weighted and sample_weight is not None):
            return value * self._share(value)
        self.counted = True
        if not self.judged:
            return value
        mask = functools.reduce(operator.and_, masks) if masks else None
        return value * ops.cast(self._quotient(rows, mask, sample_weight, weighted), value.dtype)

    def _share(self, value: Any) -> Any:
        return ops.cast(self._group.share, value.dtype)

    def _quotient(self, rows: Any, mask: Any, weights: Any, weighted: bool) -> Any:
        """This worker's divisor to that of all workers."""
        ones = ops.ones_like(rows)
        if weights is not None and not weighted:
            weights = ops.ones_like(weights)
        total, mean = (
            reduce_weighted_values(ones, weights, mask, reduction, self._loss.dtype)
            for reduction in ("sum", self._loss.reduction)
        )
        mine = ops.divide_no_nan(total, mean)
        mine = ops.where(self._group.share > 0, mine, ops.zeros_like(mine))
        return ops.divide_no_nan(mine, self._group.add_up(ops.reshape(mine, (1,)))[0])


def _tracked(update: Callable[..., Any], group: Collective) -> Callable[..., Any]:
    """How a tracker of losses takes a part: so that all workers' totals and counts add up to Keras' own."""

    def update_state(values: Any, sample_weight: Any = None) -> Any:
        if len(values.shape):
            # reduction=None: a loss for each row, which adds up as it is.
            return update(values, sample_weight)
        share = ops.cast(group.share, values.dtype)
        return update(ops.divide_no_nan(values, share), share if sample_weight is None else sample_weight)

    return update_state


def _scalar(update: Callable[..., Any], group: Collective) -> Callable[..., Any]:
    """How a mean takes a number that stands for a whole batch: by this worker's share of it."""

    def update_state(values: Any, sample_weight: Any = None) -> Any:
        if sample_weight is None and not len(ops.shape(values)):
            sample_weight = ops.cast(group.share, keras.config.floatx())
        return update(values, sample_weight)

    return update_state


def _weighed(metric: Any, group: Collective) -> Callable[..., Any]:
    """The update of a metric that takes a batch as one: what it adds counts by this worker's share."""
    update = metric.update_state

    def update_state(*args: Any, **kwargs: Any) -> None:
        before = [ops.copy(one.value) for one in metric.variables]
        update(*args, **kwargs)
        for variable, start in zip(metric.variables, before, strict=True):
            gained = ops.cast(variable.value - start, "float64") * ops.cast(group.share, "float64")
            variable.assign(start + ops.cast(gained, start.dtype))

    return update_state


def _moments(layer: Any, group: Collective, inputs: Any, mask: Any) -> tuple[Any, Any]:
    """Mean and variance over the rows of all workers, for BatchNormalization(synchronized=True)."""
    axes = layer._reduction_axes  # noqa: SLF001
    counted = ops.ones_like(inputs) if mask is None else ops.broadcast_to(mask[..., None], ops.shape(inputs))
    counted = ops.cast(counted, "bool") & (group.share > 0)
    # Replaced where they do not count, never multiplied: they may be NaN.
    values = ops.where(counted, inputs, ops.zeros_like(inputs))
    sums = [ops.sum(one, axes) for one in (values, ops.square(values), ops.cast(counted, inputs.dtype))]
    total, squares, number = ops.split(group.share_sum(ops.concatenate(sums)), 3)
    mean = ops.divide_no_nan(total, number)
    return mean, ops.maximum(ops.divide_no_nan(squares, number) - ops.square(mean), 0.0)


def _untrained(model: Any) -> Iterator[Any]:
    """All that a step changes besides the trained weights, and hangs on this worker's rows."""
    everyones = {id(one) for layer in exactness.synchronized(model) for one in layer.variables}
    yield from model.metrics_variables
    yield from (one for one in model.non_trainable_variables if id(one) not in everyones)


def _rows(structure: Any) -> int:
    return int(keras.tree.flatten(structure)[0].shape[0])


def _cut(structure: Any, row: int | None) -> Any:
    """One row as a batch of one, with its mask; None for all."""
    if row is None:
        return structure

    def one(value: Any) -> Any:
        if value is None:
            return None
        piece = value[row : row + 1]
        if (mask := backend.get_keras_mask(value)) is not None:
            backend.set_keras_mask(piece, mask[row : row + 1])
        # From them Keras computes a loss where the activation has kept them, else from what is clipped.
        if (logits := getattr(value, "_keras_logits", None)) is not None:
            piece._keras_logits = logits[row : row + 1]  # noqa: SLF001
        return piece

    return keras.tree.map_structure(one, structure)


def _number(loss: Any) -> float:
    return float(ops.convert_to_numpy(ops.sum(loss)))


def _state(metric: Any) -> Vector:
    values = [np.ravel(state.value(one).astype(np.float64)) for one in metric.variables]
    return np.concatenate(values) if values else np.empty(0)


def couples(model: Any, x: Any) -> bool:
    """Whether the output for a row hangs on the other rows of its batch, when nothing is trained.

    Args:
        model: built.
        x: some rows.
    """

    def outputs(rows: Any) -> list[npt.NDArray[Any]]:
        return [ops.convert_to_numpy(one) for one in keras.tree.flatten(model(rows, training=False))]

    whole, again = outputs(x), outputs(x)
    singles = [outputs(_cut(x, row)) for row in range(_rows(x))]
    joined = [np.concatenate(several) for several in zip(*singles, strict=True)]
    # Of what a layer draws at random nothing can be said.
    return any(
        _close(one, same) and not _close(one, apart)
        for one, same, apart in zip(whole, again, joined, strict=True)
    )


def is_mean(model: Any, x: Any, y: Any, weights: Any) -> bool:
    """Whether the loss of some rows is the mean of those of each of them, and no step is masked.

    Args:
        model: compiled and built.
        x, y, weights: of the rows, as Keras takes them.
    """
    if any(backend.get_keras_mask(one) is not None for one in keras.tree.flatten(model(x, training=False))):
        return False
    found = []
    for row in (None, *range(_rows(x))):
        cut_x, cut_y, cut_weights = _cut((x, y, weights), row)
        predicted = model(cut_x, training=False)
        found.append(_number(model.compute_loss(cut_x, cut_y, predicted, cut_weights, training=False)))
    model.reset_metrics()
    return _close(found[0], np.mean(found[1:]))


def growths(compiled: Any, y: Any, predicted: Any, weights: Any) -> list[list[Vector]]:
    """By how much the state of each compiled metric grows by some rows together, then by each of them.

    Args:
        compiled: ``model._compile_metrics``, built; its metrics are reset.
        y, predicted, weights: of the rows.
    """
    found = []
    for rows in (None, *range(_rows(predicted))):
        compiled.reset_state()
        begun = [_state(one) for one in compiled.metrics]
        compiled.update_state(*_cut((y, predicted, weights), rows))
        found.append([_state(one) - start for one, start in zip(compiled.metrics, begun, strict=True)])
    return found


def follows(whole: Vector, singles: list[Vector]) -> tuple[bool, bool]:
    """Whether the growth by some rows is the sum, and whether it is the mean, of the growth by each."""
    return _close(whole, np.sum(singles, axis=0)), _close(whole, np.mean(singles, axis=0))


def _close(one: Any, other: Any) -> bool:
    return np.shape(one) == np.shape(other) and bool(
        np.allclose(one, other, rtol=1e-3, atol=1e-5, equal_nan=True)
    )


def _coupled(name: str, whole: Any, singles: Any) -> ModelError:
    return ModelError(
        f"the loss {name} of {len(singles)} rows is {np.mean(whole):.6g}, the mean of their losses is "
        f"{np.mean(singles):.6g}: with several "
        "workers a loss must be the mean or the sum over rows, so use --workers 1"
    )
