"""Hooks: what of a callback Keras calls within an epoch, and what its code can reach."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator
from typing import Any

import keras

#: Called around each step of the training, and within validation.
TRAINING = ("on_batch_begin", "on_batch_end", "on_train_batch_begin", "on_train_batch_end")
TEST = ("on_test_begin", "on_test_end", "on_test_batch_begin", "on_test_batch_end")
#: Those before a step, and those that are given the logs of a batch.
BATCH_BEGIN = ("on_batch_begin", "on_train_batch_begin")
BATCH_LOGS = ("on_batch_end", "on_train_batch_end")
TEST_BATCH = ("on_test_batch_begin", "on_test_batch_end")


#: Names by which code reads a clock.
_CLOCKS = {"time", "datetime", "monotonic", "perf_counter", "process_time", "default_timer", "time_ns"}


def _saves_within(callback: Any) -> bool:
    return bool(callback.save_freq != "epoch")


def _writes_within(callback: Any) -> bool:
    """Whether a TensorBoard writes more than the logs and weights of each epoch."""
    return bool(callback.update_freq != "epoch" or callback._should_trace or callback.write_steps_per_second)  # noqa: SLF001


#: Hooks of these classes of Keras do nothing within an epoch unless their arguments ask for it.
_IF_ASKED: dict[str, Callable[[Any], bool]] = {
    "ModelCheckpoint": _saves_within,
    "OrbaxCheckpoint": _saves_within,
    "BackupAndRestore": _saves_within,
    "TensorBoard": _writes_within,
}


def has(callback: Any, *hooks: str) -> bool:
    """Whether a callback does something in one of some hooks.

    Example:
        >>> import keras
        >>> from nbkeras.model import hooks
        >>> hooks.has(keras.callbacks.ModelCheckpoint("a.keras"), *hooks.TRAINING)
        False
        >>> hooks.has(keras.callbacks.ModelCheckpoint("a.keras", save_freq=100), *hooks.TRAINING)
        True
    """
    return any(_acts(callback, hook) for hook in hooks)


def _acts(callback: Any, hook: str) -> bool:
    if hook in vars(callback):
        return True  # LambdaCallback holds the hooks that it was given.
    definer = next(kind for kind in type(callback).__mro__ if hook in vars(kind))
    if definer is keras.callbacks.Callback:
        return False
    asked = _IF_ASKED.get(definer.__name__) if of_keras(definer) else None
    return asked is None or asked(callback)


def measures_time(callback: Any) -> bool:
    """Whether the code of a callback reads a clock: then it must run when a batch does, not later."""
    found = [one for one in functions(callback) if isinstance(one, types.FunctionType)]
    return any(named(one) & _CLOCKS for one in found if not of_keras(one))


def of_keras(kind: type | types.FunctionType) -> bool:
    """Whether a class or a function is one of Keras."""
    return kind.__module__.partition(".")[0] == "keras"


def reaches(callback: Any, model: Any) -> bool:
    """Whether a callback may read the model: its code names ``model``, or reaches this one."""
    seen: set[int] = set()
    return any(_reaches(one, model, seen) for one in functions(callback))


def functions(callback: Any) -> Iterator[Any]:
    """Yield what a callback can call of its own: methods of its classes, and functions that it holds."""
    for kind in type(callback).__mro__:
        if kind is keras.callbacks.Callback:
            break
        # Sorted: pickling does not promise to preserve the order of a class.
        for _, one in sorted(vars(kind).items()):
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
    names = named(thing)
    if names & {"model", "_model"}:
        return True
    closed = [value for _, value in closed_over(thing)]
    found = [thing.__globals__[name] for name in names if name in thing.__globals__]
    if model is not None and any(one is model for one in (*closed, *found)):
        return True
    # Functions of other modules do not know the notebook's model, but for those that a decorator wraps.
    within = [one for one in closed if isinstance(one, types.FunctionType)]
    within += [one for one in found if getattr(one, "__globals__", None) is thing.__globals__]
    return any(_reaches(one, model, seen) for one in within)


def named(function: types.FunctionType) -> set[str]:
    """Return the names of globals and attributes in a function, and in those within it."""
    return {name for code in _codes(function.__code__) for name in code.co_names}


def closed_over(function: types.FunctionType) -> Iterator[tuple[str, Any]]:
    """Yield name and value of each variable of a function that one around it defines."""
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield name, cell.cell_contents
        except ValueError:
            continue  # Nothing was assigned to it yet.


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    """A function's code, and that of the functions and comprehensions within it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes(constant)
