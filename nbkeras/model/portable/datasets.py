"""Pickling of a ``tf.data.Dataset`` as the graph that makes it, with the same seeds in every process.

A shuffle of TensorFlow 2 takes its seeds from a generator of its process (``ShuffleDatasetV3``). Its older
form takes them from the graph and gives the same order for the same seeds, also in each further epoch. So the
graph gets the older form, and seeds where the user has set none. A cache in memory belongs to its process as
well, and its older form makes one wherever the graph is loaded. Variables and look-up tables that a function
uses, such as those of Keras' layers, are in the graph with their content.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

#: Operations that call back into the Python of the process that has made them.
_PYTHON = {"PyFunc", "PyFuncStateless", "EagerPyFunc", "GeneratorDataset"}
#: Operations whose last input exists in one process alone, and their older forms without it.
_OLDER = {
    "CacheDatasetV2": "CacheDataset",
    "ShuffleAndRepeatDatasetV2": "ShuffleAndRepeatDataset",
    "ShuffleDatasetV3": "ShuffleDataset",
}
#: Operations whose seeds are inputs, and the first of the two.
_SEEDED = {"RandomDataset": 0, "ShuffleAndRepeatDataset": 2, "ShuffleDataset": 2}


def is_dataset(thing: Any) -> bool:
    """Whether this is a ``tf.data.Dataset``, without an import of TensorFlow."""
    tf: Any = sys.modules.get("tensorflow")
    return tf is not None and hasattr(tf, "data") and isinstance(thing, tf.data.Dataset)


def is_ragged(thing: Any) -> bool:
    """Whether this is a ragged tensor, whose rows differ in length."""
    return type(thing).__name__ == "RaggedTensor"


def ragged_rows(tensor: Any, which: Any) -> Any:
    """Return some rows of a ragged tensor, by a slice or by their positions."""
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


def _graph(dataset: Any) -> bytes:
    import tensorflow as tf
    from tensorflow.core.framework import graph_pb2, types_pb2

    variant = tf.data.experimental.to_variant(dataset)
    # State, such as where a generator of random numbers stands, is left out.
    options: dict[str, Any] = {"external_state_policy": 1, "strip_device_assignment": True}
    graph = graph_pb2.GraphDef.FromString(
        tf.raw_ops.DatasetToGraphV2(input_dataset=variant, **options).numpy()
    )
    for nodes in _scopes(graph):
        if any(one.op in _PYTHON for one in nodes):
            raise ValueError("it calls a Python function or a generator of this notebook")
        _free(nodes)
        _seed(nodes)
    used = {_name(name) for node in graph.node for name in node.input}
    # To look up an attribute of a node that has none adds it, and TensorFlow complains of it.
    constants = [one for one in graph.node if one.name in used and "dtype" in one.attr]
    if any(one.attr["dtype"].type == types_pb2.DT_RESOURCE for one in constants):
        raise ValueError("a function in it uses a variable or a table of this notebook, as Keras' layers do")
    return bytes(graph.SerializeToString())


def _scopes(graph: Any) -> Iterator[Any]:
    """The nodes of the graph, then those of each function in it."""
    yield graph.node
    for function in graph.library.function:
        yield function.node_def


def _free(nodes: Any) -> None:
    """Give operations that need an object of this process the form that does without.

    Raises:
        ValueError: a cache is a file, which several workers would write at once.
    """
    constants = _constants(nodes)
    for node in nodes:
        if node.op == "CacheDatasetV2" and not _is_empty(constants.get(_name(node.input[1]))):
            raise ValueError("it caches in a file, which several workers would write at once")
        if node.op in _OLDER:
            node.op = _OLDER[node.op]
            del node.input[-1]


def _seed(nodes: Any) -> None:
    """Give each random operation without a seed one from NumPy."""
    constants = _constants(nodes)
    for node in nodes:
        if "seed" in node.attr and "seed2" in node.attr and not (node.attr["seed"].i or node.attr["seed2"].i):
            node.attr["seed"].i, node.attr["seed2"].i = _drawn(), _drawn()
        if (first := _SEEDED.get(node.op)) is not None:
            named = map(_name, node.input[first : first + 2])
            seeds = [constants[name] for name in named if name in constants]
            if len(seeds) == 2 and all(list(one.int64_val) == [0] for one in seeds):
                for one in seeds:
                    one.int64_val[0] = _drawn()


def _is_empty(text: Any) -> bool:
    return text is not None and list(text.string_val) == [b""]


def _constants(nodes: Any) -> dict[str, Any]:
    return {one.name: one.attr["value"].tensor for one in nodes if one.op == "Const"}


def _name(given: str) -> str:
    """Return the name of the node that an input comes from."""
    return given.split(":", maxsplit=1)[0].lstrip("^")


def _drawn() -> int:
    return int(np.random.randint(1, 1 << 31))  # noqa: NPY002  # keras.utils.set_random_seed seeds it
