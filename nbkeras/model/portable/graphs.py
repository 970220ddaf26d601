"""Pickling of a ``tf.data.Dataset`` as the graph that makes it, with the same seeds in every process.

A shuffle takes its seeds from a generator that belongs to its process. So each process gets one that stands
where that of the notebook stands, and seeds where the user has set none. A cache in memory belongs to its
process as well, and its older form makes one wherever the graph is loaded.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from nbkeras.model.portable import seed_generators
from nbkeras.model.portable.datasets import is_dataset
from nbkeras.model.portable.seed_generators import SHUFFLE, SeedGenerator, to_graph

#: Operations that call back into the Python of the process that has made them.
_PYTHON = {"PyFunc", "PyFuncStateless", "EagerPyFunc", "GeneratorDataset"}
#: Operations whose seeds are inputs, and the first of the two.
_SEEDED = {"RandomDataset": 0, SHUFFLE: 2}
#: Operations that TensorFlow calls stateful and that change nothing.
_ALIKE = {
    *("Assert", "HashTableV2", "LookupTableFindV2", "LookupTableSizeV2", "LookupTableExportV2", "PrintV2"),
    *("ReadFile", "ReadVariableOp", "ResourceGather", "VarHandleOp", "VarIsInitializedOp"),
    *("Case", "If", "StatefulPartitionedCall", "While"),  # whose functions are looked at
}
#: Where it is kept whether a dataset has state, and its graph.
_STATE, _GRAPH = "_nbkeras_has_state", "_nbkeras_graph"
#: Operations that may choose rows by what a function has drawn.
_CHOOSING = {
    *("FilterDataset", "ParallelFilterDataset", "TakeWhileDataset", "FlatMapDataset"),
    *("GroupByWindowDataset", "GroupByReducerDataset", "ScanDataset"),
}
#: Bytes of a constant from which on it travels beside the graph: TensorFlow copies a graph several times.
_LARGE = 1 << 20
#: Of a generator of seeds: its name, its constants, its arguments, and how many it has given.
_Generator = tuple[str, list[str], tuple[int, int, bool], int]


def reduced(thing: Any) -> tuple[Any, ...] | None:
    """Return how to pickle a dataset, or None for anything else.

    Raises:
        ValueError: it calls Python functions, or holds what exists in this process alone.
    """
    if not is_dataset(thing):
        return None
    graph, arrays, generators = _graph(thing)
    return _dataset, (graph, arrays, generators, has_state(thing), thing.element_spec)


def has_state(dataset: Any) -> bool:
    """Whether a dataset that has been pickled or unpickled has other state than its shuffles.

    It changes a variable, as layers that augment do, or a cache keeps what was drawn.
    """
    return bool(getattr(dataset, _STATE, False))


def graph_of(dataset: Any) -> Any:
    """Return the ``GraphDef`` of a dataset that has been unpickled; None where large arrays lie beside it."""
    return getattr(dataset, _GRAPH, None)


def _dataset(*pickled: Any) -> Any:
    import tensorflow as tf
    from tensorflow.core.framework import graph_pb2

    graph, arrays, seeds, state, spec = pickled
    definition = graph_pb2.GraphDef.FromString(graph)
    constants = _constants(definition.node)
    generators = []
    for name, at, (seed, seed2, moves), given in seeds:
        generators.append(seed_generators.restored(name, seed, seed2, moves=moves, given=given))
        for constant in at:
            constants[constant].CopyFrom(generators[-1].resource)
    dataset = tf.data.experimental.from_variant(_variant(definition, arrays), spec)
    setattr(dataset, _GRAPH, None if arrays else definition)
    seed_generators.keep(dataset, generators)
    setattr(dataset, _STATE, state)
    return dataset


def _variant(graph: Any, arrays: dict[str, Any]) -> Any:
    """TensorFlow's tensor of the dataset that a graph makes."""
    import tensorflow as tf

    if not arrays:
        return tf.raw_ops.DatasetFromGraph(graph_def=graph.SerializeToString())
    (returned,) = [one for one in graph.node if one.op == "_Retval"]
    graph.node.remove(returned)

    def load(*tensors: Any) -> Any:
        given = dict(zip(arrays, tensors, strict=True))
        return tf.graph_util.import_graph_def(graph, given, [f"{node_name(returned.input[0])}:0"], name="")[0]

    tensors = [tf.constant(one) for one in arrays.values()]
    specs = [tf.TensorSpec(one.shape, one.dtype) for one in tensors]
    return tf.compat.v1.wrap_function(load, specs)(*tensors)


def _graph(dataset: Any) -> tuple[bytes, dict[str, Any], list[_Generator]]:
    """The graph for other processes, its large constants, and what makes its generators of seeds there."""
    import tensorflow as tf
    from tensorflow.core.framework import types_pb2

    graph = to_graph(tf.data.experimental.to_variant(dataset))
    chooses = any(one.op in _CHOOSING for nodes in scopes(graph) for one in nodes)
    drawn: set[str] = set()
    for nodes in scopes(graph):
        if any(one.op in _PYTHON for one in nodes):
            raise ValueError("it calls a Python function or a generator of this notebook")
        _free(nodes)
        _order(nodes)
        # What a function draws for its rows may differ from worker to worker, and must from epoch to epoch.
        drawn |= _seed(nodes, functions=nodes is graph.node or chooses)
    used = {node_name(one) for node in graph.node for one in node.input}
    used -= {node_name(node.input[4]) for node in graph.node if node.op == SHUFFLE}
    # To look up an attribute of a node that has none adds it, and TensorFlow complains of it.
    constants = [one for one in graph.node if one.name in used and "dtype" in one.attr]
    if any(one.attr["dtype"].type == types_pb2.DT_RESOURCE for one in constants):
        raise ValueError("a function in it uses a variable or a table of this notebook, as Keras' layers do")
    arrays = _cut(graph)
    setattr(dataset, _STATE, _has_state(graph, drawn))
    # Last, since a look at a generator moves it.
    generators = _generators(graph, dataset, drawn)
    return bytes(graph.SerializeToString()), arrays, generators


def _generators(graph: Any, dataset: Any, drawn: set[str]) -> list[_Generator]:
    """Return what makes the generators of seeds in another process.

    Raises:
        ValueError: one has given too many.
    """
    tensors = _constants(graph.node)
    own: list[SeedGenerator] = []
    found: dict[str, _Generator] = {}
    for node in graph.node:
        if node.op != SHUFFLE:
            continue
        seed, seed2 = (int(tensors[node_name(one)].int64_val[0]) for one in node.input[2:4])
        constant, moves, given = node_name(node.input[4]), node.attr["reshuffle_each_iteration"].b, 0
        name = tensors[constant].resource_handle_val[0].name
        if name not in found:
            if moves and node.name not in drawn:
                own.append(seed_generators.of(tensors[constant], seed, seed2))
                given = own[-1].given()
            found[name] = name, [], (seed, seed2, moves), given
        # A dataset that is used twice has two nodes.
        found[name][1].append(constant)
    seed_generators.keep(dataset, own)
    return [*found.values()]


def changes(node: Any) -> bool:
    """Whether an operation in a function changes what exists beyond a call of it."""
    from tensorflow.python.framework import op_def_registry

    definition = op_def_registry.get(node.op)
    is_stateful = definition is not None and definition.is_stateful
    return is_stateful and node.op not in _ALIKE and "seed2" not in node.attr and "Dataset" not in node.op


def _has_state(graph: Any, drawn: set[str]) -> bool:
    """Whether a function changes something, or a cache keeps what a shuffle or a function has drawn."""
    called = [one for function in functions(graph).values() for one in function.node_def]
    if any(map(changes, called)):
        return True
    nodes, draws = {one.name: one for one in graph.node}, any("seed2" in one.attr for one in called)
    waiting, seen = [one.name for one in graph.node if one.op == "CacheDataset"], set()
    draws = draws and bool(waiting)
    while waiting:
        if (name := waiting.pop()) not in seen:
            seen.add(name)
            waiting += map(node_name, nodes[name].input)
    moving = (nodes[one] for one in seen - drawn if nodes[one].op == SHUFFLE)
    return draws or any(one.attr["reshuffle_each_iteration"].b for one in moving)


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


def scopes(graph: Any) -> Iterator[Any]:
    """The nodes of the graph, then those of each function in it."""
    yield graph.node
    for function in functions(graph).values():
        yield function.node_def


def functions(graph: Any) -> dict[str, Any]:
    """The functions of a graph by their names."""
    return {one.signature.name: one for one in graph.library.function}


def _free(nodes: Any) -> None:
    """Give a cache in memory, which belongs to its process, the form that makes one of its own.

    Raises:
        ValueError: a cache is a file, which several workers would write at once.
    """
    constants = _constants(nodes)
    for node in nodes:
        if node.op == "CacheDatasetV2":
            if not _is_empty(constants.get(node_name(node.input[1]))):
                raise ValueError("it caches in a file, which several workers would write at once")
            node.op = "CacheDataset"
            del node.input[-1]


def _order(nodes: Any) -> None:
    """Let elements keep their order where it depends on which is ready first: workers must agree on it."""
    from tensorflow.core.framework import dataset_options_pb2

    for node in nodes:
        if "deterministic" in node.attr and node.attr["deterministic"].HasField("s"):
            node.attr["deterministic"].s = b"true"
        if "sloppy" in node.attr:
            node.attr["sloppy"].b = False
        if node.op == "OptionsDataset":
            options = dataset_options_pb2.Options.FromString(node.attr["serialized_options"].s)
            options.deterministic = True
            node.attr["serialized_options"].s = options.SerializeToString()


def _seed(nodes: Any, *, functions: bool) -> set[str]:
    """Give each random operation without a seed one from NumPy; those that draw numbers only if asked.

    Returns:
        The names of the datasets that got one.

    Raises:
        ValueError: the order of a shuffle is random and yet always the same, or belongs to this process.
    """
    constants, drawn = _constants(nodes), set()
    for node in nodes:
        if node.op.startswith("ShuffleAndRepeat"):
            raise ValueError("it shuffles and repeats in one step: give ds.shuffle(…).repeat(…)")
        seeded = "seed" in node.attr and "seed2" in node.attr
        if functions and seeded and not (node.attr["seed"].i or node.attr["seed2"].i):
            node.attr["seed"].i, node.attr["seed2"].i = _drawn(), _drawn()
        if (first := _SEEDED.get(node.op)) is not None:
            named = map(node_name, node.input[first : first + 2])
            seeds = [constants[name] for name in named if name in constants]
            if len(seeds) == 2 and all(list(one.int64_val) == [0] for one in seeds):
                if "reshuffle_each_iteration" in node.attr and not node.attr["reshuffle_each_iteration"].b:
                    raise ValueError("it shuffles once, in an order of its own: give shuffle a seed")
                drawn.add(node.name)
                for one in seeds:
                    one.int64_val[0] = _drawn()
    return drawn


def _is_empty(text: Any) -> bool:
    return text is not None and list(text.string_val) == [b""]


def _constants(nodes: Any) -> dict[str, Any]:
    return {one.name: one.attr["value"].tensor for one in nodes if one.op == "Const"}


def node_name(given: str) -> str:
    """Return the name of the node that an input comes from."""
    return given.split(":", maxsplit=1)[0].lstrip("^")


def _drawn() -> int:
    return int(np.random.randint(1, 1 << 31))  # noqa: NPY002  # keras.utils.set_random_seed seeds it
