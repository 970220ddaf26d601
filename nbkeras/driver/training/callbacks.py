"""The user's callbacks: which decide on the workers, and which run in the notebook."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import keras

from nbkeras.errors import OptionError
from nbkeras.model import captured, hooks, settings, state
from nbkeras.run.curves import arrays
from nbkeras.transport.messages import Batches, Decision
from nbkeras.worker.callbacks.best import EarlyStopping

#: They judge the logs and must act in the step or epoch in which they judge.
ON_WORKERS = (
    keras.callbacks.EarlyStopping,
    keras.callbacks.ReduceLROnPlateau,
    keras.callbacks.LearningRateScheduler,
    keras.callbacks.TerminateOnNaN,
    EarlyStopping,  # of restore_best
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


def divided(callbacks: Any, model: Any = None) -> tuple[list[Any], list[Any]]:
    """The callbacks that run on the workers and those that run in the notebook, each in their order.

    A callback with hooks of batches or of validation runs on the workers if it needs the model or the time
    of a batch, or shares an object with one that runs there; a later call in the notebook is as good for one
    that only looks at logs.

    Args:
        callbacks: as ``fit`` takes them.
        model: of the user.

    Raises:
        OptionError: not a callback, or one that must run in both places.
    """
    given = []
    for one in keras.tree.flatten(callbacks) if callbacks else []:
        if not isinstance(one, keras.callbacks.Callback):
            raise OptionError(
                f"callbacks holds {one!r}, which is no keras.callbacks.Callback: give objects, such as "
                "callbacks=[keras.callbacks.EarlyStopping()]"
            )
        if not isinstance(one, keras.callbacks.ProgbarLogger):  # The chart shows the progress.
            given.append(one)
    there = [one for one in given if type(one) in ON_WORKERS or _needs_worker(one, model)]
    shared: set[int] = set().union(*map(captured.holds, there)) - {id(model)}
    there += [one for one in given if one not in there and not _logs(one) and captured.holds(one) & shared]
    return [one for one in given if one in there], [one for one in given if one not in there]


def of_part(callbacks: Sequence[Any]) -> list[str]:
    """What callbacks on the workers make of a model of which they see the trained part alone, in sentences.

    Args:
        callbacks: that run on the workers.

    Raises:
        OptionError: one would save that part as if it were the model.
    """
    if any(isinstance(one, keras.callbacks.ModelCheckpoint) for one in callbacks):
        raise OptionError(
            "ModelCheckpoint saves within an epoch on a worker, which has the model without its lookup and "
            "text layers: use save_freq='epoch'"
        )
    own = [type(one).__name__ for one in callbacks if type(one) not in ON_WORKERS]
    return [
        f"{name} runs on a worker, where its model is the part behind the lookup and text layers"
        for name in dict.fromkeys(own)
    ]


def notes(callbacks: list[Any]) -> list[str]:
    """What of a training is recorded nowhere, though the user may count on it."""
    logging = sys.modules.get("mlflow.utils.autologging_utils")
    on = logging is not None and not all(map(logging.autologging_is_disabled, ("keras", "tensorflow")))
    if not on or any("mlflow" in kind.__module__ for one in callbacks for kind in type(one).__mro__):
        return []
    return [
        "MLflow's autologging sees no training on Spark: add mlflow.keras.MlflowCallback() to its callbacks"
    ]


def _needs_worker(callback: Any, model: Any) -> bool:
    if _logs(callback):
        if (frequency := getattr(callback, "save_freq", "epoch")) != "epoch":
            raise OptionError(
                f"{type(callback).__name__}(save_freq={frequency!r}) saves weights between epochs, which are "
                "on a worker, into a run that is open in the notebook: use save_freq='epoch'"
            )
        return False
    within = hooks.has(callback, *hooks.TRAINING, *hooks.TEST)
    return within and (hooks.reaches(callback, model) or hooks.measures_time(callback))


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
        self._callbacks, self._model, self._params = callbacks, model, params
        self._in_test = False
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

    @property
    def watches_training(self) -> bool:
        """Whether one sees the logs of each batch of the training."""
        return any(_logs(one) or hooks.has(one, *hooks.TRAINING) for one in self._callbacks)

    @property
    def watches_validation(self) -> bool:
        """Whether one sees the logs of each batch of the validation."""
        return any(hooks.has(one, *hooks.TEST_BATCH) for one in self._callbacks)

    def begin(self, epoch: int) -> None:
        """Before the first epoch."""
        self._model.stop_training = False
        self._each("on_train_begin", {})
        # A BackupAndRestore may have set it: the workers begin there too.
        self._each("on_epoch_begin", self._model._initial_epoch or epoch, {})  # noqa: SLF001

    def steps(self, event: Batches) -> None:
        """After some steps of the training or validation: as if the callbacks had been called in each."""
        self._params["steps"] = event["steps"]
        for kind, begin, end, logs, iterations, rate in event["calls"]:
            # What a logger reads of the optimizer is that of the step.
            optimizer = settings.unwrapped(self._model.optimizer)
            optimizer.iterations.assign(iterations)
            if rate is not None:
                optimizer.learning_rate = rate
            if kind == "test":
                self._begin_test()
            self._each(f"on_{kind}_batch_begin", begin, {})
            self._each(f"on_{kind}_batch_end", end, arrays(logs))

    def _begin_test(self) -> None:
        if not self._in_test:
            self._in_test = True
            self._each("on_test_begin", {})

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
        if validated := {key[4:]: value for key, value in logs.items() if key.startswith("val_")}:
            self._begin_test()
            self._each("on_test_end", validated)
        self._in_test = False
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
