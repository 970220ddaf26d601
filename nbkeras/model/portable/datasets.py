"""Pickling of a ``tf.data.Dataset`` as the graph that makes it, with the same seeds in every process.

A shuffle of TensorFlow 2 takes its seeds from a generator of its process (``ShuffleDatasetV3``). Its older
form takes them from the graph and gives the same order for the same seeds, also in each further epoch. So the
graph gets the older form, and seeds where the user has set none. A cache in memory gets its older form, which
needs no resource of this process. Variables and look-up tables that a function uses, such as those of Keras'
layers, are in the graph with their content.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

#: Operations that call back into the Python of the process that has made them.
_PYTHON = {"PyFunc", "PyFuncStateless", "EagerPyFunc", "GeneratorDataset"}
#: ``tf.data.INFINITE_CARDINALITY``.
_INFINITE = -1
_SHUFFLES = {"ShuffleDatasetV3": "ShuffleDataset", "ShuffleAndRepeatDatasetV2": "ShuffleAndRepeatDataset"}
_ASSIGNS = {"AssignVariableOp", "AssignAddVariableOp"}
#: The older forms of operations whose last input is a resource of this process.
_OLDER = {**_SHUFFLES, "CacheDatasetV2": "CacheDataset"}


def is_dataset(thing: Any) -> bool:
    """Whether this is a ``tf.data.Dataset``, without an import of TensorFlow."""
    tf: Any = sys.modules.get("tensorflow")
    return tf is not None and hasattr(tf, "data") and isinstance(thing, tf.data.Dataset)


def is_endless(thing: Any) -> bool:
    """Whether this is known to give batches for ever."""
    if is_dataset(thing):
        return int(thing.cardinality()) == _INFINITE
    return isinstance(thing, keras.utils.PyDataset) and thing.num_batches is None


def is_no_array(thing: Any) -> bool:
    """Whether this is a tensor of TensorFlow without a form in NumPy: of words, or ragged."""
    return type(thing).__name__ == "RaggedTensor" or str(getattr(thing, "dtype", "")) == "<dtype: 'string'>"


def taken(tensor: Any, which: Any) -> Any:
    """Return some rows of such a tensor, by a slice or by their positions."""
    import tensorflow as tf

    return tensor[which] if isinstance(which, slice) else tf.gather(tensor, which)


def reduced(thing: Any) -> tuple[Any, ...] | None:
    """Return how to pickle a dataset, or None for anything else.

    Raises:
        ValueError: it calls Python functions, or holds what exists in this process alone.
    """
    return (_dataset, (_graph(thing), thing.element_spec)) if is_dataset(thing) else None


def _dataset(graph: bytes, spec: Any) -> Any:
    import tensorflow as tf

    return tf.data.experimental.from_variant(tf.raw_ops.DatasetFromGraph(graph_def=graph), spec)


def draws(dataset: Any) -> bool:
    """Whether a dataset shuffles, or has another random step that goes on from epoch to epoch."""
    nodes = (one for scope in _scopes(_made(dataset)) for one in scope)
    # Keras' layers that augment change a variable.
    return any("seed2" in one.attr or one.op in {*_SHUFFLES, *_ASSIGNS} for one in nodes)


def _made(dataset: Any) -> Any:
    """The graph that makes a dataset."""
    import tensorflow as tf
    from tensorflow.core.framework import graph_pb2

    variant = tf.data.experimental.to_variant(dataset)
    # State, such as where a generator of random numbers stands, is left out.
    options: dict[str, Any] = {"external_state_policy": 1, "strip_device_assignment": True}
    return graph_pb2.GraphDef.FromString(
        tf.raw_ops.DatasetToGraphV2(input_dataset=variant, **options).numpy()
    )


def _graph(dataset: Any) -> bytes:
    from tensorflow.core.framework import types_pb2

    graph = _made(dataset)
    for nodes in _scopes(graph):
        if any(one.op in _PYTHON for one in nodes):
            raise ValueError("it calls a Python function or a generator of this notebook")
        _age(nodes)
    used = {name.split(":")[0].lstrip("^") for node in graph.node for name in node.input}
    if any(one.attr["dtype"].type == types_pb2.DT_RESOURCE and one.name in used for one in graph.node):
        raise ValueError("a function in it uses a variable or a table of this notebook, as Keras' layers do")
    return bytes(graph.SerializeToString())


def _scopes(graph: Any) -> Iterator[Any]:
    """The nodes of the graph, then those of each function in it."""
    yield graph.node
    for function in graph.library.function:
        yield function.node_def


def _age(nodes: Any) -> None:
    """Give operations the form that needs no resource, and random ones without a seed one from NumPy.

    Raises:
        ValueError: a cache is a file.
    """
    constants = {one.name: one.attr["value"].tensor for one in nodes if one.op == "Const"}

    def named(names: Any) -> list[Any]:
        return [constants[name] for name in (one.split(":")[0] for one in names) if name in constants]

    for node in nodes:
        if "seed" in node.attr and "seed2" in node.attr and not (node.attr["seed"].i or node.attr["seed2"].i):
            node.attr["seed"].i, node.attr["seed2"].i = _drawn(), _drawn()
        if node.op == "CacheDatasetV2" and [one.string_val[0] for one in named(node.input[1:2])] != [b""]:
            raise ValueError("its cache is a file, which only one process may write")
        if node.op in _SHUFFLES:
            seeds = named(node.input[2:4])
            if len(seeds) == 2 and all(list(one.int64_val) == [0] for one in seeds):
                for one in seeds:
                    one.int64_val[0] = _drawn()
        if node.op in _OLDER:
            node.op = _OLDER[node.op]
            del node.input[-1]


def _drawn() -> int:
    return int(np.random.randint(1, 1 << 31))  # noqa: NPY002  # keras.utils.set_random_seed seeds it
