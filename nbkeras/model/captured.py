"""What a callback has changed where it ran: its attributes, and the variables that its functions name.

A callback that runs on a worker is a copy. A list of the notebook to which it appends is copied with it,
whether it is an attribute, a global variable or one that a function closes over. Each of these is a place
with a name that is the same in both processes: the worker returns the places that have changed, and the
notebook's own lists and attributes take over what they hold.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import types
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from nbkeras.errors import ModelError
from nbkeras.model import hooks, pickling, values

#: Attributes that Keras sets in each training.
_OF_A_FIT = ("_model", "params")
#: Parts of names that lead to weights, and modules whose functions change none that they are not given.
_TO_WEIGHTS = ("weight", "variable", "layer", "assign", "load", "state", "param", "kernel", "update")
_HARMLESS = {"builtins", "collections", "datetime", "keras", "math", "numpy", "random", "time"}
_Place = tuple[Any, Callable[[Any], None]]


def snapshot(callback: Any) -> dict[str, str]:
    """Return a digest of what each place holds, to be compared later."""
    return {name: _digest(value) for name, (value, _) in _places(callback).items()}


def changes(callback: Any, before: dict[str, str]) -> dict[str, Any]:
    """Return the value of each place that holds something else than before, where it can be returned.

    What a callback of Keras was made with stays as it is: Keras turns the sign of ``min_delta`` once it
    knows the direction, and would turn it again in a callback that has the number but not the direction.

    Args:
        callback: that was called.
        before: from :func:`snapshot`, in the same process.

    Example:
        >>> import keras
        >>> from nbkeras.model import captured
        >>> losses = []
        >>> callback = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: losses.append(epoch))
        >>> before = captured.snapshot(callback)
        >>> callback.on_epoch_end(3, {})
        >>> list(captured.changes(callback, before).values())
        [[3]]
    """
    return {name: value for name, value in _changed(callback, before).items() if _returns(value)}


def left(callback: Any, before: dict[str, str]) -> list[str]:
    """Return the names of changed attributes and variables that cannot be returned."""
    return [
        name.rpartition(" ")[2]
        for name, value in _changed(callback, before).items()
        if not _returns(value) and _digest(value)
    ]


def holds(callback: Any) -> set[int]:
    """Return the identities of what a callback can share with another: containers and the user's objects."""
    shares = (list, dict, set, deque, keras.callbacks.Callback)
    values = [value for value, _ in _places(callback).values()]
    own = [one for one in values if isinstance(one, shares) or type(one).__module__ == "__main__"]
    return {id(callback), *map(id, own)}


def may_write(callback: Any) -> bool:
    """Whether the code of a callback may change weights: it names something that leads there, or is unknown.

    Example:
        >>> import keras
        >>> from nbkeras.model import captured
        >>> class Halves(keras.callbacks.Callback):
        ...     def on_train_batch_end(self, batch, logs=None):
        ...         self.model.optimizer.learning_rate *= 0.5
        >>> captured.may_write(Halves())
        False
    """
    held: list[Any] = [value for name, value in vars(callback).items() if name not in _OF_A_FIT]
    if any(_is_foreign(value, {}) for value in held if not isinstance(value, types.FunctionType)):
        return True
    for function in _own_functions(callback):
        names, known = hooks.named(function), function.__globals__
        if any(word in name for name in names for word in _TO_WEIGHTS):
            return True
        within = [value for name, value in hooks.closed_over(function) if name != "__class__"]
        within += [known[name] for name in names & known.keys()]
        if any(_is_foreign(value, known) for value in within):
            return True
    return False


def _is_foreign(value: Any, known: dict[str, Any]) -> bool:
    """Whether a value may do anything: a module, a function or an object that is not known."""
    if getattr(value, "__globals__", None) is known or isinstance(value, types.MethodType):
        return False
    module = isinstance(value, types.ModuleType)
    named = value if module or callable(value) else type(value)
    name = getattr(named, "__name__" if module else "__module__", None)
    return str(name).partition(".")[0] not in _HARMLESS


def give(callback: Any, changed: dict[str, Any]) -> None:
    """Put what :func:`changes` returned into the same callback of another process.

    A list, dict, set or array of its own takes over the content, so that whoever else holds it sees it.
    """
    places = _places(callback)
    for name, value in changed.items():
        held, put = places.get(name, (None, lambda one, name=name: setattr(callback, name, one)))
        if not _poured(held, value):
            put(value)


def _changed(callback: Any, before: dict[str, str]) -> dict[str, Any]:
    return {
        name: value for name, (value, _) in _places(callback).items() if _digest(value) != before.get(name)
    }


def _places(callback: Any) -> dict[str, _Place]:
    """The value of each place by its name, and what sets it."""
    made_with = {
        name
        for kind in type(callback).__mro__
        if hooks.of_keras(kind)
        for name in inspect.signature(kind).parameters
    }
    found: dict[str, _Place] = {
        name: (value, lambda new, name=name: setattr(callback, name, new))  # type: ignore[misc]
        for name, value in vars(callback).items()
        if name not in made_with and name not in _OF_A_FIT
    }
    for number, function in enumerate(_own_functions(callback)):
        cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
        for name, cell in cells:
            if any(name == filled for filled, _ in hooks.closed_over(function)):
                found[f"closed {number} {name}"] = cell.cell_contents, _setter(cell)
        for name in sorted(hooks.named(function) & function.__globals__.keys()):
            put = lambda new, name=name, known=function.__globals__: known.update({name: new})  # noqa: E731  # as above
            found[f"global {function.__module__} {name}"] = function.__globals__[name], put
    return found


def _setter(cell: types.CellType) -> Callable[[Any], None]:
    return lambda new: setattr(cell, "cell_contents", new)


def _own_functions(callback: Any) -> Iterator[types.FunctionType]:
    """Yield the user's functions that a callback may call, those of its modules alone."""
    waiting, seen = list(hooks.functions(callback)), set()
    while waiting:
        one = waiting.pop(0)
        function = getattr(one, "__func__", one)
        if not isinstance(function, types.FunctionType) or id(function) in seen:
            continue
        seen.add(id(function))
        if hooks.of_keras(function):
            continue
        yield function
        waiting += [value for _, value in hooks.closed_over(function)]
        known = function.__globals__
        named = [known[name] for name in sorted(hooks.named(function) & known.keys())]
        waiting += [value for value in named if getattr(value, "__globals__", None) is known]


def _returns(value: Any) -> bool:
    try:
        values.packed(value, [])
    except (TypeError, RecursionError):
        return False
    return True


def _digest(value: Any) -> str:
    """A digest of a value; empty where it is none that a callback changes, such as a function or a model."""
    arrays: values.Arrays = []
    try:
        content = json.dumps(values.packed(value, arrays)).encode()
    except (TypeError, RecursionError):
        still = (type, types.ModuleType, types.FunctionType, keras.Variable, keras.Model, keras.Layer)
        if isinstance(value, still) or callable(value):
            return ""
        try:
            content = pickling.dumps(value)
        except ModelError:
            return ""  # An open file or a thread: nobody expects it in another process.
    made = hashlib.sha256(content)
    for array in arrays:
        made.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return made.hexdigest()


def _poured(held: Any, value: Any) -> bool:
    """Whether a container has taken over the content of another."""
    if isinstance(held, (list, deque)) and isinstance(value, (list, deque)):
        held.clear()
        held.extend(value)
    elif isinstance(held, (dict, set)) and isinstance(value, (dict, set)):
        held.clear()
        held.update(value)
    elif isinstance(held, np.ndarray) and isinstance(value, np.ndarray) and held.shape == value.shape:
        held[...] = value
    else:
        return False
    return True
