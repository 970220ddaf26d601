"""Scale losses and metrics so that those of all workers add up to those of the global batch.

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
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from nbkeras.errors import ModelError
from nbkeras.model import additivity, exactness, randomness
from nbkeras.model.state import Vector
from nbkeras.worker.draws import Draws
from nbkeras.worker.losses import Loss, tracked
from nbkeras.worker.metrics import scalar, weighed
from nbkeras.worker.moments import moments
from nbkeras.worker.schedule import Schedule
from nbkeras.worker.together import Together


@dataclass
class Scaling:
    """A model whose losses and metrics are this worker's parts of the whole.

    Args:
        model: compiled and built.
        group: the workers.
        draws: the model's random numbers.

    Attributes:
        messages: whether a loss is added up in each step of validation too.
        coupled: whether the output for a row depends on the other rows of its batch.
    """

    model: Any
    group: Together
    draws: Draws
    messages: bool = False
    coupled: bool = False

    def install(self, training: Schedule, validation: Schedule | None, sample: tuple[Any, ...]) -> None:
        """Change the model, before it is traced.

        Args:
            training: this worker's steps.
            validation: likewise, None where there are none.
            sample: some rows of this worker as Keras takes them.

        Raises:
            ModelError: a loss or metric has no parts that add up.
        """
        self.group.share = 1.0
        with randomness.restored(self.model):
            self._judge(sample)
        for layer in exactness.synchronized(self.model):
            layer._moments = functools.partial(moments, layer, self.group)  # noqa: SLF001
        for name, steps in {"train_step": training, "test_step": validation}.items():
            if steps is not None:
                setattr(self.model, name, self._stepped(getattr(self.model, name), steps, name))

    def _judge(self, sample: tuple[Any, ...]) -> None:
        """Find out how losses and metrics add up, and change them."""
        # As in a step: losses and metrics of the user's own may do with tensors what arrays cannot.
        sample = additivity.tensors(sample)
        if exactness.plain(self.model):
            if not exactness.apart(self.model):
                self.coupled = not self._agreed([not additivity.couples(self.model, sample[0])])
            self._divide(sample)
        self._measure(sample)
        self.model.reset_metrics()

    # -- losses ----------------------------------------------------------------

    def _divide(self, sample: tuple[Any, ...]) -> None:
        model, group = self.model, self.group
        x, y, weights = keras.utils.unpack_x_y_sample_weight(sample)
        predicted = additivity.spread(model(x, training=False))
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
            tracker.update_state = tracked(tracker.update_state, group)

    def _divide_compiled(self, y: Any, predicted: Any, weights: Any) -> None:
        """Make each loss of ``compile`` a part."""
        compiled = self.model._compile_loss  # noqa: SLF001
        if compiled is None:
            return
        compiled(y, predicted, weights)
        losses = [Loss(one.loss, self.group) for one in compiled._flat_losses]  # noqa: SLF001
        compiled._flat_losses = [  # noqa: SLF001
            one._replace(loss=part)
            for one, part in zip(compiled._flat_losses, losses, strict=True)  # noqa: SLF001
        ]
        found = []
        for rows in (None, *range(additivity.count(predicted))):
            compiled(*additivity.cut((y, predicted, weights), rows))
            found.append([ops.convert_to_numpy(part.seen).astype(np.float64) for part in losses])
        self.messages = any(part.counted for part in losses)
        whole, *singles = found
        for index, part in enumerate(losses):
            several = [single[index] for single in singles]
            if np.ndim(whole[index]) and not self._agreed(
                [len(several) < 2 or additivity.close(whole[index], np.concatenate(several))]
            ):
                raise additivity.coupled(part.name, whole[index], several)
            if not np.ndim(whole[index]):
                part.summed = self._adds(part.name, whole[index], several) == "sum"
            part.judged = True

    def _divide_own(self, x: Any, y: Any, predicted: Any, weights: Any) -> None:
        """Make what a model's own ``compute_loss`` returns a part."""
        model, group = self.model, self.group
        own = model.compute_loss
        found = []
        for rows in (None, *range(additivity.count(predicted))):
            cut_x, cut_y, cut_predicted, cut_weights = additivity.cut((x, y, predicted, weights), rows)
            with self.draws.alike():
                model(cut_x)  # adds its losses
                found.append(additivity.number(own(cut_x, cut_y, cut_predicted, cut_weights)))
        summed = self._adds(f"{type(model).__name__}.compute_loss", found[0], found[1:]) == "sum"

        def compute_loss(*args: Any, **kwargs: Any) -> Any:
            loss = own(*args, **kwargs)
            return loss if summed else loss * ops.cast(group.share, loss.dtype)

        model.compute_loss = compute_loss

    def _additional(self, x: Any) -> set[int]:
        """Which of the losses that layers add are sums over rows; others are means, or the same for all."""
        model = self.model

        def losses(rows: int | None) -> list[float]:
            with self.draws.alike():
                model(additivity.cut(x, rows), training=False)
            return [additivity.number(one) for one in model.losses]

        whole = losses(None)
        # Without losses of rows there are only regularizers, which are the same for all.
        singles = [losses(row) for row in range(additivity.count(x))] if whole else []
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
        # A model whose own step calls it with other parts of a batch has none.
        asked = compiled is not None and (compiled._user_metrics or compiled._user_weighted_metrics)  # noqa: SLF001
        if asked and y is not None:
            predicted = model(x, training=False)
            compiled.update_state(y, predicted, weights)
            measured = compiled.metrics
            whole, *singles = additivity.growths(compiled, y, predicted, weights)
            for index, one in enumerate(measured):
                several = [single[index] for single in singles]
                if self._sums(one.name, whole[index], several) == "mean":
                    one.update_state = weighed(one, self.group)
        for one in model.metrics:
            if type(one) is keras.metrics.Mean and "update_state" not in vars(one):
                one.update_state = scalar(one.update_state, self.group)

    # -- judging -----------------------------------------------------------------

    def _adds(self, name: str, whole: Any, singles: list[Any]) -> str:
        """How a loss of several rows follows from those of each row: as their ``mean`` or ``sum``."""
        if len(singles) < 2:
            # Another worker judges.
            singles = [whole]
        mean, total = additivity.close(whole, np.mean(singles)), additivity.close(whole, np.sum(singles))
        if self._agreed([mean]):
            return "mean"
        if self._agreed([total]):
            return "sum"
        raise additivity.coupled(name, whole, singles)

    def _sums(self, name: str, whole: Vector, singles: list[Vector]) -> str:
        """How a metric's state grows by several rows: by ``sum`` or ``mean`` of its growth by each."""
        total, mean = additivity.follows(whole, singles if len(singles) > 1 else [whole])
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

    def _stepped(self, step: Callable[[Any], Any], steps: Schedule, name: str) -> Callable[[Any], Any]:
        """The step, which knows its share and leaves no trace where this worker has no rows."""
        model, group = self.model, self.group
        fillers = steps.may_lack

        def stepped(*arguments: Any) -> Any:
            logs = step(*arguments)
            if name == "train_step" and not group.summed and model.trainable_variables:
                raise ModelError(
                    f"{type(model).__name__}.train_step hands no gradients to an optimizer that the model "
                    "holds, so several workers cannot add them up: use optimizer.apply, or --workers 1"
                )
            return logs

        def run(*arguments: Any) -> Any:  # of JAX the state comes before the data
            group.begin(arguments[-1], training=name == "train_step")
            if not fillers:
                return stepped(*arguments)
            return group.traceless(stepped, arguments, list(_untrained(model)))

        return run


def _untrained(model: Any) -> Iterator[Any]:
    """All that a step changes besides the trained weights, and depends on this worker's rows."""
    alike = [one for layer in exactness.synchronized(model) for one in layer.variables]
    everyones = {id(one) for one in (*alike, *randomness.generators(model))}
    yield from model.metrics_variables
    yield from (one for one in model.non_trainable_variables if id(one) not in everyones)
