"""The user's callbacks: which decide on the workers, and which run in the notebook."""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Any

import keras

from nbkeras.errors import OptionError
from nbkeras.model import state
from nbkeras.transport.messages import Decision

#: They judge the logs and must act in the step or epoch in which they judge.
ON_WORKERS = (
    keras.callbacks.EarlyStopping,
    keras.callbacks.ReduceLROnPlateau,
    keras.callbacks.LearningRateScheduler,
    keras.callbacks.TerminateOnNaN,
)
#: They have batch hooks that do nothing unless asked, or cannot matter here.
_EPOCH_ONLY = (keras.callbacks.ModelCheckpoint, keras.callbacks.CSVLogger, keras.callbacks.History)
#: They never look at the model's weights.
_LOGS_ONLY = (keras.callbacks.CSVLogger, keras.callbacks.History, keras.callbacks.RemoteMonitor)
_BATCH_HOOKS = (
    "on_batch_begin",
    "on_batch_end",
    "on_train_batch_begin",
    "on_train_batch_end",
    "on_test_batch_begin",
    "on_test_batch_end",
)
_TEST_HOOKS = ("on_test_begin", "on_test_end")


def divided(callbacks: Any) -> tuple[list[Any], list[Any]]:
    """The callbacks that run on the workers and those that run in the notebook, each in their order.

    Raises:
        OptionError: not a callback, or one that wants to be called for each batch or validation.
    """
    on_workers, in_notebook = [], []
    for one in keras.tree.flatten(callbacks) if callbacks else []:
        if not isinstance(one, keras.callbacks.Callback):
            raise OptionError(f"callbacks holds {one!r}, which is no keras.callbacks.Callback")
        if type(one) in ON_WORKERS:
            on_workers.append(one)
        elif isinstance(one, keras.callbacks.ProgbarLogger):
            continue  # The chart shows the progress.
        else:
            _refuse_hooks(one)
            in_notebook.append(one)
    return on_workers, in_notebook


def _refuse_hooks(callback: Any) -> None:
    name = type(callback).__name__
    if isinstance(callback, keras.callbacks.ModelCheckpoint) and callback.save_freq != "epoch":
        raise OptionError(
            f"ModelCheckpoint(save_freq={callback.save_freq!r}) would save between epochs: use 'epoch'"
        )
    if isinstance(callback, _EPOCH_ONLY):
        return
    for hook in (*_BATCH_HOOKS, *_TEST_HOOKS):
        # LambdaCallback holds the hooks it was given, all others have them by their class.
        own = hook in vars(callback) or getattr(type(callback), hook) is not getattr(
            keras.callbacks.Callback, hook
        )
        if own:
            what = "validation runs" if hook in _TEST_HOOKS else "batches run"
            raise OptionError(
                f"callback {name} has {hook}: {what} on the workers, callbacks in the notebook "
                "once per epoch: use on_epoch_end"
            )


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
    if isinstance(callback, keras.callbacks.ModelCheckpoint):
        return True
    seen: set[int] = set()
    return any(_reaches(one, model, seen) for one in _callables(callback))


def _callables(callback: Any) -> Iterator[Any]:
    for kind in type(callback).__mro__:
        if kind is keras.callbacks.Callback:
            break
        for one in vars(kind).values():
            # A static method, a class method or a property holds its function.
            own = getattr(one, "__func__", None) or getattr(one, "fget", None) or one
            if callable(own) and not isinstance(own, type):
                yield own
    yield from (one for one in vars(callback).values() if callable(one) and not isinstance(one, type))


def _reaches(thing: Any, model: Any, seen: set[int]) -> bool:
    """Whether a callable may get at the model, itself or by the functions that it names."""
    if id(thing) in seen or isinstance(thing, types.BuiltinFunctionType):
        return False
    seen.add(id(thing))
    if not isinstance(thing, types.FunctionType):
        return True  # A method, a partial, an object: who knows what it holds.
    names = {name for code in _codes(thing.__code__) for name in code.co_names}
    if names & {"model", "_model"}:
        return True
    closed = [cell.cell_contents for cell in thing.__closure__ or () if _filled(cell)]
    named = [thing.__globals__[name] for name in names if name in thing.__globals__]
    if any(one is model for one in (*closed, *named)):
        return True
    # Functions of other modules do not know the notebook's model, but for those that a decorator wraps.
    functions = [one for one in closed if isinstance(one, types.FunctionType)]
    functions += [one for one in named if getattr(one, "__globals__", None) is thing.__globals__]
    return any(_reaches(one, model, seen) for one in functions)


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    """A function's code, and that of the functions and comprehensions within it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes(constant)


def _filled(cell: Any) -> bool:
    try:
        _ = cell.cell_contents
    except ValueError:
        return False
    return True
