"""The user's callbacks: which decide on the workers, and which run in the notebook."""

from __future__ import annotations

from typing import Any

import keras

from nbkeras.errors import OptionError
from nbkeras.model import hooks, state
from nbkeras.transport.messages import Decision

#: They judge the logs and must act in the step or epoch in which they judge.
ON_WORKERS = (
    keras.callbacks.EarlyStopping,
    keras.callbacks.ReduceLROnPlateau,
    keras.callbacks.LearningRateScheduler,
    keras.callbacks.TerminateOnNaN,
)
#: They never look at the model's weights.
_LOGS_ONLY = (keras.callbacks.CSVLogger, keras.callbacks.History, keras.callbacks.RemoteMonitor)
#: They ask the model's metrics whether more is better.
_MONITORS = (
    keras.callbacks.EarlyStopping,
    keras.callbacks.ReduceLROnPlateau,
    keras.callbacks.ModelCheckpoint,
)
#: Packages whose callbacks write to what is open in the notebook: a bar, a run.
_LOGGERS = ("tqdm", "mlflow", "wandb")


def divided(callbacks: Any) -> tuple[list[Any], list[Any]]:
    """The callbacks that run on the workers and those that run in the notebook, each in their order.

    Raises:
        OptionError: not a callback.
    """
    on_workers: list[Any] = []
    in_notebook: list[Any] = []
    for one in keras.tree.flatten(callbacks) if callbacks else []:
        if not isinstance(one, keras.callbacks.Callback):
            raise OptionError(f"callbacks holds {one!r}, which is no keras.callbacks.Callback")
        if isinstance(one, keras.callbacks.ProgbarLogger):
            continue  # The chart shows the progress.
        within = hooks.has(one, *hooks.TRAINING, *hooks.TEST) and not _logs(one)
        (on_workers if type(one) in ON_WORKERS or within else in_notebook).append(one)
    return on_workers, in_notebook


def _logs(callback: Any) -> bool:
    return any(kind.__module__.partition(".")[0] in _LOGGERS for kind in type(callback).__mro__)


class NotebookCallbacks:
    """The callbacks that run in the notebook, once per epoch, on the user's own model.

    Args:
        callbacks: in their order.
        model: the user's model.
        params: as Keras gives to callbacks: epochs, steps, verbose.
    """

    def __init__(self, callbacks: list[Any], model: Any, params: dict[str, Any]) -> None:
        self._callbacks, self._model = callbacks, model
        self.needs_weights = any(looks_at(one, model) for one in callbacks)
        for one in callbacks:
            one.set_params(params)
            one.set_model(model)

    def __bool__(self) -> bool:
        return bool(self._callbacks)

    @property
    def asks_metrics(self) -> bool:
        """Whether one asks the model's metrics, which must be built then, whether more is better."""
        return any(isinstance(one, _MONITORS) and one.mode == "auto" for one in self._callbacks)

    def begin(self, epoch: int) -> None:
        """Before the first epoch."""
        self._model.stop_training = False
        self._each("on_train_begin", {})
        self._each("on_epoch_begin", epoch, {})

    def epoch_end(self, epoch: int, logs: dict[str, Any], weights: bytes, *, last: bool) -> Decision:
        """At the end of an epoch: what the callbacks decided.

        Args:
            epoch: from 0.
            logs: of all workers; callbacks may add to them.
            weights: the values of the model's variables, empty when none looks at them.
            last: whether no epoch follows, whatever they decide.
        """
        if weights:
            state.assign(state.variables(self._model), weights)
        before = state.learning_rate(self._model.optimizer)
        self._each("on_epoch_end", epoch, logs)
        stop = bool(self._model.stop_training)
        if not stop and not last:
            self._each("on_epoch_begin", epoch + 1, {})
        after = state.learning_rate(self._model.optimizer)
        decision = Decision(stop=stop, learning_rate=after if after != before else None)
        if weights and state.pack(state.variables(self._model)) != weights and after == before:
            decision["note"] = (
                "a callback changed the model's weights in the notebook, which training on the workers "
                "does not see: change them in a layer, an optimizer or a constraint"
            )
        return decision

    def end(self, logs: dict[str, Any]) -> None:
        """After the last epoch, when the weights have landed."""
        self._each("on_train_end", logs)

    def _each(self, hook: str, *arguments: Any) -> None:
        for one in self._callbacks:
            getattr(one, hook)(*arguments)


def looks_at(callback: Any, model: Any) -> bool:
    """Whether a callback may read the model: its code names ``model``, or reaches this one."""
    if isinstance(callback, _LOGS_ONLY):
        return False
    return isinstance(callback, keras.callbacks.ModelCheckpoint) or hooks.reaches(callback, model)
