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

import keras
import numpy as np

#: Operations that call back into the Python of the process that has made them.
_PYTHON = {"PyFunc", "PyFuncStateless", "EagerPyFunc", "GeneratorDataset"}
#: ``tf.data.INFINITE_CARDINALITY``.
_INFINITE = -1
#: Operations whose last input exists in one process alone, and their older forms without it.
_OLDER = {
    "CacheDatasetV2": "CacheDataset",
    "ShuffleAndRepeatDatasetV2": "ShuffleAndRepeatDataset",
    "ShuffleDatasetV3": "ShuffleDataset",
}
#: Operations whose seeds are inputs, and the first of the two.
_SEEDED = {"RandomDataset": 0, "ShuffleAndRepeatDataset": 2, "ShuffleDataset": 2}
#: Operations that go on from epoch to epoch.
_MOVING = {
    *_SEEDED,
    "ShuffleAndRepeatDatasetV2",
    "ShuffleDatasetV3",
    "AssignVariableOp",
    "AssignAddVariableOp",
}
#: Operations that may choose rows by what a function has drawn.
_CHOOSING = {
    *("FilterDataset", "ParallelFilterDataset", "TakeWhileDataset", "FlatMapDataset"),
    *("GroupByWindowDataset", "GroupByReducerDataset", "ScanDataset"),
}
#: Bytes of a constant from which on it travels beside the graph: TensorFlow copies a graph several times.
_LARGE = 1 << 20


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


def alike(batch: Any) -> Any:
    """Return a batch with tensors alone if a part has no other form: Keras calls no model with a mixture."""
    if not any(is_no_array(one) for one in keras.tree.flatten(batch)):
        return batch
    import tensorflow as tf

    def tensor(one: Any) -> Any:
        return one if is_no_array(one) else tf.convert_to_tensor(one)

    return keras.tree.map_structure(tensor, batch, none_is_leaf=False)


def reduced(thing: Any) -> tuple[Any, ...] | None:
    """Return how to pickle a dataset, or None for anything else.

    Raises:
        ValueError: it calls Python functions, or holds what exists in this process alone.
    """
    return (_dataset, (*_graph(thing), thing.element_spec)) if is_dataset(thing) else None


def _dataset(graph: bytes, arrays: dict[str, Any], spec: Any) -> Any:
    import tensorflow as tf
    from tensorflow.core.framework import graph_pb2

    if not arrays:
        variant = tf.raw_ops.DatasetFromGraph(graph_def=graph)
        return tf.data.experimental.from_variant(variant, spec)
    made = graph_pb2.GraphDef.FromString(graph)
    (returned,) = [one for one in made.node if one.op == "_Retval"]
    made.node.remove(returned)

    def load(*tensors: Any) -> Any:
        given = dict(zip(arrays, tensors, strict=True))
        return tf.graph_util.import_graph_def(made, given, [f"{_name(returned.input[0])}:0"], name="")[0]

    tensors = [tf.constant(one) for one in arrays.values()]
    specs = [tf.TensorSpec(one.shape, one.dtype) for one in tensors]
    return tf.data.experimental.from_variant(tf.compat.v1.wrap_function(load, specs)(*tensors), spec)


def draws(dataset: Any) -> bool:
    """Whether a dataset shuffles, or has another random step that goes on from epoch to epoch."""
    nodes = (one for scope in _scopes(_made(dataset)) for one in scope)
    # Keras' layers that augment change a variable.
    return any("seed2" in one.attr or one.op in _MOVING for one in nodes)


def shuffles(dataset: Any) -> set[int]:
    """Identify the shuffles of a dataset that give another order each time; datasets made of one share it."""
    found, waiting = set(), [dataset]
    while waiting:
        one = waiting.pop()
        # A graph tells too, but to make one copies all arrays.
        waiting += one._inputs()  # noqa: SLF001  # tf.data shows no other way
        if getattr(one, "_reshuffle_each_iteration", False):
            found.add(id(one))
    return found


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


def _graph(dataset: Any) -> tuple[bytes, dict[str, Any]]:
    """The graph for other processes, and its large constants."""
    from tensorflow.core.framework import types_pb2

    graph = _made(dataset)
    chooses = any(one.op in _CHOOSING for nodes in _scopes(graph) for one in nodes)
    for nodes in _scopes(graph):
        if any(one.op in _PYTHON for one in nodes):
            raise ValueError("it calls a Python function or a generator of this notebook")
        _free(nodes)
        # What a function draws for its rows may differ from worker to worker, and must from epoch to epoch.
        _seed(nodes, functions=nodes is graph.node or chooses)
    used = {_name(name) for node in graph.node for name in node.input}
    # To look up an attribute of a node that has none adds it, and TensorFlow complains of it.
    constants = [one for one in graph.node if one.name in used and "dtype" in one.attr]
    if any(one.attr["dtype"].type == types_pb2.DT_RESOURCE for one in constants):
        raise ValueError("a function in it uses a variable or a table of this notebook, as Keras' layers do")
    arrays = _cut(graph)
    return bytes(graph.SerializeToString()), arrays


def _cut(graph: Any) -> dict[str, Any]:
    """Take large constants out of a graph that holds datasets alone; return them by their names."""
    import tensorflow as tf

    kinds = {one.op for one in graph.node} - {"Const", "_Retval"}
    if not all(one.rstrip("V23").endswith("Dataset") for one in kinds):
        return {}
    arrays = {}
    for node in graph.node:
        if node.op == "Const" and len(node.attr["value"].tensor.tensor_content) >= _LARGE:
            arrays[f"{node.name}:0"] = tf.make_ndarray(node.attr["value"].tensor)
            node.attr["value"].tensor.Clear()
            node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(0, tf.as_dtype(node.attr["dtype"].type)))
    return arrays


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


def _seed(nodes: Any, *, functions: bool) -> None:
    """Give each random operation without a seed one from NumPy; those that draw numbers only if asked.

    Raises:
        ValueError: the order of a shuffle is random and yet always the same.
    """
    constants = _constants(nodes)
    for node in nodes:
        seeded = "seed" in node.attr and "seed2" in node.attr
        if functions and seeded and not (node.attr["seed"].i or node.attr["seed2"].i):
            node.attr["seed"].i, node.attr["seed2"].i = _drawn(), _drawn()
        if (first := _SEEDED.get(node.op)) is not None:
            named = map(_name, node.input[first : first + 2])
            seeds = [constants[name] for name in named if name in constants]
            if len(seeds) == 2 and all(list(one.int64_val) == [0] for one in seeds):
                if "reshuffle_each_iteration" in node.attr and not node.attr["reshuffle_each_iteration"].b:
                    raise ValueError("it shuffles once, in an order of its own: give shuffle a seed")
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
