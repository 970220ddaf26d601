"""Pickling of models by value, with the classes and functions that the notebook defines.

Keras' own pickling needs ``get_config``, which notebook code often lacks. This module
pickles a model as Python objects are pickled, with cloudpickle for classes and functions
of the notebook. It replaces only what is valid in one process: variables become their
values, compiled functions are dropped (the worker traces them again), and look-up tables
keyed by ``id()`` are rebuilt. The attributes that a backend adds to Keras' objects are
rebuilt too, so workers may train with another backend than the notebook's.
"""

from __future__ import annotations

import copyreg
import io
import os
import pickle
import random
import socket
from collections import deque
from collections.abc import Sequence
from types import CodeType
from typing import Any

import cloudpickle
import keras
import numpy as np
from keras.src.backend import random_seed_dtype
from keras.src.ops.function import Function, make_node_key
from keras.src.saving.keras_saveable import KerasSaveable
from keras.src.utils.backend_utils import DynamicBackend
from keras.src.utils.tracking import TrackedDict, TrackedList, TrackedSet, Tracker

from nbkeras.errors import ModelError
from nbkeras.model import portable, randomness
from nbkeras.model.portable import graphs, loaders, tables

#: Compiled functions of a model: they hold a graph of this process.
_TRACED = ("train_function", "test_function", "predict_function")
#: Losses that a layer added in its last call: tensors of that call's graph.
_ADDED: dict[str, type] = {"_losses": list, "_loss_ids": set}
#: Name of the variable of a ``keras.random.SeedGenerator``.
_SEED = "seed_generator_state"
#: The file name that cloudpickle 3.1.3 gives to all code.
_NO_FILE = "<dynamic-code>"
_TRACKED: dict[type, Any] = {TrackedList: list, TrackedDict: dict, TrackedSet: set}


def dumps(thing: Any, left: Sequence[Any] = (), *, unlearned: bool = False) -> bytes:
    """Pickle a model, a callback or any structure of these.

    Args:
        thing: to pickle.
        left: objects that it refers to, and does without.
        unlearned: whether lookup layers may be in it that have not learned from data yet: no worker can use
            them.

    Raises:
        ModelError: it holds an object that cannot be pickled.

    Example:
        >>> import keras
        >>> from nbkeras.model import pickling
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> pickling.loads(pickling.dumps(model)).count_params()
        3
    """
    buffer = io.BytesIO()
    try:
        _Pickler(buffer, left, unlearned=unlearned).dump_all(thing)
    except Exception as error:  # whatever a layer may hold, TensorFlow's own errors too
        raise ModelError(
            f"{_culprit(thing)} holds something that cannot be sent to a worker ({error}): "
            "keep locks, files, sessions and generators out of models, losses and metrics, and out of "
            "callbacks that are called within an epoch"
        ) from error
    return buffer.getvalue()


def loads(data: bytes) -> Any:
    """Unpickle the output of :func:`dumps`. Only for bytes that came from the notebook's own Spark job."""
    file = io.BytesIO(data)
    unpickler = pickle.Unpickler(file)  # noqa: S301  # as said above
    thing, graphs_of_layers = unpickler.load(), []
    while file.tell() < len(data):
        obj, values = unpickler.load()
        _set_saveable(obj, values)
        if isinstance(obj, Function):
            graphs_of_layers.append(obj)
    for one in graphs_of_layers:
        _name_nodes(one)
    return thing


def contents(
    model: Any,
    callbacks: list[Any],
    generator: list[int] | None = None,
    batches: Any = None,
    left: Sequence[Any] = (),
) -> bytes:
    """Pack a model, callbacks and Keras' settings into bytes for the workers.

    Args:
        model: any Keras model.
        callbacks: those that run on the workers.
        generator: the state of Keras' global generator; None for that of this thread, to predict or evaluate.
        batches: what workers get of datasets, see :mod:`nbkeras.data.stream`.
        left: layers that the model refers to, and does without.

    Raises:
        ModelError: they hold an object that cannot be pickled.
    """
    settings = {
        "backend": keras.config.backend(),
        "floatx": keras.config.floatx(),
        "image_data_format": keras.config.image_data_format(),
        "epsilon": keras.config.epsilon(),
        "python": random.getstate(),
        # A prediction is sent again only where these bytes have changed.
        "numpy": None if generator is None and batches is None else np.random.get_state(),  # noqa: NPY002
        "torch": loaders.state() if any(map(loaders.is_loader, keras.tree.flatten(batches))) else None,
        "generator": generator or randomness.Common().state,
        "wide": "float64" in {keras.config.floatx(), *(str(one.dtype) for one in model.variables)},
    }
    # Settings come first, in a pickle of their own: they must be set before a variable exists.
    return pickle.dumps(settings) + dumps(
        {"model": model, "callbacks": callbacks, "place": _place(), "batches": batches}, left
    )


def _place() -> tuple[str, str]:
    """The notebook's machine and folder, where callbacks write their files."""
    try:
        return socket.gethostname(), os.getcwd()  # noqa: PTH109  # as a word
    except OSError:
        return socket.gethostname(), ""  # The folder was deleted.


def restored(data: bytes) -> dict[str, Any]:
    """Unpack the output of :func:`contents`, with Keras set as in the notebook."""
    file = io.BytesIO(data)
    settings = pickle.load(file)  # noqa: S301  # from the notebook's own Spark job
    keras.config.set_floatx(settings["floatx"])
    keras.config.set_image_data_format(settings["image_data_format"])
    keras.config.set_epsilon(settings["epsilon"])
    if settings["wide"]:
        portable.load().widen()
    random.setstate(settings["python"])
    if settings["numpy"] is not None:
        # A PyDataset that shuffles by it must give the same batches to all workers.
        np.random.set_state(settings["numpy"])  # noqa: NPY002
    if settings["torch"] is not None:
        loaders.restore(settings["torch"])
    randomness.Common().state = settings["generator"]
    thing: dict[str, Any] = loads(data[file.tell() :])
    model = thing["model"]
    if settings["backend"] != keras.config.backend() and model.compiled:
        # Whether to compile a step is each backend's own choice.
        model.jit_compile = model._resolve_auto_jit_compile()  # noqa: SLF001  # what jit_compile="auto" does
    return thing


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    """Pickles layers one after the other, not nested: deep models would exceed the recursion limit."""

    def __init__(self, file: io.BytesIO, left: Sequence[Any] = (), *, unlearned: bool = False) -> None:
        super().__init__(file)
        self._left, self._unlearned = {id(one) for one in left}, unlearned
        self._backend = portable.load()
        self._later: deque[Any] = deque()

    def dump_all(self, thing: Any) -> None:
        """Pickle an object with blank layers, then the attributes of each layer."""
        self.dump(thing)
        while self._later:
            layer = self._later.popleft()
            self.dump((layer, self._held(layer)))

    def reducer_override(self, obj: Any) -> Any:
        kind = _public(type(obj))
        if isinstance(obj, keras.Variable):
            values = {**self._backend.held(obj), "_value": None}
            return _blank, (kind,), (values, _array(obj)), None, None, _set_variable
        if isinstance(obj, keras.Operation):
            if id(obj) in self._left:
                kind = object
            else:
                self._later.append(obj)
            return _blank, (kind,)
        if isinstance(obj, KerasSaveable):
            return _blank, (kind,), self._held(obj), None, None, _set_saveable
        if kind in _TRACKED:
            plain = _TRACKED[kind]
            return _blank_tracked, (kind,), (vars(obj), plain(obj)), None, None, _set_tracked
        if kind is Tracker:
            return _blank, (kind,), vars(obj), None, None, _set_tracker
        # Preprocessing layers hold one. Without a call of __init__, its attribute look-up never ends.
        reduced = (kind, ()) if kind is DynamicBackend else self._reduced(obj)
        return reduced or super().reducer_override(obj)

    def _reduced(self, obj: Any) -> Any:
        of_tensorflow = graphs.reduced(obj) or tables.reduced(obj, unlearned=self._unlearned)
        return _parted(obj) or self._coded(obj) or of_tensorflow or self._backend.reduced(obj)

    def _coded(self, obj: Any) -> Any:
        """Pickle code as cloudpickle does, but with its file name, for the lines of tracebacks."""
        if not isinstance(obj, CodeType):
            return None
        make, arguments = self.dispatch_table[CodeType](obj)
        return make, tuple(obj.co_filename if one == _NO_FILE else one for one in arguments)

    def _held(self, obj: Any) -> dict[str, Any]:
        """Return the attributes that are sent."""
        values = self._backend.held(obj)
        values |= {key: None for key in _TRACED if key in values}
        if isinstance(obj, keras.Layer):
            values |= {key: kind() for key, kind in _ADDED.items()}
        return values


def _parted(obj: Any) -> Any:
    """Pickle a callback without the model of its last training, also where it holds its own methods."""
    own: Any = type(obj).__reduce_ex__
    if not isinstance(obj, keras.callbacks.Callback) or own is not object.__reduce_ex__:
        return None
    return copyreg.__newobj__, (type(obj),), {**vars(obj), "_model": None}  # type: ignore[attr-defined]


def _public(kind: type) -> type:
    """Return the class that Keras has on every backend: torch's optimizers are subclasses of it."""
    return next(one for one in kind.__mro__ if not one.__module__.startswith("keras.src.backend."))


def _array(variable: Any) -> Any:
    value = variable.value
    return keras.ops.convert_to_numpy(value) if value is not None else None


def _blank(kind: Any) -> Any:
    # A backend may have its own implementation of one of Keras' optimizers.
    known = issubclass(kind, keras.optimizers.Optimizer) and kind.__module__.startswith("keras.")
    return kind.__new__(kind) if known else object.__new__(kind)


def _blank_tracked(kind: Any) -> Any:
    return _TRACKED[kind].__new__(kind)


def _set_variable(variable: Any, state: tuple[dict[str, Any], Any]) -> None:
    values, array = state
    vars(variable).update(values)
    if values["_name"] == _SEED:
        # Each backend draws random numbers from a seed of another type.
        kind = random_seed_dtype()
        variable._dtype, array = kind, array.astype(kind)  # noqa: SLF001
    if array is not None:
        # As the constructor of keras.Variable does.
        variable._initialize(variable._convert_to_tensor(array, variable._dtype))  # noqa: SLF001


def _set_saveable(obj: Any, values: dict[str, Any]) -> None:
    portable.load().hold(obj, values)
    if "_trainable_variables_indices" in values:
        # An optimizer refers to its variables by keys that are valid in one process only.
        new = [obj._var_key(one) for one in obj._trainable_variables]  # noqa: SLF001
        old = values["_trainable_variables_indices"]
        vars(obj)["_trainable_variables_indices"] = {key: index for index, key in enumerate(new)}
        if excluded := values.get("_exclude_from_weight_decay"):
            vars(obj)["_exclude_from_weight_decay"] = {new[old[key]] for key in excluded}
            vars(obj)["_exclude_from_weight_decay_cache"] = {}


def _name_nodes(graph: Any) -> None:
    """Rebuild the names of the calls of a model's layers, by which it is saved: they hold ``id()``."""
    nodes = [node for same in graph._nodes_by_depth.values() for node in same]  # noqa: SLF001
    graph._nodes = {  # noqa: SLF001
        make_node_key(node.operation, node.operation._inbound_nodes.index(node))  # noqa: SLF001
        for node in nodes
    }


def _set_tracked(obj: Any, state: tuple[dict[str, Any], Any]) -> None:
    values, content = state
    vars(obj).update(values)
    if isinstance(obj, list):
        list.extend(obj, content)
    elif isinstance(obj, dict):
        dict.update(obj, content)
    else:
        set.update(obj, content)


def _set_tracker(tracker: Any, values: dict[str, Any]) -> None:
    vars(tracker).update(values)
    tracker.stored_ids = {name: {id(one) for one in store} for name, (_, store) in tracker.config.items()}


class _Alone(_Pickler):
    """Pickles one object, such as a layer, without the other Keras objects that it refers to."""

    def __init__(self, root: Any) -> None:
        super().__init__(io.BytesIO())
        self._root = root

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, KerasSaveable) and obj is not self._root:
            return _blank, (object,)
        return super().reducer_override(obj)


def _culprit(thing: Any) -> str:
    """Name the object that cannot be pickled: a layer, a callback, or the whole."""
    parts = [*thing.get("callbacks", []), *thing.values()] if isinstance(thing, dict) else [thing]
    model = next((one for one in parts if isinstance(one, keras.Model)), None)
    layers = [] if model is None else model._flatten_layers(include_self=False)  # noqa: SLF001  # nested ones too
    for one in [*layers, *parts]:
        try:
            _Alone(one).dump_all(one)
        except Exception:  # noqa: BLE001  # any error shows that this object cannot be pickled
            name = getattr(one, "name", None)
            return f"{type(one).__name__} {name!r}" if name else type(one).__name__
    return f"{type(thing).__name__}"
